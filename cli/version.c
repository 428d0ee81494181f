/* cli/version.c - see version.h. */
#include "cli/version.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (64U << 20) /* larger files are treated as binary: a difference of their lines helps nobody */

static unsigned failures; /* versions that could not be read */

unsigned versions_failed(void)
{
	return failures;
}

static bool read_all(int fd, Version *v)
{
	struct stat st;
	size_t room;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	v->too_large = st.st_size > (off_t)TEXT_MAX;
	v->len = (size_t)st.st_size;
	if (v->too_large)
		return true;
	room = v->len + 1;
	v->bytes = xrealloc(NULL, room);
	v->len = 0;
	for (;;) {
		ssize_t n = read(fd, v->bytes + v->len, room - v->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		v->len += (size_t)n;
		if (v->len == room) /* it grows while we read */
			v->bytes = xrealloc(v->bytes, room *= 2);
		v->too_large = v->len > TEXT_MAX;
		if (v->too_large)
			return true;
	}
}

static Version host_version(const char *path)
{
	Version v = {0};
	struct stat st;

	if (lstat(path, &st) < 0)
		return v;
	v.mode = st.st_mode;
	if (S_ISLNK(st.st_mode)) {
		v.bytes = xrealloc(NULL, PATH_MAX);
		ssize_t n = readlink(path, v.bytes, PATH_MAX);
		v.len = n > 0 ? (size_t)n : 0;
	} else if (S_ISREG(st.st_mode)) {
		int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || !read_all(fd, &v))
			cli_fail("%s: %s", path, fd < 0 ? strerror(errno) : "cannot read it on the host");
		if (fd >= 0)
			close(fd);
	}
	return v;
}

static ssize_t side_readlink(const BvSide *side, const char *path, char *buf, BvError **err)
{
	return side->snapshot ? bv_snapshot_readlink(side->snapshot, path, buf, PATH_MAX, err) : bv_sandbox_readlink(side->sandbox, path, buf, PATH_MAX, err);
}

static int side_open(const BvSide *side, const char *path, int *fd, BvError **err)
{
	return side->snapshot ? bv_snapshot_open_file(side->snapshot, path, fd, err) : bv_sandbox_open_file(side->sandbox, path, fd, err);
}

static Version side_version(const BvSide *side, const char *path, uint32_t mode, bool no_bytes)
{
	Version v = {.mode = mode};
	BvError *err = NULL;
	int fd;

	v.too_large = no_bytes;
	if (S_ISLNK(mode)) {
		v.bytes = xrealloc(NULL, PATH_MAX);
		ssize_t n = side_readlink(side, path, v.bytes, &err);
		v.len = n > 0 ? (size_t)n : 0;
	} else if (S_ISREG(mode) && !v.too_large && side_open(side, path, &fd, &err) == 0) {
		if (!read_all(fd, &v))
			failures += cli_fail("%s: cannot read it", path) != 0;
		close(fd);
	}
	if (err) {
		failures++;
		cli_fail_error(err);
	}
	return v;
}

void versions_load(const BvSide *before_side, const BvSide *after_side, const BvChange *c, Version *before, Version *after)
{
	bool host = !before_side->sandbox && !before_side->snapshot;
	/* Bytes that are lost cannot be shown; those that are too many are not fetched. */
	bool no_bytes = (c->diff & BV_DIFF_LOST) || (S_ISREG(c->mode) && c->bytes > TEXT_MAX);

	*before = *after = (Version){0};
	if (c->kind != BV_ADDED)
		*before = host ? host_version(c->host_path) : side_version(before_side, c->host_path, c->old_mode, false);
	if (c->kind != BV_DELETED)
		*after = side_version(after_side, c->path, c->mode, no_bytes);
	if (no_bytes && !(c->diff & BV_DIFF_LOST))
		after->len = c->bytes;
}

bool version_has_text(const Version *v)
{
	return S_ISREG(v->mode) || S_ISLNK(v->mode);
}

Text version_text(const Version *v)
{
	return (Text){v->bytes ? v->bytes : "", v->bytes ? v->len : 0};
}

bool version_is_binary(const Version *v)
{
	return v->too_large || text_is_binary(version_text(v));
}
