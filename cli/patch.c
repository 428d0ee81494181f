/* cli/patch.c - see patch.h. "Before" is the host's file as it is now, or another sandbox's or snapshot's; "after" is the sandbox's or snapshot's. */
#include "cli/patch.h"
#include "cli/unified.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (64U << 20) /* larger files are treated as binary: a difference of their lines helps nobody */
#define STAT_WIDTH 40

static unsigned failures; /* versions that could not be read */

unsigned patch_failures(void)
{
	return failures;
}

typedef struct Version {
	uint32_t mode; /* 0: there is none */
	bool too_large;
	char *bytes; /* content of a regular file, target of a symlink; malloc'ed or NULL */
	size_t len;
} Version;

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

static void load(const BvSide *before_side, const BvSide *after_side, const BvChange *c, Version *before, Version *after)
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

static bool has_text(const Version *v)
{
	return S_ISREG(v->mode) || S_ISLNK(v->mode);
}

static Text as_text(const Version *v)
{
	return (Text){v->bytes ? v->bytes : "", v->bytes ? v->len : 0};
}

static bool is_binary(const Version *v)
{
	return v->too_large || text_is_binary(as_text(v));
}

/* ---- -p ---- */

static char *prefixed(const char *prefix, const char *path)
{
	char *joined = xasprintf("%s%s", prefix, path);
	char *result = quoted(joined);

	free(joined);
	return result;
}

static void print_modes(const BvChange *c, const Version *before, const Version *after)
{
	if (!before->mode)
		printf("new file mode %06o\n", after->mode);
	else if (!after->mode)
		printf("deleted file mode %06o\n", before->mode);
	else if (before->mode != after->mode)
		printf("old mode %06o\nnew mode %06o\n", before->mode, after->mode);
	if (c->old_path) {
		char *from = quoted(c->old_path), *to = quoted(c->path);
		printf("rename from %s\nrename to %s\n", from, to);
		free(from);
		free(to);
	}
	if (c->link_to) {
		char *to = quoted(c->link_to);
		printf("hard link to %s\n", to);
		free(to);
	}
	if (c->diff & BV_DIFF_OWNER)
		printf("new owner %u:%u\n", c->uid, c->gid);
	if (c->diff & BV_DIFF_XATTR)
		puts("extended attributes differ");
}

static void print_content(const char *a, const char *b, const Version *before, const Version *after, bool color)
{
	const UnifiedStyle style = {3, color ? "\033[1m" : "", color ? "\033[36m" : "", color ? "\033[32m" : "", color ? "\033[31m" : "", color ? "\033[0m" : ""};
	char *hunks = NULL;
	size_t len = 0, added, deleted;
	FILE *out;

	if (is_binary(before) || is_binary(after)) {
		printf("Binary files %s and %s differ\n", before->mode ? a : "/dev/null", after->mode ? b : "/dev/null");
		return;
	}
	out = open_memstream(&hunks, &len);
	if (!out || unified_diff(out, as_text(before), as_text(after), &style, &added, &deleted) < 0 || fclose(out) != 0)
		exit(cli_fail("out of memory"));
	if (added + deleted > 0)
		printf("%s--- %s%s\n%s+++ %s%s\n", style.header, before->mode ? a : "/dev/null", style.reset, style.header, after->mode ? b : "/dev/null",
		       style.reset);
	fwrite(hunks, 1, len, stdout);
	free(hunks);
}

void patch_print(const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color)
{
	char *a = prefixed("a", c->old_path ? c->old_path : c->path), *b = prefixed("b", c->path);
	Version before, after;

	load(before_side, after_side, c, &before, &after);
	printf("%sdiff --bvisor %s %s%s\n", color ? "\033[1m" : "", a, b, color ? "\033[0m" : "");
	print_modes(c, &before, &after);
	if (!c->link_to && (has_text(&before) || has_text(&after)))
		print_content(a, b, &before, &after, color);
	free(before.bytes);
	free(after.bytes);
	free(a);
	free(b);
}

/* ---- --stat ---- */

static void print_bar(size_t added, size_t deleted, bool color)
{
	size_t total = added + deleted, width = total < STAT_WIDTH ? total : STAT_WIDTH;
	size_t plus = total ? (added * width + total - 1) / total : 0;

	fputs(color ? "\033[32m" : "", stdout);
	for (size_t i = 0; i < plus; i++)
		putchar('+');
	fputs(color ? "\033[31m" : "", stdout);
	for (size_t i = plus; i < width; i++)
		putchar('-');
	fputs(color ? "\033[0m" : "", stdout);
}

void patch_stat_line(const BvSide *before_side, const BvSide *after_side, const BvChange *c, bool color, PatchTotals *totals)
{
	const UnifiedStyle style = {3, "", "", "", "", ""};
	Version before, after;
	size_t added = 0, deleted = 0;

	load(before_side, after_side, c, &before, &after);
	putchar(' ');
	if (c->old_path) {
		print_quoted(stdout, c->old_path);
		fputs(" => ", stdout);
	}
	print_quoted(stdout, c->path);
	fputs(" | ", stdout);
	if (is_binary(&before) || is_binary(&after)) {
		printf("Bin %zu -> %zu bytes", before.len, after.len);
	} else {
		if (!c->link_to && (has_text(&before) || has_text(&after)) &&
		    unified_diff(NULL, as_text(&before), as_text(&after), &style, &added, &deleted) < 0)
			exit(cli_fail("out of memory"));
		printf("%zu ", added + deleted);
		print_bar(added, deleted, color);
	}
	putchar('\n');
	totals->files++;
	totals->added += added;
	totals->deleted += deleted;
	free(before.bytes);
	free(after.bytes);
}

void patch_stat_total(const PatchTotals *t)
{
	printf(" %zu path%s changed, %zu insertion%s(+), %zu deletion%s(-)\n", t->files, t->files == 1 ? "" : "s", t->added, t->added == 1 ? "" : "s",
	       t->deleted, t->deleted == 1 ? "" : "s");
}
