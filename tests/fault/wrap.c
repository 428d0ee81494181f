/* tests/fault/wrap.c - the linker sends every listed call of the layers (and of the test) to __wrap_NAME, which fails when its turn has come.
 *
 * SQLite is a shared library: its own calls into libc are not seen, its interface is. The errors rotate with the number of the call, so that
 * different runs see different reasons; all are errors that the call can give. */
#include "tests/fault/wrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

Fault fault;

static bool fails(const char *name)
{
	if (!atomic_load(&fault.armed))
		return false;
	if (atomic_fetch_add(&fault.calls, 1) + 1 != atomic_load(&fault.fail_at))
		return false;
	fault.name = name;
	atomic_fetch_add(&fault.fired, 1);
	return true;
}

static int reason(int a, int b, int c)
{
	const int reasons[] = {a, b, c};

	return reasons[atomic_load(&fault.fail_at) % 3];
}

/* A wrapper for a call whose failure is `bad` with errno set. */
#define WRAP(type, name, bad, errnos, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		if (fails(#name)) { \
			errno = reason errnos; \
			return bad; \
		} \
		return __real_##name args; \
	}

#define DIR_ERRORS (ENOSPC, EIO, ENOMEM)

WRAP(void *, malloc, NULL, (ENOMEM, ENOMEM, ENOMEM), (size_t n), (n))
WRAP(void *, calloc, NULL, (ENOMEM, ENOMEM, ENOMEM), (size_t n, size_t m), (n, m))
WRAP(void *, realloc, NULL, (ENOMEM, ENOMEM, ENOMEM), (void *p, size_t n), (p, n))
WRAP(char *, strdup, NULL, (ENOMEM, ENOMEM, ENOMEM), (const char *s), (s))
WRAP(char *, strndup, NULL, (ENOMEM, ENOMEM, ENOMEM), (const char *s, size_t n), (s, n))
WRAP(int, vasprintf, -1, (ENOMEM, ENOMEM, ENOMEM), (char **out, const char *fmt, va_list ap), (out, fmt, ap))

WRAP(int, fstat64, -1, (EIO, ENOMEM, EIO), (int fd, struct stat64 *st), (fd, st))
WRAP(int, fstatat64, -1, (EIO, ENOMEM, EACCES), (int fd, const char *p, struct stat64 *st, int fl), (fd, p, st, fl))
WRAP(int, statx, -1, (EIO, ENOMEM, EACCES), (int fd, const char *p, int fl, unsigned m, struct statx *st), (fd, p, fl, m, st))
WRAP(int, mkdirat, -1, DIR_ERRORS, (int fd, const char *p, mode_t m), (fd, p, m))
WRAP(int, mkdir, -1, DIR_ERRORS, (const char *p, mode_t m), (p, m))
WRAP(int, mknodat, -1, DIR_ERRORS, (int fd, const char *p, mode_t m, dev_t d), (fd, p, m, d))
WRAP(int, unlinkat, -1, (EIO, ENOMEM, EROFS), (int fd, const char *p, int fl), (fd, p, fl))
WRAP(int, renameat, -1, DIR_ERRORS, (int fd, const char *p, int fd2, const char *q), (fd, p, fd2, q))
WRAP(int, linkat, -1, DIR_ERRORS, (int fd, const char *p, int fd2, const char *q, int fl), (fd, p, fd2, q, fl))
WRAP(int, symlinkat, -1, DIR_ERRORS, (const char *t, int fd, const char *p), (t, fd, p))
WRAP(ssize_t, readlinkat, -1, (EIO, ENOMEM, EACCES), (int fd, const char *p, char *b, size_t n), (fd, p, b, n))
WRAP(ssize_t, readlink, -1, (EIO, ENOMEM, EACCES), (const char *p, char *b, size_t n), (p, b, n))
WRAP(int, faccessat, -1, (EIO, ENOMEM, EACCES), (int fd, const char *p, int m, int fl), (fd, p, m, fl))
WRAP(int, fchmod, -1, (EIO, EPERM, EROFS), (int fd, mode_t m), (fd, m))
WRAP(int, fchmodat, -1, (EIO, EPERM, EROFS), (int fd, const char *p, mode_t m, int fl), (fd, p, m, fl))
WRAP(int, utimensat, -1, (EIO, EPERM, EROFS), (int fd, const char *p, const struct timespec t[2], int fl), (fd, p, t, fl))
WRAP(int, futimens, -1, (EIO, EPERM, EROFS), (int fd, const struct timespec t[2]), (fd, t))
WRAP(int, ftruncate64, -1, (EIO, ENOSPC, EIO), (int fd, off64_t n), (fd, n))
WRAP(int, fsync, -1, (EIO, ENOSPC, EDQUOT), (int fd), (fd))
WRAP(int, fdatasync, -1, (EIO, ENOSPC, EDQUOT), (int fd), (fd))
WRAP(int, syncfs, -1, (EIO, ENOSPC, EDQUOT), (int fd), (fd))
WRAP(ssize_t, read, -1, (EIO, EINTR, EIO), (int fd, void *b, size_t n), (fd, b, n))
WRAP(ssize_t, write, -1, (EIO, ENOSPC, EINTR), (int fd, const void *b, size_t n), (fd, b, n))
WRAP(ssize_t, pread64, -1, (EIO, EIO, EIO), (int fd, void *b, size_t n, off64_t at), (fd, b, n, at))
WRAP(ssize_t, pwrite64, -1, (EIO, ENOSPC, EIO), (int fd, const void *b, size_t n, off64_t at), (fd, b, n, at))
WRAP(ssize_t, copy_file_range, -1, (EIO, ENOSPC, EXDEV), (int a, off64_t *x, int b, off64_t *y, size_t n, unsigned fl), (a, x, b, y, n, fl))
WRAP(off64_t, lseek64, -1, (EIO, EIO, EIO), (int fd, off64_t at, int how), (fd, at, how))
WRAP(DIR *, fdopendir, NULL, (ENOMEM, EIO, ENOMEM), (int fd), (fd))
WRAP(ssize_t, fgetxattr, -1, (EIO, ENOMEM, EIO), (int fd, const char *n, void *v, size_t s), (fd, n, v, s))
WRAP(ssize_t, lgetxattr, -1, (EIO, ENOMEM, EIO), (const char *p, const char *n, void *v, size_t s), (p, n, v, s))
WRAP(ssize_t, llistxattr, -1, (EIO, ENOMEM, EIO), (const char *p, char *l, size_t s), (p, l, s))
WRAP(ssize_t, flistxattr, -1, (EIO, ENOMEM, EIO), (int fd, char *l, size_t s), (fd, l, s))

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	if (fails("open64")) {
		errno = reason(EMFILE, EIO, ENOSPC);
		return -1;
	}
	return __real_open64(path, flags, mode);
}

int __real_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, mode_t mode);
int __wrap_openat64(int dirfd, const char *path, int flags, mode_t mode)
{
	if (fails("openat64")) {
		errno = reason(EMFILE, EIO, ENOSPC);
		return -1;
	}
	return __real_openat64(dirfd, path, flags, mode);
}

/* openat2, getdents64 and others without a libc function. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (fails("syscall")) {
		errno = reason(EMFILE, EIO, ENOMEM);
		return -1;
	}
	return __real_syscall(number, a, b, c, d, e, f);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
	return fails("pthread_create") ? EAGAIN : __real_pthread_create(t, a, f, arg);
}

/* SQLite */
#define WRAP_SQL(name, params, args) \
	int __real_##name params; \
	int __wrap_##name params; \
	int __wrap_##name params \
	{ \
		return fails(#name) ? reason(SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM) : __real_##name args; \
	}

WRAP_SQL(sqlite3_step, (sqlite3_stmt * s), (s))
WRAP_SQL(sqlite3_prepare_v2, (sqlite3 * db, const char *q, int n, sqlite3_stmt **s, const char **t), (db, q, n, s, t))
WRAP_SQL(sqlite3_prepare_v3, (sqlite3 * db, const char *q, int n, unsigned f, sqlite3_stmt **s, const char **t), (db, q, n, f, s, t))
WRAP_SQL(sqlite3_exec, (sqlite3 * db, const char *q, int (*cb)(void *, int, char **, char **), void *arg, char **e), (db, q, cb, arg, e))
WRAP_SQL(sqlite3_bind_int64, (sqlite3_stmt * s, int i, sqlite3_int64 v), (s, i, v))
WRAP_SQL(sqlite3_bind_text, (sqlite3_stmt * s, int i, const char *v, int n, void (*d)(void *)), (s, i, v, n, d))
WRAP_SQL(sqlite3_bind_blob, (sqlite3_stmt * s, int i, const void *v, int n, void (*d)(void *)), (s, i, v, n, d))

int __real_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs)
{
	if (fails("sqlite3_open_v2")) {
		*db = NULL;
		return reason(SQLITE_NOMEM, SQLITE_CANTOPEN, SQLITE_CANTOPEN);
	}
	return __real_sqlite3_open_v2(path, db, flags, vfs);
}
