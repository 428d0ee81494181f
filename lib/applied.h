/* lib/applied.h - what earlier applies put on the host: a file that is still just that counts as unchanged, so that run, apply, run, apply works.
 *
 * STORE/sandboxes/NAME/applied: records that end with NUL, "dev ino size mtime mtime_ns ctime ctime_ns mode uid gid path", sorted by path. */
#ifndef LIB_APPLIED_H
#define LIB_APPLIED_H

#include "lib/host.h"

typedef struct AppliedItem {
	char *path;
	CowIdentity is; /* dev in host_dev() form */
} AppliedItem;

typedef struct Applied {
	AppliedItem *items; /* sorted by path */
	size_t count;
} Applied;

/* A missing file is empty, and so is one that cannot be understood: then the host's files count as changed, which is safe. */
int applied_load(int dirfd, Applied *out) MUST_CHECK;
void applied_release(Applied *applied);
/* Is the object at `path` the one that was put there? */
bool applied_matches(const Applied *applied, const char *path, const struct statx *host);
/* Did an earlier apply put this object of the host somewhere (rename it)? By inode number and type: a mistake only spares a question. */
bool applied_has_object(const Applied *applied, const CowIdentity *object);
/* Replaces what is known of the paths in `fresh` (paths of items with is.known false are forgotten), writes the file and syncs it. Sorts
 * `fresh`. */
int applied_update(int dirfd, const Applied *old, AppliedItem *fresh, size_t count) MUST_CHECK;

#endif
