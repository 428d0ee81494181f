/* tests/guest/hosttouch.c - each file-changing system call against each kind of object, reached in each way.
 *
 * The table holds the call and its arguments, with A_* standing for what depends on the object. The runner checks that every call of the
 * kernel's tables is in this one, in refused.c or in unchanging.txt, and that the host's tree is as before. Each row and way has a
 * directory of its own (touch/NNN), so that "lower" objects are untouched ones.
 *
 * FIXTURE: touch
 * HIDE: secret concealed
 * COVERS: open creat openat openat2 mkdir mkdirat mknod mknodat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
 * COVERS: chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes futimesat utimensat truncate ftruncate fallocate
 * COVERS: setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr setxattrat removexattrat file_setattr
 * COVERS: write pwrite64 writev pwritev pwritev2 sendfile splice copy_file_range mmap io_submit ioctl bind */
#include "guest.h"

#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <utime.h>

enum { A_BASE = 0x5eed0000, A_PATH, A_AT, A_NEW, A_AID, A_FD, A_NAME, A_OLDNAME, A_DATA, A_IOV, A_SPEC, A_TV, A_UTB, A_HOW, A_XARGS, A_ATTR, A_SOCK, A_SUN, A_SUNLEN, A_INFD, A_PIPE, A_FLAGS, A_AIO, A_AIOPP, A_LAST };

struct Row {
	const char *name;
	long nr;
	long args[6];
};

#define ROW(call, ...) {#call, __NR_##call, {__VA_ARGS__}}

static const struct Row rows[] = {
#ifdef __NR_open /* calls that only x86_64 has */
	ROW(open, A_PATH, O_WRONLY | O_CREAT | O_TRUNC, 0640),
	ROW(creat, A_PATH, 0640),
	ROW(mkdir, A_PATH, 0750),
	ROW(mknod, A_PATH, S_IFIFO | 0640, 0),
	ROW(rmdir, A_PATH),
	ROW(unlink, A_PATH),
	ROW(rename, A_PATH, A_NEW),
	ROW(rename, A_AID, A_PATH),
	ROW(link, A_PATH, A_NEW),
	ROW(link, A_AID, A_PATH),
	ROW(symlink, A_NAME, A_PATH),
	ROW(chmod, A_PATH, 0601),
	ROW(chown, A_PATH, 3, 4),
	ROW(lchown, A_PATH, 3, 4),
	ROW(utime, A_PATH, A_UTB),
	ROW(utimes, A_PATH, A_TV),
	ROW(futimesat, A_AT, A_PATH, A_TV),
#endif
#ifdef __NR_renameat /* riscv and later have only renameat2 */
	ROW(renameat, A_AT, A_PATH, AT_FDCWD, A_NEW),
	ROW(renameat, AT_FDCWD, A_AID, A_AT, A_PATH),
#endif
	ROW(openat, A_AT, A_PATH, O_WRONLY | O_CREAT | O_TRUNC, 0640),
	ROW(openat, A_AT, A_PATH, O_WRONLY | O_CREAT | O_EXCL, 0640),
	ROW(openat, A_AT, A_PATH, O_RDWR | O_TMPFILE, 0640),
	ROW(openat2, A_AT, A_PATH, A_HOW, sizeof(struct open_how)),
	ROW(mkdirat, A_AT, A_PATH, 0750),
	ROW(mknodat, A_AT, A_PATH, S_IFREG | 0640, 0),
	ROW(unlinkat, A_AT, A_PATH, 0),
	ROW(unlinkat, A_AT, A_PATH, AT_REMOVEDIR),
	ROW(renameat2, A_AT, A_PATH, AT_FDCWD, A_NEW, 1),
	ROW(renameat2, AT_FDCWD, A_AID, A_AT, A_PATH, 0),
	ROW(renameat2, A_AT, A_PATH, AT_FDCWD, A_AID, 2),
	ROW(linkat, A_AT, A_PATH, AT_FDCWD, A_NEW, 0),
	ROW(linkat, A_AT, A_PATH, AT_FDCWD, A_NEW, AT_SYMLINK_FOLLOW),
	ROW(linkat, AT_FDCWD, A_AID, A_AT, A_PATH, 0),
	ROW(symlinkat, A_NAME, A_AT, A_PATH),
	ROW(fchmod, A_FD, 0601),
	ROW(fchmodat, A_AT, A_PATH, 0601),
	ROW(fchmodat2, A_AT, A_PATH, 0601, AT_SYMLINK_NOFOLLOW),
	ROW(fchown, A_FD, 3, 4),
	ROW(fchownat, A_AT, A_PATH, 3, 4, AT_SYMLINK_NOFOLLOW),
	ROW(utimensat, A_AT, A_PATH, A_SPEC, 0),
	ROW(utimensat, A_AT, A_PATH, A_SPEC, AT_SYMLINK_NOFOLLOW),
	ROW(utimensat, A_FD, 0, A_SPEC, 0),
	ROW(truncate, A_PATH, 2),
	ROW(ftruncate, A_FD, 2),
	ROW(fallocate, A_FD, 0, 0, 9000),
	ROW(setxattr, A_PATH, A_NAME, A_DATA, 4, 0),
	ROW(lsetxattr, A_PATH, A_NAME, A_DATA, 4, 0),
	ROW(fsetxattr, A_FD, A_NAME, A_DATA, 4, 0),
	ROW(setxattrat, A_AT, A_PATH, 0, A_NAME, A_XARGS, 16),
	ROW(removexattr, A_PATH, A_OLDNAME),
	ROW(lremovexattr, A_PATH, A_OLDNAME),
	ROW(fremovexattr, A_FD, A_OLDNAME),
	ROW(removexattrat, A_AT, A_PATH, 0, A_OLDNAME),
	ROW(file_setattr, A_AT, A_PATH, A_ATTR, 8, 0),
	ROW(write, A_FD, A_DATA, 4),
	ROW(pwrite64, A_FD, A_DATA, 4, 1),
	ROW(writev, A_FD, A_IOV, 1),
	ROW(pwritev, A_FD, A_IOV, 1, 2, 0),
	ROW(pwritev2, A_FD, A_IOV, 1, 2, 0, 0),
	ROW(sendfile, A_FD, A_INFD, 0, 4),
	ROW(splice, A_PIPE, 0, A_FD, 0, 4, 0),
	ROW(copy_file_range, A_INFD, 0, A_FD, 0, 4, 0),
	ROW(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, A_FD, 0),
	ROW(io_submit, A_AIO, 1, A_AIOPP),
	ROW(ioctl, A_FD, FS_IOC_SETFLAGS, A_FLAGS),
	ROW(bind, A_SOCK, A_SUN, A_SUNLEN),
};

enum Target { T_LOWER, T_UPPER, T_WHITEOUT, T_DIR, T_SYMLINK, T_SECRET, T_CONCEALED, TARGETS };
enum Way { W_CWD, W_ABSOLUTE, W_DIRFD, W_PROC_FD, W_PROC_ROOT, W_PROC_CWD, WAYS };
static const char *const target_names[] = {"lower", "upper", "gone", "dir", "link", "secret", "concealed/in"};
static const char *const way_names[] = {"cwd", "absolute", "dirfd", "/proc/self/fd", "/proc/self/root", "/proc/self/cwd"};

enum { DIR_FD = 90, OBJECT_FD = 91 }; /* numbers that both runs have free */

struct Place {
	int at;
	char path[PATH_MAX]; /* relative to `at` */
	char plain[PATH_MAX]; /* the same without `at`, for calls that have none */
	char fresh[PATH_MAX], aid[PATH_MAX];
};

static char where[PATH_MAX + 32]; /* touch/NNN, absolute */

static bool hidden(enum Target t)
{
	return t == T_SECRET || t == T_CONCEALED;
}

static void move_fd(int fd, int to)
{
	if (fd >= 0) {
		dup2(fd, to);
		close(fd);
	} else {
		close(to);
	}
}

/* Builds the path in the given way; `base` is the directory, `name` the object in it. */
static void reach(struct Place *p, enum Target t, enum Way w)
{
	const char *base = hidden(t) ? guest_fixture : where, *name = target_names[t];
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%.3000s/%.200s", base, name);
	snprintf(p->fresh, sizeof(p->fresh), "%.4000s/fresh", where);
	snprintf(p->aid, sizeof(p->aid), "%.4000s/aid", where);
	move_fd(open(base, O_RDONLY | O_DIRECTORY), DIR_FD);
	p->at = w == W_DIRFD ? DIR_FD : AT_FDCWD;
	if (chdir(base) < 0)
		printf("chdir %s: %s\n", base, errname(errno));
	if (w == W_CWD || w == W_DIRFD)
		snprintf(p->path, sizeof(p->path), "%s", name);
	else if (w == W_PROC_FD)
		snprintf(p->path, sizeof(p->path), "/proc/self/fd/%d", OBJECT_FD);
	else
		snprintf(p->path, sizeof(p->path), "%.20s%.4000s", w == W_PROC_ROOT ? "/proc/self/root" : w == W_PROC_CWD ? "/proc/self/cwd/" : "", w == W_PROC_CWD ? name : full);
	if (w == W_DIRFD)
		snprintf(p->plain, sizeof(p->plain), "/proc/self/fd/%d/%s", DIR_FD, name);
	else
		strcpy(p->plain, p->path);
	if (w == W_PROC_FD) {
		int object = open(full, O_PATH | O_NOFOLLOW);

		if (object < 0)
			printf("O_PATH %s: %s\n", target_names[t], errname(errno));
		move_fd(object, OBJECT_FD);
	}
}

static int object_fd(const struct Place *p)
{
	int fd = openat(p->at, p->path, O_RDWR | O_NONBLOCK);

	return fd < 0 && errno == EISDIR ? openat(p->at, p->path, O_RDONLY) : fd;
}

static int pipe_with(const char *text)
{
	int pipes[2];

	if (pipe(pipes) < 0 || write(pipes[1], text, strlen(text)) < 0)
		return -1;
	close(pipes[1]);
	return pipes[0];
}

/* What the arguments stand for; the opened ones are closed by try(). */
struct Values {
	int fd, in, pipe, sock;
	aio_context_t aio;
	struct iocb cb, *cbs[1];
	struct iovec iov;
	struct timespec spec[2];
	struct timeval tv[2];
	struct utimbuf utb;
	struct open_how how;
	struct {
		uint64_t value;
		uint32_t size, flags;
	} xargs;
	uint64_t attr[4];
	long flags;
	struct sockaddr_un sun;
};

static char touched[] = "TOUCHED";

static void fill(struct Values *v)
{
	memset(v, 0, sizeof(*v));
	v->fd = v->in = v->pipe = v->sock = -1;
	v->iov = (struct iovec){touched, 4};
	v->spec[0].tv_sec = v->spec[1].tv_sec = 12345;
	v->tv[0].tv_sec = v->tv[1].tv_sec = 12345;
	v->utb.actime = v->utb.modtime = 12345;
	v->how.flags = O_WRONLY | O_CREAT | O_TRUNC;
	v->how.mode = 0640;
	v->xargs.value = (uintptr_t)touched;
	v->xargs.size = 4;
	v->flags = 0x10; /* FS_IMMUTABLE_FL; only not root gets here */
}

static bool uses(const struct Row *row, long arg)
{
	for (int i = 0; i < 6; i++)
		if (row->args[i] == arg)
			return true;
	return false;
}

/* false: the object itself could not be opened (errno says why), so the call has nothing to work on. */
static bool acquire(const struct Row *row, const struct Place *p, struct Values *v)
{
	bool aio = uses(row, A_AIO);

	if ((uses(row, A_FD) || aio) && (v->fd = object_fd(p)) < 0)
		return false;
	if (uses(row, A_INFD))
		v->in = open(p->aid, O_RDONLY);
	if (uses(row, A_PIPE))
		v->pipe = pipe_with("PIPED");
	if (uses(row, A_SOCK)) {
		v->sock = socket(AF_UNIX, SOCK_STREAM, 0);
		v->sun.sun_family = AF_UNIX;
		memcpy(v->sun.sun_path, p->plain, strnlen(p->plain, sizeof(v->sun.sun_path) - 1));
	}
	if (aio) {
		v->cb = (struct iocb){.aio_fildes = (uint32_t)v->fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uintptr_t)touched, .aio_nbytes = 4};
		v->cbs[0] = &v->cb;
		if (syscall(__NR_io_setup, 1, &v->aio) < 0)
			return false;
	}
	return true;
}

static long value_of(long arg, const struct Place *p, struct Values *v, bool has_at)
{
	const long known[A_LAST - A_BASE] = {[A_PATH - A_BASE] = (long)(has_at ? p->path : p->plain), [A_AT - A_BASE] = p->at, [A_NEW - A_BASE] = (long)p->fresh, [A_AID - A_BASE] = (long)p->aid,
		[A_FD - A_BASE] = v->fd, [A_NAME - A_BASE] = (long)"user.touch", [A_OLDNAME - A_BASE] = (long)"user.old", [A_DATA - A_BASE] = (long)touched, [A_IOV - A_BASE] = (long)&v->iov,
		[A_SPEC - A_BASE] = (long)v->spec, [A_TV - A_BASE] = (long)v->tv, [A_UTB - A_BASE] = (long)&v->utb, [A_HOW - A_BASE] = (long)&v->how, [A_XARGS - A_BASE] = (long)&v->xargs,
		[A_ATTR - A_BASE] = (long)v->attr, [A_SOCK - A_BASE] = v->sock, [A_SUN - A_BASE] = (long)&v->sun, [A_SUNLEN - A_BASE] = sizeof(v->sun), [A_INFD - A_BASE] = v->in,
		[A_PIPE - A_BASE] = v->pipe, [A_FLAGS - A_BASE] = (long)&v->flags, [A_AIO - A_BASE] = (long)v->aio, [A_AIOPP - A_BASE] = (long)v->cbs};

	return arg > A_BASE && arg < A_LAST ? known[arg - A_BASE] : arg;
}

/* What follows a call that only prepared the change. */
static long finish(const struct Row *row, long r, struct Values *v)
{
	if (row->nr == __NR_mmap && r != -1) {
		memcpy((void *)r, touched, 4);
		munmap((void *)r, 4096);
		return 0;
	}
	if (row->nr == __NR_io_submit && r == 1) {
		struct io_event event;

		syscall(__NR_io_getevents, v->aio, 1, 1, &event, NULL);
		errno = event.res < 0 ? (int)-event.res : 0;
		return event.res < 0 ? -1 : 0;
	}
	return r;
}

static bool opens(const struct Row *row)
{
	return strncmp(row->name, "open", 4) == 0 || strcmp(row->name, "creat") == 0;
}

static long try(const struct Row *row, const struct Place *p)
{
	struct Values v;
	long a[6], r = -1;

	fill(&v);
	if (acquire(row, p, &v)) {
		for (int i = 0; i < 6; i++)
			a[i] = value_of(row->args[i], p, &v, uses(row, A_AT));
		r = finish(row, syscall(row->nr, a[0], a[1], a[2], a[3], a[4], a[5]), &v);
	}
	int e = errno;
	if (opens(row))
		close_quiet((int)r);
	close_quiet(v.fd);
	close_quiet(v.in);
	close_quiet(v.pipe);
	close_quiet(v.sock);
	if (v.aio)
		syscall(__NR_io_destroy, v.aio);
	errno = e;
	return r;
}

static void prepare(enum Target t)
{
	if (t == T_UPPER) {
		int fd = open("upper", O_WRONLY | O_APPEND);

		if (fd < 0 || write(fd, "more\n", 5) != 5)
			printf("upper was not made: %s\n", errname(errno));
		close_quiet(fd);
	} else if (t == T_WHITEOUT && unlink("gone") < 0) {
		printf("gone is not there: %s\n", errname(errno));
	}
}

static void state(const char *path)
{
	struct stat st;
	char text[32] = "";
	int fd;

	if (lstat(path, &st) < 0) {
		printf(" [%s]", errname(errno));
		return;
	}
	printf(" [%c%04o %d/%d %ld %s", type_letter(st.st_mode), st.st_mode & 07777, (int)st.st_uid, (int)st.st_gid, S_ISDIR(st.st_mode) ? 0 : (long)st.st_nlink,
	       st.st_mtime == 12345 ? "set" : recent(st.st_mtim) ? "recent" : "old");
	if (S_ISREG(st.st_mode) && (fd = open(path, O_RDONLY)) >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		printf(" %lld ", (long long)st.st_size);
		print_bytes(text, n < 0 ? 0 : strlen(text));
		close(fd);
	}
	printf("]");
}

/* What hides stays hidden; what a guest made in its place goes away again. */
static void clear_hidden(void)
{
	if (unlink("secret") < 0)
		rmdir("secret");
	if (unlink("concealed/in") < 0)
		rmdir("concealed/in");
	rmdir("concealed");
}

static void one(const struct Row *row, enum Target t, enum Way w)
{
	static struct Place p;

	if (chdir(where) < 0)
		printf("chdir: %s\n", errname(errno));
	if (access("aid", F_OK) < 0)
		put("aid", "aid again\n");
	prepare(t);
	reach(&p, t, w);
	long r = try(row, &p);
	int e = errno;

	printf("%s%s %s %s -> %s", row->name, row->args[0] == A_AID || row->args[1] == A_AID ? " onto" : "", target_names[t], way_names[w], r >= 0 ? "ok" : row->nr == __NR_ioctl && e == EOPNOTSUPP ? "EPERM" : errname(e)); /* both say: no such flag for you */
	state(target_names[t]);
	if (chdir(where) == 0) {
		state("fresh");
		if (t == T_SYMLINK)
			state("aim");
		if (unlink("fresh") < 0 && rmdir("fresh") < 0 && errno == ENOTEMPTY) {
			unlink("fresh/in");
			rmdir("fresh");
		}
	}
	printf("\n");
	if (chdir(guest_fixture) == 0)
		clear_hidden();
}

int main(void)
{
	for (size_t r = 0; r < COUNT(rows); r++)
		for (enum Way w = 0; w < WAYS; w++) {
			if (rows[r].nr == __NR_ioctl && geteuid() == 0)
				continue; /* root may natively make the copy's files immutable; refused.c tries it in the sandbox */
			snprintf(where, sizeof(where), "%s/touch/%03zu", guest_fixture, r * WAYS + w);
			for (enum Target t = 0; t < TARGETS; t++)
				one(&rows[r], t, w);
		}
	return 0;
}
