/* lib/host.c - see host.h. */
#include "lib/host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int host_parent(const char *path, int *dirfd, const char **name)
{
	CLEAN_FD int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *p = path + 1;

	if (path[0] != '/' || path[1] == '\0')
		return -EINVAL;
	if (at < 0)
		return bv_neg_errno();
	for (const char *slash; (slash = strchr(p, '/')); p = slash + 1) {
		char component[NAME_MAX + 1];
		size_t n = (size_t)(slash - p);
		int next;
		if (n == 0 || n > NAME_MAX)
			return n ? -ENAMETOOLONG : -EINVAL;
		memcpy(component, p, n);
		component[n] = '\0';
		next = openat(at, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return bv_neg_errno();
		close(at);
		at = next;
	}
	*dirfd = TAKE_FD(at);
	*name = p;
	return 0;
}

int host_statx(const char *path, struct statx *out)
{
	CLEAN_FD int dirfd = -1;
	const char *name;
	int r = host_parent(path, &dirfd, &name);

	if (r < 0)
		return r;
	return statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, out) < 0 ? bv_neg_errno() : 0;
}

/* ---- syncing ---- */

static int sync_one(int fd)
{
	return syncfs(fd) < 0 ? bv_neg_errno() : 0;
}

int host_sync_add(HostSync *sync, int dirfd)
{
	struct stat st;
	int fd, r = 0;

	if (fstat(dirfd, &st) < 0)
		return bv_neg_errno();
	for (size_t i = 0; i < sync->count; i++)
		if (sync->items[i].dev == (uint64_t)st.st_dev)
			return 0;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* syncfs refuses O_PATH */
	if (fd < 0)
		return bv_neg_errno();
	if (sync->count == ARRAY_LEN(sync->items)) {
		r = sync_one(fd);
		close(fd);
		return r;
	}
	sync->items[sync->count].dev = st.st_dev;
	sync->items[sync->count++].fd = fd;
	return 0;
}

int host_sync(HostSync *sync)
{
	int r = 0;

	for (size_t i = 0; i < sync->count; i++) {
		int one = sync_one(sync->items[i].fd);
		r = r < 0 ? r : one;
	}
	host_sync_release(sync);
	return r;
}

void host_sync_release(HostSync *sync)
{
	for (size_t i = 0; i < sync->count; i++)
		close(sync->items[i].fd);
	sync->count = 0;
}
