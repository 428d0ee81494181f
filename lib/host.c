/* lib/host.c - see host.h. */
#include "lib/host.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
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

/* ---- content ---- */

static int copy_plain(int from, int to, off_t pos, off_t end)
{
	char buf[65536];

	while (pos < end) {
		ssize_t n = pread(from, buf, (size_t)MIN((off_t)sizeof(buf), end - pos), pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			return 0; /* it became shorter */
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(to, buf + done, (size_t)(n - done), pos + done);
			if (w < 0 && errno != EINTR)
				return bv_neg_errno();
			done += w > 0 ? w : 0;
		}
		pos += n;
	}
	return 0;
}

static int copy_extent(int from, int to, off_t pos, off_t end)
{
	while (pos < end) {
		off_t in = pos, out = pos;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - pos), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO) ? bv_neg_errno() : copy_plain(from, to, pos, end);
		pos += n;
	}
	return 0;
}

int host_copy(int from, int to, uint64_t size)
{
	off_t pos = 0, end = (off_t)size;

	if (size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, end) < 0)
		return bv_neg_errno();
	while (pos < end) {
		off_t data = lseek(from, pos, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* only a hole is left */
		off_t hole = data < 0 ? end : lseek(from, data, SEEK_HOLE);
		int r = copy_extent(from, to, data < 0 ? pos : data, hole < 0 ? end : MIN(hole, end));
		if (r < 0)
			return r;
		pos = hole < 0 ? end : hole;
	}
	return 0;
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
