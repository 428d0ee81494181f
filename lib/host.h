/* lib/host.h - careful access to host objects by absolute path, for apply.
 *
 * A parent directory is reached component by component with O_NOFOLLOW: no symbolic link on the host can lead a change to another place than
 * the path says. (openat2 with RESOLVE_NO_SYMLINKS would do the same in one call; one way that works on every kernel is easier to trust.) */
#ifndef LIB_HOST_H
#define LIB_HOST_H

#include "cowfs/cowfs.h"
#include "lib/internal.h"

/* The directory of `path` (O_PATH; the caller's) and the last component, which points into path. -EINVAL for "/", -ENOENT, -ENOTDIR (also
 * for a symbolic link), -EACCES. */
int host_parent(const char *path, int *dirfd, const char **name) MUST_CHECK;
/* statx without following; -ENOENT and the errors of host_parent. */
int host_statx(const char *path, struct statx *out) MUST_CHECK;
static inline uint64_t host_dev(const struct statx *st)
{
	return ((uint64_t)st->stx_dev_major << 32) | st->stx_dev_minor;
}

/* The file systems that were written to, so that each is synced once. */
typedef struct HostSync {
	struct {
		uint64_t dev;
		int fd;
	} items[64];
	size_t count;
} HostSync;
/* dirfd (O_PATH is fine) is on a file system that has to be synced; more than 64 are synced at once. */
int host_sync_add(HostSync *sync, int dirfd) MUST_CHECK;
/* Everything written so far is on the disk. Empties the list. */
int host_sync(HostSync *sync) MUST_CHECK;
void host_sync_release(HostSync *sync);

#endif
