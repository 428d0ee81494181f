/* lib/mounts.h - what is mounted on the host, as far as it gives away what guests may not see: other names of a path, and file systems of the kernel. */
#ifndef LIB_MOUNTS_H
#define LIB_MOUNTS_H

#include "lib/internal.h"

/* What is mounted here, as /proc/self/mountinfo says it. */
typedef struct Mounts Mounts;

/* `text` is the content of such a file. -ENOMEM. */
int mounts_parse(const char *text, Mounts **out) MUST_CHECK;
/* -ENOENT and others: it cannot be read. */
int mounts_read(Mounts **out) MUST_CHECK;
void mounts_free(Mounts *mounts);
/* Adds each other name of the canonical `path`, there or not, to *out. A part of it that is mounted elsewhere by itself is none. -ENOMEM. */
int mounts_aliases(const Mounts *mounts, const char *path, Strv *out) MUST_CHECK;
/* Adds where file systems are mounted whose files are the kernel itself: processes, controls, terminals (proc, sysfs, devpts ...). -ENOMEM. */
int mounts_of_kernel(const Mounts *mounts, Strv *out) MUST_CHECK;

#endif
