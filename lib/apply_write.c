/* lib/apply_write.c - one object on the host: written beside its place, complete with metadata, then renamed into it.
 *
 * Until the rename the host shows the old object, afterwards the new one, never a half of either. The bytes are synced between (by the
 * caller, for many objects at once). */
#include "lib/apply.h"
#include "base/hmap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

void apply_aside_name(const char *path, char out[40])
{
	snprintf(out, 40, ".bvisor-apply-%016llx", (unsigned long long)hash_stable(path, strlen(path)));
}

bool step_writes(const Step *s)
{
	const Change *c = s->change;

	if (c->kind == COW_DELETED || S_ISDIR(c->now.stx_mode))
		return false;
	return c->link_to || c->kind == COW_ADDED || c->kind == COW_TYPE_CHANGED || (c->diff & (COW_DIFF_CONTENT | COW_DIFF_TARGET));
}

/* ---- metadata ---- */

/* The object under an O_PATH descriptor by a name that the kernel follows to just that object. */
static void by_descriptor(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
}

static ssize_t list_wanted(Apply *apply, const char *path, char **out)
{
	ssize_t n = cowfs_listxattr(apply->fs, &apply->request.req, NULL, path, COW_NOFOLLOW, NULL, 0);
	char *list;

	if (n <= 0)
		return n == -EOPNOTSUPP ? 0 : n;
	list = malloc((size_t)n);
	if (!list)
		return -ENOMEM;
	n = cowfs_listxattr(apply->fs, &apply->request.req, NULL, path, COW_NOFOLLOW, list, (size_t)n);
	if (n < 0) {
		free(list);
		return n;
	}
	*out = list;
	return n;
}

static bool list_has(const char *list, ssize_t len, const char *name)
{
	for (const char *p = list; p && p < list + len; p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return true;
	return false;
}

/* Removes the user attributes that the sandbox's object has not. */
static int remove_xattrs(const char *object, const char *wanted, ssize_t wanted_len)
{
	char list[65536];
	ssize_t n = listxattr(object, list, sizeof(list));

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : bv_neg_errno();
	for (const char *p = list; p < list + n; p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0 && !list_has(wanted, wanted_len, p) && removexattr(object, p) < 0 && errno != ENODATA)
			return bv_neg_errno();
	return 0;
}

static int set_xattr(Apply *apply, Step *step, const char *object, const char *name)
{
	char value[65536];
	ssize_t n = cowfs_getxattr(apply->fs, &apply->request.req, NULL, step->change->path, COW_NOFOLLOW, name, value, sizeof(value));

	if (n < 0)
		return n == -ENODATA ? 0 : (int)n;
	if (setxattr(object, name, value, (size_t)n, 0) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP)
		return bv_neg_errno();
	step_remark(step, "the attribute %s could not be kept: %s", name, strerror(errno));
	return 0;
}

static int set_xattrs(Apply *apply, Step *step, const char *object)
{
	CLEAN_FREE char *wanted = NULL;
	ssize_t len = list_wanted(apply, step->change->path, &wanted);
	int r = len < 0 ? (int)len : remove_xattrs(object, wanted, len);

	for (const char *p = wanted; r == 0 && p && p < wanted + len; p += strlen(p) + 1)
		if (strncmp(p, "system.", 7) != 0)
			r = set_xattr(apply, step, object, p);
	return r;
}

static int set_owner(const Apply *apply, Step *step, int fd, const struct statx *now)
{
	const SandboxConfig *c = &apply->sb->config;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bv_neg_errno();
	if (config_shows_uid(c, st.st_uid) == now->stx_uid && config_shows_gid(c, st.st_gid) == now->stx_gid)
		return 0;
	if (fchownat(fd, "", now->stx_uid, now->stx_gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return bv_neg_errno();
	step_remark(step, "the owner %u:%u could not be kept: %s", now->stx_uid, now->stx_gid, strerror(errno));
	return 0;
}

/* What is root's in a sandbox with a fake root becomes the caller's: set-ID bits would hand his own rights to all who may execute it. */
static mode_t mode_to_set(const Apply *apply, Step *step, int fd, const struct statx *now)
{
	mode_t mode = now->stx_mode & 07777, lost = 0;
	struct stat st;

	if (apply->sb->config.fake_root && !S_ISDIR(now->stx_mode) && fstat(fd, &st) == 0)
		lost = mode & ((now->stx_uid == st.st_uid ? 0U : S_ISUID) | (now->stx_gid == st.st_gid ? 0U : S_ISGID));
	if (lost)
		step_remark(step, "its set-ID bits (%o) were left out: here it is not %u:%u's", lost, now->stx_uid, now->stx_gid);
	return mode & ~lost;
}

/* Owner before mode (chown clears setuid), times last. */
int write_metadata(Apply *apply, Step *step, int dirfd, const char *name, unsigned what)
{
	const struct statx *now = &step->change->now;
	const struct timespec times[2] = {{now->stx_atime.tv_sec, now->stx_atime.tv_nsec}, {now->stx_mtime.tv_sec, now->stx_mtime.tv_nsec}};
	CLEAN_FD int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool is_link = S_ISLNK(now->stx_mode);
	char object[32];
	int r = fd < 0 ? bv_neg_errno() : 0;

	by_descriptor(fd, object);
	if (r == 0 && (what & COW_DIFF_XATTR) && !is_link)
		r = set_xattrs(apply, step, object);
	if (r == 0 && (what & COW_DIFF_OWNER))
		r = set_owner(apply, step, fd, now);
	if (r == 0 && (what & (COW_DIFF_MODE | COW_DIFF_OWNER)) && !is_link && chmod(object, mode_to_set(apply, step, fd, now)) < 0)
		r = bv_neg_errno();
	if (r == 0 && (what & COW_DIFF_TIMES) && utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = bv_neg_errno();
	return r;
}

/* ---- objects ---- */

static int aside_file(Apply *apply, Step *step, int dirfd, const char *aside)
{
	CLEAN_FD int from = -1;
	CLEAN_FD int to = -1;
	int r = cowfs_open_virtual(apply->fs, step->change->path, O_RDONLY | O_NOFOLLOW, &from);

	if (r < 0)
		return r;
	to = openat(dirfd, aside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return to < 0 ? bv_neg_errno() : bv_copy_data(from, to, step->change->now.stx_size, true);
}

static int aside_symlink(Apply *apply, Step *step, int dirfd, const char *aside)
{
	char target[PATH_MAX];
	ssize_t n = cowfs_readlink(apply->fs, &apply->request.req, NULL, step->change->path, COW_NOFOLLOW, target, sizeof(target) - 1);

	if (n < 0)
		return (int)n;
	target[n] = '\0';
	return symlinkat(target, dirfd, aside) < 0 ? bv_neg_errno() : 0;
}

static bool is_made(const void *apply, const Change *c)
{
	const Step *s = apply_step_of(apply, c);

	return s && s->state != STEP_CONFLICT && s->state != STEP_FAILED;
}

/* May it be made another name of the file at link_to? Not if that, or a directory above it, does not become what the sandbox has: a conflict, or not selected. */
static bool is_linkable(const Apply *apply, const Step *step)
{
	return !step->apart && !apply_leads_to_unmade(&apply->changes, step->change->link_to, is_made, apply);
}

bool write_is_link(const Apply *apply, const Step *step)
{
	return step->change->link_to && is_linkable(apply, step);
}

/* Another name of a file that an earlier step made. */
static int aside_link(Step *step, int dirfd, const char *aside)
{
	CLEAN_FD int other = -1;
	const char *name;
	int r = host_parent(step->change->link_to, &other, &name);

	if (r < 0)
		return r;
	return linkat(other, name, dirfd, aside, 0) < 0 ? bv_neg_errno() : 0;
}

int write_aside(Apply *apply, Step *step, int dirfd)
{
	const Change *c = step->change;
	mode_t type = c->now.stx_mode & S_IFMT;
	bool link = write_is_link(apply, step);
	char aside[40];
	int r;

	apply_aside_name(c->path, aside);
	if (unlinkat(dirfd, aside, 0) < 0 && errno != ENOENT)
		return bv_neg_errno();
	if (link)
		r = aside_link(step, dirfd, aside);
	else if (type == S_IFREG)
		r = aside_file(apply, step, dirfd, aside);
	else if (type == S_IFLNK)
		r = aside_symlink(apply, step, dirfd, aside);
	else if (type == S_IFIFO)
		r = mkfifoat(dirfd, aside, 0600) < 0 ? bv_neg_errno() : 0;
	else
		r = -EOPNOTSUPP;
	if (r == 0 && !link)
		r = write_metadata(apply, step, dirfd, aside, COW_DIFF_MODE | COW_DIFF_OWNER | COW_DIFF_TIMES | COW_DIFF_XATTR);
	if (r < 0)
		(void)unlinkat(dirfd, aside, 0);
	step->aside = r == 0;
	return r;
}

/* Like renameat, but with -EEXIST if something is at `to`. */
static int rename_new(int dirfd, const char *from, const char *to)
{
	if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL) /* file systems that do not know the flag */
		return bv_neg_errno();
	if (faccessat(dirfd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(dirfd, from, dirfd, to) < 0 ? bv_neg_errno() : 0;
}

/* A directory in the way is there only when its type changes, which was decided with everything in it. */
static int rename_over(int dirfd, const char *from, const char *to)
{
	int r;

	if (renameat(dirfd, from, dirfd, to) == 0) {
		(void)unlinkat(dirfd, from, 0); /* rename does nothing when both are the same file */
		return 0;
	}
	if (errno != EISDIR && errno != ENOTEMPTY && errno != EEXIST)
		return bv_neg_errno();
	r = bv_remove_tree_at(dirfd, to);
	return r == 0 && renameat(dirfd, from, dirfd, to) < 0 ? bv_neg_errno() : r;
}

int write_publish(Apply *apply, Step *step, int dirfd, const char *name)
{
	bool over = step->change->kind != COW_ADDED || apply->resumed; /* an interrupted apply may have put it there already */
	char aside[40];
	int r;

	apply_aside_name(step->change->path, aside);
	r = over ? rename_over(dirfd, aside, name) : rename_new(dirfd, aside, name);
	if (r < 0)
		(void)unlinkat(dirfd, aside, 0);
	step->aside = false;
	return r;
}
