/* tests/oracle/real.c - the operations as plain system calls on the real copy. */
#include "tests/oracle/oracle.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define PATHS 9000

const char *expand(const char *root, const char *path, char *buf, size_t size)
{
	if (path[0] != '@')
		return path;
	snprintf(buf, size, "%s%s", root, path + 1);
	return buf;
}

/* The reverse, for link texts (perhaps cut off): the two roots are equally long, so the text keeps its length. */
void unexpand(const char *root, char *text, size_t len)
{
	size_t n = MIN(strlen(root), len);

	if (memcmp(text, root, n) == 0)
		memset(text, '@', n);
}

Meta meta_of(const World *w, const struct statx *st)
{
	Meta m = {
		.mode = st->stx_mode,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.nlink = st->stx_nlink,
		.size = S_ISDIR(st->stx_mode) ? 0 : (int64_t)st->stx_size,
		.mtime_sec = st->stx_mtime.tv_sec,
		.mtime_nsec = st->stx_mtime.tv_nsec,
	};

	if (m.mtime_sec >= w->start_sec)
		m.mtime_sec = -1, m.mtime_nsec = 0;
	return m;
}

static int at_fd(const World *w, int slot)
{
	return slot >= 0 && w->real_dir[slot] >= 0 ? w->real_dir[slot] : w->real_root;
}

static void stat_fd(const World *w, int fd, Result *res)
{
	struct statx st;

	res->ret = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0 ? -errno : 0;
	if (res->ret < 0)
		return;
	res->meta = meta_of(w, &st);
	res->has_meta = true;
}

static void install(World *w, const Op *op, int fd, Result *res)
{
	int *slot = op->kind == OP_OPENDIR ? &w->real_dir[op->slot] : &w->real_file[op->slot];
	struct stat st;

	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	stat_fd(w, fd, res);
	if (op->kind != OP_OPENDIR && fstat(fd, &st) == 0)
		w->opened_ctime[op->slot] = st.st_ctim;
}

static void do_open(World *w, const Op *op, const char *path, Result *res)
{
	struct open_how how = {.flags = (unsigned)op->flags | O_CLOEXEC, .resolve = op->resolve};
	long fd;

	if (op->kind == OP_OPENDIR)
		how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	if (!(how.flags & O_PATH))
		how.flags |= O_NONBLOCK;
	if ((how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE)
		how.mode = op->mode & 07777;
	/* openat2(2): EAGAIN from RESOLVE_BENEATH and RESOLVE_IN_ROOT if anything on the system was renamed while ".." was taken. */
	for (int i = 0; i < 1000; i++) {
		fd = syscall(SYS_openat2, at_fd(w, op->at1), path, &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN || !op->resolve)
			break;
	}
	res->ret = fd < 0 ? -errno : 0;
	if (fd >= 0)
		install(w, op, (int)fd, res);
}

static void reopen_fd(World *w, const Op *op, int fd, Result *res)
{
	char self[40];
	int again;

	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	again = open(self, op->flags | O_NONBLOCK | O_CLOEXEC);
	res->ret = again < 0 ? -errno : 0;
	if (again >= 0)
		install(w, op, again, res);
}

static long set_xattr(const Op *op, const char *path)
{
	CLEAN_FREE unsigned char *value = malloc((size_t)op->a + 1);

	fill_pattern(value, (size_t)op->a, (uint64_t)op->b);
	return lsetxattr(path, op->p2, value, (size_t)op->a, op->flags);
}

/* Calls on descriptors. */
static void fd_do(World *w, const Op *op, Result *res)
{
	int fd = w->real_file[op->slot];
	char buf[PATHS], self[40];
	unsigned char *data = res->data;
	struct timespec times[2];
	size_t len = (size_t)op->b;
	long r = 0;

	if (fd < 0)
		return;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	switch (op->kind) {
	case OP_CLOSE:
		close(fd);
		w->real_file[op->slot] = -1;
		break;
	case OP_READ:
		r = read(fd, data, len);
		break;
	case OP_PREAD:
		r = pread(fd, data, len, op->a);
		break;
	case OP_WRITE:
		fill_pattern(data, len, (uint64_t)op->a);
		r = write(fd, data, len);
		break;
	case OP_PWRITE:
		fill_pattern(data, len, (uint64_t)op->a);
		r = pwrite(fd, data, len, op->a);
		break;
	case OP_FTRUNCATE:
		r = ftruncate(fd, op->a);
		break;
	case OP_FSTAT:
		stat_fd(w, fd, res);
		return;
	case OP_FCHMOD:
		r = fchmod(fd, op->mode & 07777);
		break;
	case OP_FCHOWN:
		r = fchown(fd, (uid_t)op->a, (gid_t)op->b);
		break;
	case OP_FUTIMENS:
		op_times(op, times);
		r = futimens(fd, times);
		break;
	case OP_FSETXATTR: {
		CLEAN_FREE unsigned char *value = malloc((size_t)op->a + 1);
		fill_pattern(value, (size_t)op->a, (uint64_t)op->b);
		r = fsetxattr(fd, op->p2, value, (size_t)op->a, op->flags);
		break;
	}
	case OP_FSYNC:
		r = fsync(fd);
		break;
	case OP_FLINK:
		r = linkat(AT_FDCWD, self, at_fd(w, op->at2), expand(w->plain, op->p2, buf, sizeof buf), AT_SYMLINK_FOLLOW);
		break;
	default:
		reopen_fd(w, op, fd, res);
		return;
	}
	res->ret = r < 0 ? -errno : r;
	if (r > 0 && (op->kind == OP_READ || op->kind == OP_PREAD))
		res->len = (size_t)r;
}

/* The xattr calls have no *at form on the kernels this runs on: go through the start directory's own /proc name. */
static const char *full_path(World *w, int at, const char *path, char *buf, size_t size)
{
	if (path[0] == '/' || path[0] == 0)
		return path;
	snprintf(buf, size, "/proc/self/fd/%d/%s", at_fd(w, at), path);
	return buf;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts a list of NUL-terminated names in place. */
void sort_name_list(unsigned char *list, size_t len)
{
	const char *names[512];
	CLEAN_FREE char *copy = malloc(len + 1);
	size_t n = 0, at = 0;

	memcpy(copy, list, len);
	copy[len] = 0;
	for (size_t i = 0; i < len && n < ARRAY_LEN(names); i += strlen(copy + i) + 1)
		names[n++] = copy + i;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 0; i < n; i++) {
		memcpy(list + at, names[i], strlen(names[i]) + 1);
		at += strlen(names[i]) + 1;
	}
}

static void xattr_do(World *w, const Op *op, const char *path, Result *res)
{
	char buf[PATHS];
	long r;

	path = full_path(w, op->at1, path, buf, sizeof buf);
	if (op->kind == OP_SETXATTR)
		r = set_xattr(op, path);
	else if (op->kind == OP_REMOVEXATTR)
		r = lremovexattr(path, op->p2);
	else if (op->kind == OP_GETXATTR)
		r = lgetxattr(path, op->p2, res->data, (size_t)op->a);
	else
		r = llistxattr(path, (char *)res->data, sizeof res->data);
	res->ret = r < 0 ? -errno : r;
	if (r > 0 && op->kind == OP_LISTXATTR)
		sort_name_list(res->data, (size_t)r);
	if (r > 0 && ((op->kind == OP_GETXATTR && op->a > 0) || op->kind == OP_LISTXATTR))
		res->len = (size_t)r;
}

static void stat_path(World *w, const Op *op, int at, const char *path, int flags, Result *res)
{
	struct statx st;

	(void)op;
	res->ret = statx(at, path, flags & AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0 ? -errno : 0;
	if (res->ret < 0)
		return;
	res->meta = meta_of(w, &st);
	res->has_meta = true;
}

static long truncate_path(int at, const char *path, off_t size, const char *root)
{
	char buf[PATHS];

	(void)root;
	if (path[0] != '/' && path[0]) {
		snprintf(buf, sizeof buf, "/proc/self/fd/%d/%s", at, path);
		path = buf;
	}
	return truncate(path, size);
}

void real_do(World *w, const Op *op, Result *res)
{
	char b1[PATHS], b2[PATHS];
	const char *p1 = expand(w->plain, op->p1, b1, sizeof b1), *p2 = expand(w->plain, op->p2, b2, sizeof b2);
	int at1 = at_fd(w, op->at1), at2 = at_fd(w, op->at2);
	struct timespec times[2];
	long r = 0;

	switch (op->kind) {
	case OP_OPEN:
	case OP_OPENDIR:
		do_open(w, op, p1, res);
		return;
	case OP_MKDIR:
		r = mkdirat(at1, p1, op->mode & 07777);
		break;
	case OP_RMDIR:
		r = unlinkat(at1, p1, AT_REMOVEDIR);
		break;
	case OP_UNLINK:
		r = unlinkat(at1, p1, 0);
		break;
	case OP_RENAME:
		r = renameat2(at1, p1, at2, p2, (unsigned)op->flags);
		break;
	case OP_LINK:
		r = linkat(at1, p1, at2, p2, op->flags);
		break;
	case OP_SYMLINK:
		r = symlinkat(p2, at1, p1);
		break;
	case OP_READLINK:
		r = readlinkat(at1, p1, (char *)res->data, (size_t)op->b + 1);
		if (r > 0) {
			res->len = (size_t)r;
			unexpand(w->plain, (char *)res->data, res->len);
		}
		break;
	case OP_MKNOD:
		r = mknodat(at1, p1, op->mode, 0);
		break;
	case OP_CHMOD:
		r = syscall(452, at1, p1, op->mode & 07777, op->flags & AT_SYMLINK_NOFOLLOW); /* fchmodat2 */
		break;
	case OP_CHOWN:
		r = fchownat(at1, p1, (uid_t)op->a, (gid_t)op->b, op->flags & AT_SYMLINK_NOFOLLOW);
		break;
	case OP_UTIMENS:
		op_times(op, times);
		r = utimensat(at1, p1, times, op->flags & AT_SYMLINK_NOFOLLOW);
		break;
	case OP_TRUNCATE:
		r = truncate_path(at1, p1, op->a, w->plain);
		break;
	case OP_SETXATTR:
	case OP_GETXATTR:
	case OP_LISTXATTR:
	case OP_REMOVEXATTR:
		xattr_do(w, op, p1, res);
		return;
	case OP_ACCESS:
		r = faccessat(at1, p1, op->flags & 7, 0);
		break;
	case OP_STAT:
		stat_path(w, op, at1, p1, op->flags, res);
		return;
	case OP_LIST:
	case OP_LIST_START:
	case OP_LIST_STEP:
	case OP_LIST_END:
	case OP_COMMIT:
	case OP_REOPEN:
		return; /* compared by tree.c, or properties of the view alone */
	default:
		fd_do(w, op, res);
		return;
	}
	res->ret = r < 0 ? -errno : r;
}
