/* backends/filestore_lease.c - whether a lease on a file of the store is refused to who asks while somebody has it mapped, and closed its descriptor.
 *
 * Ordinary file systems do: a mapping holds the file open. One that passes the mapping on to a file of another file system (overlayfs, eCryptfs, aufs) may not: leases and opens are counted on
 * its own inode, and what the mapping holds is the other one. */
#include "backends/filestore.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/statfs.h>

#define XFS_MAGIC 0x58465342

enum { UNKNOWN = 0, SEEN, HIDDEN };

static bool is_ordinary(int root)
{
	struct statfs st;

	if (fstatfs(root, &st) < 0)
		return false;
	return st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_MAGIC || st.f_type == BTRFS_SUPER_MAGIC || st.f_type == F2FS_SUPER_MAGIC || st.f_type == TMPFS_MAGIC ||
	       st.f_type == RAMFS_MAGIC;
}

/* What cannot be tried is not so. */
static bool is_refused(int root)
{
	char path[32];
	CLEAN_FD int fd = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CLEAN_FD int reader = open(path, O_RDONLY | O_CLOEXEC);
	void *map = reader < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	bv_close_fd(&fd);
	bool refused = fcntl(reader, F_SETLEASE, F_RDLCK) < 0;
	munmap(map, 1);
	return refused;
}

bool filestore_hides_maps(BlobStore *store)
{
	FileStore *fs = filestore_of(store);

	if (atomic_load(&fs->maps_hidden) == UNKNOWN)
		atomic_store(&fs->maps_hidden, is_ordinary(fs->root) || is_refused(fs->root) ? SEEN : HIDDEN);
	return atomic_load(&fs->maps_hidden) == HIDDEN;
}
