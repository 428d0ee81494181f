#include "supervisor/builtin.h"
#include "supervisor/control.h"
#include "supervisor/title.h"

#include "base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define CLAIM_FROM 65536 /* bytes */
#define LEASE_TRIES 200	 /* of 10 ms */

typedef struct Request {
	const char *call;
	unsigned flags; /* FILE_* */
	mode_t mode;
	char *path;
	const char *to;
} Request;

/* As mkdir -p: what is there is not asked what it is, as the next step finds out. */
static int make_parents(char *path)
{
	int err = 0;

	for (char *slash = strchr(path + 1, '/'); slash && !err; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			err = errno;
		*slash = '/';
	}
	return err;
}

/* ---- write ---- */

/* Never waits for the other end of a FIFO, a terminal, or a device. EAGAIN is a lease on the file, such as one by which it is found out who has it open: that is over in a moment. */
static int open_target(const Request *q)
{
	int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, fd;

	flags |= q->flags & FILE_APPEND ? O_APPEND : O_TRUNC;
	flags |= q->flags & FILE_EXCLUSIVE ? O_EXCL : 0;
	for (int tries = 0; (fd = open(q->path, flags, q->mode)) < 0 && errno == EAGAIN && tries < LEASE_TRIES; tries++)
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	return fd;
}

/* So that what there is no room for is not begun; and who goes beyond a limit of the sandbox is told so by an errno, where who writes there would be killed. */
static int claim_room(int from, int to)
{
	struct stat data, file;

	if (fstat(from, &data) < 0 || fstat(to, &file) < 0)
		return errno;
	if (!S_ISREG(file.st_mode) || data.st_size < CLAIM_FROM)
		return 0;
	if (fallocate(to, FALLOC_FL_KEEP_SIZE, file.st_size, data.st_size) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? errno : 0;
}

static int copy_bytes(int from, int to)
{
	char buf[65536];
	off_t at = 0;
	int err = claim_room(from, to);

	if (err)
		return err;
	for (;;) {
		ssize_t n = pread(from, buf, sizeof buf, at);
		if (n <= 0)
			return n < 0 ? errno : 0;
		int r = bv_write_full(to, buf, (size_t)n);
		if (r < 0)
			return -r;
		at += n;
	}
}

static int do_write(const Request *q)
{
	int fd = open_target(q), err = fd < 0 ? errno : 0;

	if (err == ENOENT && (q->flags & FILE_PARENTS)) {
		err = make_parents(q->path);
		fd = err ? -1 : open_target(q);
		err = !err && fd < 0 ? errno : err;
	}
	if (err)
		return err;
	err = copy_bytes(0, fd);
	return close(fd) < 0 && !err ? errno : err;
}

/* ---- directories and names ---- */

static int is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int do_mkdir(const Request *q)
{
	int err = mkdir(q->path, q->mode) < 0 ? errno : 0;

	if (!(q->flags & FILE_PARENTS))
		return err;
	if (err == ENOENT) {
		err = make_parents(q->path);
		if (!err)
			err = mkdir(q->path, q->mode) < 0 ? errno : 0;
	}
	return err == EEXIST && is_directory(q->path) ? 0 : err;
}

static int do_remove(const Request *q)
{
	if (unlink(q->path) == 0)
		return 0;
	if (errno != EISDIR)
		return errno;
	if (rmdir(q->path) == 0)
		return 0;
	return errno == ENOTEMPTY && (q->flags & FILE_RECURSIVE) ? builtin_remove_tree(q->path) : errno;
}

static int do_rename(const Request *q)
{
	return renameat2(AT_FDCWD, q->path, AT_FDCWD, q->to, q->flags & FILE_NO_REPLACE ? RENAME_NOREPLACE : 0) < 0 ? errno : 0;
}

/* ---- stat ---- */

static int do_stat(const Request *q)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = 0;

	if (fstatat(AT_FDCWD, q->path, &st, q->flags & FILE_NO_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return errno;
	if (S_ISLNK(st.st_mode) && (n = readlink(q->path, target, sizeof target)) < 0)
		return errno;
	FileStat answer = {.ino = st.st_ino,
			   .bytes = (uint64_t)st.st_size,
			   .mtime_sec = st.st_mtim.tv_sec,
			   .mtime_nsec = (uint32_t)st.st_mtim.tv_nsec,
			   .mode = st.st_mode,
			   .uid = st.st_uid,
			   .gid = st.st_gid,
			   .links = (uint32_t)st.st_nlink,
			   .target_len = (uint32_t)n};
	const struct iovec parts[] = {{&answer, sizeof answer}, {target, (size_t)n}};
	return writev(0, parts, ARRAY_LEN(parts)) < 0 ? errno : 0;
}

/* ---- which ---- */

static int do_watch(const Request *q)
{
	title_set("bvisor-watch");
	return builtin_watch(q->path, q->flags & FILE_RECURSIVE);
}

static const struct {
	const char *call;
	int (*run)(const Request *q);
} calls[] = {{"write", do_write}, {"mkdir", do_mkdir}, {"remove", do_remove}, {"rename", do_rename}, {"stat", do_stat}, {"watch", do_watch}};

_Noreturn void builtin_run(char *const *args)
{
	Request q = {args[0], (unsigned)strtoul(args[1], NULL, 10), (mode_t)strtoul(args[2], NULL, 10), args[3], args[4]};

	title_set("bvisor-file");
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (strcmp(q.call, calls[i].call) == 0)
			_exit(calls[i].run(&q));
	_exit(ENOSYS);
}
