/* lib/aliases.h - other names that bind mounts give to a path of the host. */
#ifndef LIB_ALIASES_H
#define LIB_ALIASES_H

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

#endif
