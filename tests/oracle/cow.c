/* tests/oracle/cow.c - the operations through cowfs.h, the way a front end does them: descriptors are mapped back to objects by identity. */
#include "tests/oracle/oracle.h"
#include "tests/oracle/list.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PATHS 9000

static CowReq request(const World *w, bool may_block)
{
	return (CowReq){.cred = &w->cred, .may_block = may_block};
}

/* Every call is first made without permission to block, as the front end does; -EINPROGRESS must mean that nothing happened yet. */
#define CALL(w, r, expr) \
	do { \
		CowReq req_ = request(w, false), *req = &req_; \
		(r) = (expr); \
		if ((r) == -EINPROGRESS) { \
			req_.may_block = true; \
			(r) = (expr); \
		} \
	} while (0)

int cow_open_world(World *w, bool create)
{
	char store[200], db[200], marks[200], watch[200], *err = NULL;
	CowfsConfig config = {.db_path = db, .mark_dir = marks, .watch_dir = watch, .flags = COWFS_LAZY | (create ? COWFS_CREATE : 0)};
	int r;

	snprintf(store, sizeof store, "%s/store", w->dir);
	snprintf(db, sizeof db, "%s/meta.db", w->dir);
	snprintf(marks, sizeof marks, "%s/marks", w->dir);
	snprintf(watch, sizeof watch, "%s/watch", w->dir);
	r = bv_remove_tree_at(AT_FDCWD, marks);
	if (r == 0)
		r = bv_remove_tree_at(AT_FDCWD, watch);
	if (r == 0 && mkdir(marks, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = blob_ops_find(w->scheme)->open(store, create ? BLOB_OPEN_CREATE : 0, &config.blobs, &err);
	if (r == 0) {
		config.durable = config.blobs->ops->durable;
		r = cowfs_open(&config, &w->fs, &err);
	}
	if (r < 0)
		world_fail(w, "opening the view: %s (%s)", strerror(-r), err ? err : "no message");
	else if ((r = cowfs_check(w->fs, &err)) < 0)
		world_fail(w, "%s after opening: %s", r == -EUCLEAN ? "invariant violated" : "cannot check", err ? err : strerror(-r));
	free(err);
	return r < 0 ? -1 : 0;
}

int cow_close_world(World *w)
{
	int r = 0;

	for (int i = 0; i < FILE_SLOTS; i++) {
		bv_close_fd(&w->real_file[i]);
		bv_close_fd(&w->cow_file[i]);
	}
	for (int i = 0; i < DIR_SLOTS; i++) {
		list_forget(&w->listing[i]);
		bv_close_fd(&w->real_dir[i]);
		bv_close_fd(&w->cow_dir[i]);
	}
	if (w->fs)
		r = cowfs_close(w->fs);
	w->fs = NULL;
	return r < 0 ? world_fail(w, "closing the view: %s", strerror(-r)) : 0;
}

int cow_loc_of_fd(World *w, int fd, CowLoc *loc)
{
	CowReq req = request(w, true);
	char self[40], host[PATHS];
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = cowfs_by_identity(w->fs, st.st_dev, st.st_ino, loc);
	if (r != -ESTALE)
		return r;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	n = readlink(self, host, sizeof host - 1);
	if (n < 0)
		return -errno;
	host[n] = 0;
	return cowfs_by_host_path(w->fs, &req, host, st.st_dev, st.st_ino, loc);
}

/* The root of the tree is found whatever was done to the directories above it: the other side has it open. */
static int start_loc(World *w, int slot, CowLoc *loc)
{
	const CowCred any = {.uid = 0};
	const CowReq req = {.cred = &any, .may_block = true};

	if (slot >= 0 && w->cow_dir[slot] >= 0)
		return cow_loc_of_fd(w, w->cow_dir[slot], loc);
	return cowfs_resolve(w->fs, &req, NULL, w->lower, COW_DIRECTORY, 0, loc);
}

static void stat_fd(World *w, int fd, Result *res)
{
	struct statx st;

	res->ret = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0 ? -errno : 0;
	if (res->ret < 0)
		return;
	cowfs_translate_statx(w->fs, &st);
	res->meta = meta_of(w, &st);
	res->has_meta = true;
}

/* An fd opened read-only before the file was copied up keeps the old file: what it shows is not compared once the file has changed. */
static bool is_stale(World *w, int slot)
{
	char self[40], host[PATHS], prefix[200];
	struct stat st;
	ssize_t n;

	snprintf(self, sizeof self, "/proc/self/fd/%d", w->cow_file[slot]);
	n = readlink(self, host, sizeof host - 1);
	if (n < 0 || fstat(w->real_file[slot], &st) < 0)
		return false;
	host[n] = 0;
	snprintf(prefix, sizeof prefix, "%s/lower/", w->dir);
	return strncmp(host, prefix, strlen(prefix)) == 0 &&
	       (st.st_ctim.tv_sec != w->opened_ctime[slot].tv_sec || st.st_ctim.tv_nsec != w->opened_ctime[slot].tv_nsec);
}

static void install(World *w, const Op *op, int fd, Result *res)
{
	int *slot = op->kind == OP_OPENDIR ? &w->cow_dir[op->slot] : &w->cow_file[op->slot];

	if (op->kind == OP_OPENDIR)
		list_forget(&w->listing[op->slot]);
	bv_close_fd(slot);
	*slot = fd;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		world_fail(w, "cowfs gave a descriptor without O_CLOEXEC");
	stat_fd(w, fd, res);
}

/* A removed directory has no place from which cowfs could open it; as the supervisor does, it is opened through the descriptor there is. */
static int open_removed(World *w, int fd, const CowLoc *loc, int flags)
{
	char self[40];
	struct stat st;

	/* It may be the host's own, which is still there. */
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || !loc || !cowfs_is_removed(w->fs, loc))
		return -ENOENT;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	fd = open(self, flags);
	return fd < 0 ? -errno : fd;
}

static int do_open(World *w, const Op *op, const CowLoc *at, const char *path, Result *res)
{
	struct open_how how = {.flags = (unsigned)op->flags | O_CLOEXEC, .resolve = op->resolve};
	CowFile file = {.fd = -1};
	int r;

	if (op->kind == OP_OPENDIR)
		how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	if (!(how.flags & O_PATH))
		how.flags |= O_NONBLOCK;
	if ((how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE)
		how.mode = op->mode & 07777;
	CALL(w, r, cowfs_openat(w->fs, req, at, path, &how, &file));
	if (r == -ENOENT && op->at1 >= 0 && !(how.flags & O_CREAT) && path[strspn(path, "./")] == 0 && path[0] && !strstr(path, "..")) {
		file.fd = open_removed(w, w->cow_dir[op->at1], at, (int)how.flags);
		r = MIN(file.fd, 0);
	}
	if (r == 0)
		install(w, op, file.fd, res);
	return r;
}

static void set_attr_of(const Op *op, CowAttr *attr)
{
	struct timespec times[2];

	*attr = (CowAttr){0};
	switch (op->kind) {
	case OP_CHMOD:
	case OP_FCHMOD:
		attr->set = COW_SET_MODE;
		attr->mode = op->mode & 07777;
		break;
	case OP_CHOWN:
	case OP_FCHOWN:
		attr->set = COW_SET_UID | COW_SET_GID;
		attr->uid = (uid_t)op->a;
		attr->gid = (gid_t)op->b;
		break;
	default:
		op_times(op, times);
		attr->set = (times[0].tv_nsec != UTIME_OMIT ? COW_SET_ATIME : 0) | (times[1].tv_nsec != UTIME_OMIT ? COW_SET_MTIME : 0);
		if (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW)
			attr->set |= COW_TIMES_NOW_OK;
		attr->atime = times[0];
		attr->mtime = times[1];
	}
}

static long set_xattr(World *w, const Op *op, const CowLoc *at, const char *path, unsigned flags)
{
	static unsigned char value[70000];
	long r;

	fill_pattern(value, (size_t)op->a, (uint64_t)op->b);
	CALL(w, r, cowfs_setxattr(w->fs, req, at, path, flags, op->p2, value, (size_t)op->a, op->flags));
	return r;
}

static long reopen_fd(World *w, const Op *op, int fd, const CowLoc *loc, Result *res)
{
	int flags = op->flags | O_NONBLOCK | O_CLOEXEC;
	CowFile file = {.fd = -1};
	long r;

	CALL(w, r, cowfs_open_loc(w->fs, req, loc, flags, &file));
	if (r == -ENOENT) {
		file.fd = open_removed(w, fd, loc, flags);
		r = MIN(file.fd, 0);
	}
	if (r == 0)
		install(w, op, file.fd, res);
	return r;
}

/* Calls that need the object behind a descriptor. */
static long fd_object_do(World *w, const Op *op, int fd, Result *res)
{
	CLEAN_LOC CowLoc loc = {0}, at2 = {0};
	char buf[PATHS];
	CowAttr attr;
	long r;

	/* The kernel answers these itself for O_PATH; it looks at the arguments of fsetxattr first. */
	if (op->kind == OP_FSETXATTR && op->p2[0] == 0)
		return -ERANGE;
	if (op->kind == OP_FSETXATTR && op->a > 65536)
		return -E2BIG;
	if ((fcntl(fd, F_GETFL) & O_PATH) && op->kind != OP_FLINK && op->kind != OP_REOPEN_FD)
		return -EBADF;
	r = cow_loc_of_fd(w, fd, &loc);
	if (r < 0)
		return r;
	switch (op->kind) {
	case OP_FSETXATTR:
		return set_xattr(w, op, &loc, "", COW_EMPTY_PATH);
	case OP_FSYNC:
		CALL(w, r, cowfs_fsync(w->fs, req, &loc));
		return r;
	case OP_FLINK:
		r = start_loc(w, op->at2, &at2);
		if (r == 0)
			CALL(w, r, cowfs_link(w->fs, req, &loc, "", &at2, expand(w->lower, op->p2, buf, sizeof buf), AT_EMPTY_PATH));
		return r;
	case OP_REOPEN_FD:
		return reopen_fd(w, op, fd, &loc, res);
	default:
		set_attr_of(op, &attr);
		CALL(w, r, cowfs_setattr(w->fs, req, &loc, "", COW_EMPTY_PATH, &attr));
		return r;
	}
}

static void fd_do(World *w, const Op *op, Result *res)
{
	int fd = w->cow_file[op->slot];
	size_t len = (size_t)op->b;
	long r = 0;

	if (fd < 0)
		return;
	switch (op->kind) {
	case OP_CLOSE:
		bv_close_fd(&w->cow_file[op->slot]);
		break;
	case OP_READ:
	case OP_PREAD:
		res->skip = is_stale(w, op->slot);
		r = op->kind == OP_READ ? read(fd, res->data, len) : pread(fd, res->data, len, op->a);
		r = r < 0 ? -errno : r;
		res->len = r > 0 ? (size_t)r : 0;
		break;
	case OP_WRITE:
	case OP_PWRITE:
		fill_pattern(res->data, len, (uint64_t)op->a);
		r = op->kind == OP_WRITE ? write(fd, res->data, len) : pwrite(fd, res->data, len, op->a);
		r = r < 0 ? -errno : r;
		break;
	case OP_FTRUNCATE:
		r = ftruncate(fd, op->a) < 0 ? -errno : 0;
		break;
	case OP_FSTAT:
		res->skip = is_stale(w, op->slot);
		stat_fd(w, fd, res);
		return;
	default:
		r = fd_object_do(w, op, fd, res);
	}
	res->ret = r;
}

static long xattr_do(World *w, const Op *op, const CowLoc *at, const char *path, Result *res)
{
	long r;

	if (op->kind == OP_SETXATTR)
		return set_xattr(w, op, at, path, COW_NOFOLLOW);
	if (op->kind == OP_REMOVEXATTR) {
		CALL(w, r, cowfs_removexattr(w->fs, req, at, path, COW_NOFOLLOW, op->p2));
		return r;
	}
	if (op->kind == OP_GETXATTR)
		CALL(w, r, cowfs_getxattr(w->fs, req, at, path, COW_NOFOLLOW, op->p2, res->data, (size_t)op->a));
	else
		CALL(w, r, cowfs_listxattr(w->fs, req, at, path, COW_NOFOLLOW, (char *)res->data, sizeof res->data));
	if (r > 0 && op->kind == OP_LISTXATTR)
		sort_name_list(res->data, (size_t)r);
	if (r > 0 && ((op->kind == OP_GETXATTR && op->a > 0) || op->kind == OP_LISTXATTR))
		res->len = (size_t)r;
	return r;
}

static long change_names(World *w, const Op *op, const CowLoc *at, const char *p1, const char *p2)
{
	CLEAN_LOC CowLoc at2 = {0};
	long r = 0;

	if (op->kind == OP_RENAME || op->kind == OP_LINK)
		r = start_loc(w, op->at2, &at2);
	if (r < 0)
		return r;
	switch (op->kind) {
	case OP_MKDIR:
		CALL(w, r, cowfs_mkdir(w->fs, req, at, p1, op->mode & 07777));
		break;
	case OP_RMDIR:
		CALL(w, r, cowfs_unlink(w->fs, req, at, p1, AT_REMOVEDIR));
		break;
	case OP_UNLINK:
		CALL(w, r, cowfs_unlink(w->fs, req, at, p1, 0));
		break;
	case OP_RENAME:
		CALL(w, r, cowfs_rename(w->fs, req, at, p1, &at2, p2, (unsigned)op->flags));
		break;
	case OP_LINK:
		CALL(w, r, cowfs_link(w->fs, req, at, p1, &at2, p2, op->flags));
		break;
	case OP_SYMLINK:
		CALL(w, r, cowfs_symlink(w->fs, req, p2, at, p1));
		break;
	default:
		CALL(w, r, cowfs_mknod(w->fs, req, at, p1, op->mode, 0));
	}
	return r;
}

bool oracle_watches;

static void watch_too(World *w, const CowLoc *at, const char *path, unsigned flags)
{
	CLEAN_LOC CowLoc loc = {0};
	CLEAN_FD int fd = -1;
	int r;

	if (!oracle_watches)
		return;
	CALL(w, r, cowfs_resolve(w->fs, req, at, path, flags, 0, &loc));
	if (r == 0)
		CALL(w, r, cowfs_watch_place(w->fs, req, &loc, IN_ALL_EVENTS, &fd));
}

static long stat_path(World *w, const CowLoc *at, const char *path, unsigned flags, Result *res)
{
	struct statx st;
	long r;

	CALL(w, r, cowfs_statx(w->fs, req, at, path, flags, STATX_BASIC_STATS, &st));
	if (r == 0)
		watch_too(w, at, path, flags);
	if (r == 0) {
		res->meta = meta_of(w, &st);
		res->has_meta = true;
	}
	return r;
}

static long read_link(World *w, const CowLoc *at, const char *path, size_t size, Result *res)
{
	long r;

	CALL(w, r, cowfs_readlink(w->fs, req, at, path, COW_NOFOLLOW, (char *)res->data, size));
	if (r > 0) {
		res->len = (size_t)r;
		unexpand(w->lower, (char *)res->data, res->len);
	}
	return r;
}

static long path_do(World *w, const Op *op, const char *p1, const char *p2, Result *res)
{
	unsigned follow = op->flags & AT_SYMLINK_NOFOLLOW ? COW_NOFOLLOW : 0;
	CLEAN_LOC CowLoc at = {0};
	CowAttr attr;
	long r = start_loc(w, op->at1, &at);

	if (r < 0)
		return r;
	switch (op->kind) {
	case OP_OPEN:
	case OP_OPENDIR:
		return do_open(w, op, &at, p1, res);
	case OP_READLINK:
		return read_link(w, &at, p1, (size_t)op->b + 1, res);
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMENS:
		set_attr_of(op, &attr);
		CALL(w, r, cowfs_setattr(w->fs, req, &at, p1, follow, &attr));
		return r;
	case OP_TRUNCATE:
		CALL(w, r, cowfs_truncate(w->fs, req, &at, p1, (uint64_t)op->a));
		return r;
	case OP_SETXATTR:
	case OP_GETXATTR:
	case OP_LISTXATTR:
	case OP_REMOVEXATTR:
		return xattr_do(w, op, &at, p1, res);
	case OP_ACCESS:
		CALL(w, r, cowfs_access(w->fs, req, &at, p1, 0, op->flags & 7));
		return r;
	case OP_STAT:
		return stat_path(w, &at, p1, follow, res);
	default:
		return change_names(w, op, &at, p1, p2);
	}
}

void cow_do(World *w, const Op *op, Result *res)
{
	char b1[PATHS], b2[PATHS];
	const char *p1 = expand(w->lower, op->p1, b1, sizeof b1), *p2 = expand(w->lower, op->p2, b2, sizeof b2);
	long r;

	switch (op->kind) {
	case OP_LIST:
		break; /* the trees are compared as wholes */
	case OP_LIST_START:
		list_start(w, op->slot);
		break;
	case OP_LIST_STEP:
		list_step(w, op->slot, 100 + (size_t)op->b);
		break;
	case OP_LIST_END:
		list_end(w, op->slot);
		break;
	case OP_COMMIT:
		r = cowfs_commit(w->fs, op->b % 2);
		if (r < 0)
			world_fail(w, "commit: %s", strerror((int)-r));
		break;
	case OP_REOPEN:
		if (cow_close_world(w) == 0 && (op->b % 2 || cow_repack_world(w) == 0))
			(void)cow_open_world(w, false);
		break;
	default:
		if ((op->kind >= OP_CLOSE && op->kind <= OP_REOPEN_FD))
			fd_do(w, op, res);
		else
			res->ret = path_do(w, op, p1, p2, res);
	}
}
