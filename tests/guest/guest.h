/* tests/guest/guest.h - print helpers of the guest programs.
 *
 * Each program of this folder is run twice, natively on a copy of the fixture and in a sandbox on the fixture itself, with the fixture
 * as its cwd; what it prints must be equal. So a line never holds what two runs may legitimately differ in: inode numbers, pids,
 * absolute paths and times are printed as relations ("same", "in the fixture", "recent").
 *
 * Head comment keys that the runner reads: COVERS (system calls), FIXTURE (extra parts: many, deep), MODE (self: only run in the sandbox, the
 * exit code decides), ROOT (skip: not as root).
 *
 * Output is line buffered, so a fork never carries unwritten text into its child. */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Calls newer than the C library's headers; the numbers are the same on x86_64 and aarch64. */
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef __NR_faccessat2
#define __NR_faccessat2 439
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_getxattrat 464
#define __NR_listxattrat 465
#define __NR_removexattrat 466
#endif
#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif

#define GUEST_UNUSED __attribute__((unused))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* How many times slower than a machine of today this one is (an emulated one): for waits after which nothing more is to come. */
static inline int slower(void)
{
	const char *text = getenv("BVISOR_TEST_SLOWER");
	int times = text ? atoi(text) : 1;

	return times > 0 && times < 1000 ? times : 1;
}

static char guest_fixture[PATH_MAX]; /* the cwd at the start */

__attribute__((constructor)) static void guest_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	if (!getcwd(guest_fixture, sizeof(guest_fixture)))
		guest_fixture[0] = 0;
	umask(022);
}

GUEST_UNUSED static const char *errname(int e)
{
	const char *name = strerrorname_np(e);

	return e == 0 ? "0" : name ? name : "E?";
}

/* Prints "LINE TEXT -> ok|ERRNO" (or the value) and gives the result back; errno is kept. */
GUEST_UNUSED static long said(int line, const char *text, long result, bool value)
{
	int e = errno;

	if (result == -1)
		printf("%d %s -> %s\n", line, text, errname(e));
	else if (value)
		printf("%d %s -> %ld\n", line, text, result);
	else
		printf("%d %s -> ok\n", line, text);
	errno = e;
	return result;
}

#define ERR(call) said(__LINE__, #call, (long)(call), false)
#define VAL(call) said(__LINE__, #call, (long)(call), true)
#define FD(call) ((int)said(__LINE__, #call, (long)(call), false))
#define TRUTH(cond) ((void)printf("%d %s: %s\n", __LINE__, #cond, (cond) ? "yes" : "NO"))
/* For lines made in loops: a label of one's own, then the result of a call. */
#define LABEL(result, ...) said_fmt((long)(result), __VA_ARGS__)

__attribute__((format(printf, 2, 3), unused)) static long said_fmt(long result, const char *fmt, ...)
{
	int e = errno;
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" -> %s\n", result < 0 ? errname(e) : "ok");
	errno = e;
	return result;
}

GUEST_UNUSED static void close_quiet(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Bytes as text: what is not printable becomes \xNN. */
GUEST_UNUSED static void print_bytes(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= ' ' && p[i] < 127 && p[i] != '\\')
			putchar(p[i]);
		else
			printf("\\x%02x", (unsigned char)p[i]);
}

/* A path without what differs between the two runs: the fixture's own place. */
GUEST_UNUSED static void print_path(const char *p, size_t n)
{
	size_t f = strlen(guest_fixture);

	if (f > 1 && n >= f && memcmp(p, guest_fixture, f) == 0 && (n == f || p[f] == '/' || p[f] == ' ')) {
		printf("<fixture>");
		p += f;
		n -= f;
	}
	print_bytes(p, n);
}

GUEST_UNUSED static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '-';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	default:
		return '?';
	}
}

/* Type, mode, owner and, where it means something, links and size. A directory's size and link count belong to the file system. */
GUEST_UNUSED static void print_stat(const char *label, const struct stat *st)
{
	printf("   %s: %c%04o uid %d gid %d", label, type_letter(st->st_mode), st->st_mode & 07777, (int)st->st_uid, (int)st->st_gid);
	if (!S_ISDIR(st->st_mode))
		printf(" nlink %ld size %lld", (long)st->st_nlink, (long long)st->st_size);
	printf("\n");
}

/* lstat, printed. */
GUEST_UNUSED static void look(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		printf("   %s: %s\n", path, errname(errno));
	else
		print_stat(path, &st);
}

GUEST_UNUSED static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

GUEST_UNUSED static ino_t ino_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}

/* Writes a whole new file; true when that worked. */
GUEST_UNUSED static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close_quiet(fd);
	return good;
}

/* The first bytes of a file, printed. */
GUEST_UNUSED static void show(const char *path)
{
	char buf[200];
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	printf("   %s = ", path);
	if (n < 0)
		printf("%s", errname(errno));
	else
		print_bytes(buf, (size_t)n);
	printf("\n");
	close_quiet(fd);
}

GUEST_UNUSED static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory in order of bytes, "." and ".." included, with their d_type. */
GUEST_UNUSED static void list(const char *path)
{
	char *names[512];
	size_t n = 0;
	DIR *dir = opendir(path);

	printf("   list %s:", path);
	if (!dir) {
		printf(" %s\n", errname(errno));
		return;
	}
	for (struct dirent *d; n < COUNT(names) && (d = readdir(dir));)
		if (asprintf(&names[n], "%s(%d)", d->d_name, d->d_type) > 0)
			n++;
	closedir(dir);
	qsort(names, n, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < n; i++) {
		putchar(' ');
		print_bytes(names[i], strlen(names[i]));
		free(names[i]);
	}
	printf("\n");
}

GUEST_UNUSED static void print_status(const char *label, int status)
{
	if (WIFEXITED(status))
		printf("   %s: exit %d\n", label, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		printf("   %s: signal %d\n", label, WTERMSIG(status));
	else
		printf("   %s: status %#x\n", label, status);
}

/* Runs fn in a child and waits for it; prints how it ended. */
GUEST_UNUSED static void in_child(const char *label, void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		printf("   %s: no child: %s\n", label, errname(errno));
	else
		print_status(label, status);
}

GUEST_UNUSED static void nap_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Is this time within the last minutes? */
GUEST_UNUSED static bool recent(struct timespec t)
{
	time_t now = time(NULL);

	return t.tv_sec <= now + 2 && t.tv_sec >= now - 300;
}

#endif
