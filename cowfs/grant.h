/* cowfs/grant.h - changes below a writable grant: done on the host, with the last name relative to a verified parent directory, never
 * following a symlink. Called with fs->lock held. Each returns what the host's system call says. */
#ifndef COWFS_GRANT_H
#define COWFS_GRANT_H

#include "internal.h"

int grant_mkdir(CowWalk *w, mode_t mode) MUST_CHECK;
int grant_symlink(CowWalk *w, const char *target) MUST_CHECK;
int grant_mknod(CowWalk *w, mode_t mode) MUST_CHECK;
int grant_link(CowWalk *from, CowWalk *to) MUST_CHECK;
int grant_unlink(CowWalk *w, bool dir) MUST_CHECK;
int grant_rename(CowWalk *from, CowWalk *to, unsigned flags) MUST_CHECK;
int grant_open(CowWalk *w, int flags, mode_t mode, bool create) MUST_CHECK; /* a descriptor */
int grant_setattr(CowWalk *w, const CowAttr *attr) MUST_CHECK;
int grant_truncate(CowWalk *w, uint64_t size) MUST_CHECK;
/* "/proc/self/fd/N" of an O_PATH descriptor of cur (*fd is the caller's): for calls that have no *at form. */
int grant_proc_path(CowWalk *w, int *fd, char path[64]) MUST_CHECK;

#endif
