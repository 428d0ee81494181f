/* base/copy.c - the bytes of one file into another: cloned where the file system can, else extent by extent, so that holes stay holes. */
#include "base/util.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#define STEP (128 << 10)

/* Where the kernel does not copy between these two. */
static int copy_plain(int from, int to, off_t at, off_t end)
{
	CLEAN_FREE char *buf = malloc(STEP);

	if (!buf)
		return -ENOMEM;
	while (at < end) {
		ssize_t n = pread(from, buf, (size_t)MIN((off_t)STEP, end - at), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? bv_neg_errno() : 0; /* it became shorter */
		for (ssize_t done = 0; done < n;) {
			ssize_t wrote = pwrite(to, buf + done, (size_t)(n - done), at + done);
			if (wrote < 0 && errno != EINTR)
				return bv_neg_errno();
			done += MAX(wrote, 0);
		}
		at += n;
	}
	return 0;
}

static int copy_extent(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
			return bv_neg_errno();
		if (n <= 0) /* also for files of /proc, which say 0 */
			return copy_plain(from, to, at, end);
		at += n;
	}
	return 0;
}

int bv_copy_data(int from, int to, uint64_t size, bool clone)
{
	off_t at = 0, end = (off_t)size;

	if (clone && size > 0 && ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, end) < 0)
		return bv_neg_errno();
	while (at < end) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* a hole to the end */
		off_t hole = data < 0 ? end : lseek(from, data, SEEK_HOLE);
		if (data < 0)
			data = at;
		if (hole < 0 || hole > end)
			hole = end;
		int r = data < end ? copy_extent(from, to, data, hole) : 0;
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}
