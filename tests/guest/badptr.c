/* tests/guest/badptr.c - wrong pointers, lengths and flags in every argument of every call that the supervisor answers.
 *
 * Each pointer argument in turn gets NULL, an unmapped page, the kernel's addresses, and a string without end before an unmapped page;
 * results that are written get read-only pages too. The errno must be the kernel's: also which of two faults is told.
 * COVERS: stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat open creat openat openat2 mkdir mkdirat rmdir unlink unlinkat
 * COVERS: rename renameat renameat2 link linkat symlink symlinkat chmod fchmodat fchmodat2 chown lchown fchownat truncate mknod mknodat utime utimes
 * COVERS: futimesat utimensat statfs fstatfs getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr
 * COVERS: lremovexattr fremovexattr chdir getcwd execve execveat connect bind sendto getdents64 */
#include "guest.h"

#include <linux/openat2.h>
#include <sys/socket.h>

enum { P = 0x5eed0001, OUT, GOOD_FD, SOCKET, DIR_FD, NONE };

struct Call {
	const char *name;
	long nr, args[6];
};

/* P: a path (or other string) that is read; OUT: memory that is written. */
#define C(call, ...) {#call, __NR_##call, {__VA_ARGS__}}
static const struct Call calls[] = {
#ifdef __NR_open
	C(stat, P, OUT), C(lstat, P, OUT), C(access, P, 0), C(readlink, P, OUT, 10), C(open, P, O_RDONLY), C(creat, P, 0644), C(mkdir, P, 0755), C(rmdir, P), C(unlink, P),
	C(rename, P, P), C(link, P, P), C(symlink, P, P), C(chmod, P, 0644), C(chown, P, -1, -1), C(lchown, P, -1, -1), C(mknod, P, S_IFREG | 0600, 0),
	C(utime, P, P), C(utimes, P, P), C(futimesat, AT_FDCWD, P, P), C(getdents, DIR_FD, OUT, 1000),
#endif
	C(fstat, GOOD_FD, OUT), C(newfstatat, AT_FDCWD, P, OUT, 0), C(statx, AT_FDCWD, P, 0, STATX_ALL, OUT), C(faccessat, AT_FDCWD, P, 0), C(faccessat2, AT_FDCWD, P, 0, 0),
	C(readlinkat, AT_FDCWD, P, OUT, 10), C(openat, AT_FDCWD, P, O_RDONLY), C(openat2, AT_FDCWD, P, P, sizeof(struct open_how)), C(mkdirat, AT_FDCWD, P, 0755), C(unlinkat, AT_FDCWD, P, 0),
	C(renameat2, AT_FDCWD, P, AT_FDCWD, P, 0), C(linkat, AT_FDCWD, P, AT_FDCWD, P, 0), C(symlinkat, P, AT_FDCWD, P), C(fchmodat, AT_FDCWD, P, 0644), C(fchmodat2, AT_FDCWD, P, 0644, 0),
	C(fchownat, AT_FDCWD, P, -1, -1, 0), C(truncate, P, 5), C(mknodat, AT_FDCWD, P, S_IFREG | 0600, 0), C(utimensat, AT_FDCWD, P, P, 0), C(statfs, P, OUT), C(fstatfs, GOOD_FD, OUT),
	C(getxattr, P, P, OUT, 10), C(lgetxattr, P, P, OUT, 10), C(fgetxattr, GOOD_FD, P, OUT, 10), C(setxattr, P, P, P, 4, 0), C(lsetxattr, P, P, P, 4, 0), C(fsetxattr, GOOD_FD, P, P, 4, 0),
	C(listxattr, P, OUT, 1000), C(llistxattr, P, OUT, 1000), C(flistxattr, GOOD_FD, OUT, 1000), C(removexattr, P, P), C(lremovexattr, P, P), C(fremovexattr, GOOD_FD, P),
	C(chdir, P), C(getcwd, OUT, 4000), C(execve, P, 0, 0), C(execveat, AT_FDCWD, P, 0, 0, 0), C(connect, SOCKET, P, 20), C(bind, SOCKET, P, 20), C(sendto, SOCKET, P, 4, 0, 0, 0), C(sendto, SOCKET, 0, 0, 0, P, 20),
	C(getdents64, DIR_FD, OUT, 1000), C(openat, 999, P, O_RDONLY), C(newfstatat, 999, P, OUT, 0),
};

static char *page, *unmapped, *readonly, *endless, *closed;

static void map_pages(void)
{
	/* far below where the kernel puts mappings of its own choice, so that nothing comes into the holes */
	page = mmap((void *)0x20000000, 7 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	unmapped = page + 4096;
	munmap(unmapped, 4096);
	readonly = page + 2 * 4096;
	endless = page + 3 * 4096;
	memset(endless, 'a', 4096);
	munmap(endless + 4096, 4096);
	closed = page + 5 * 4096; /* mapped without any access: what goes through /proc/PID/mem would not notice */
	strcpy(closed, "file");
	mprotect(closed, 4096, PROT_NONE);
	strcpy(readonly, "file");
	mprotect(readonly, 4096, PROT_READ);
}

struct Bad {
	const char *name;
	char *at;
};

static const struct Bad *bad_pointers(size_t *count)
{
	static struct Bad all[10];

	memset(page, 'a', 4096);
	memcpy(page + 4096 - 5, "file", 5);
	all[0] = (struct Bad){"NULL", NULL};
	all[1] = (struct Bad){"1", (char *)1};
	all[2] = (struct Bad){"unmapped", unmapped};
	all[3] = (struct Bad){"kernel", (char *)0xffff888000000000UL};
	all[4] = (struct Bad){"non-canonical", (char *)0x8000000000000000UL};
	all[5] = (struct Bad){"top", (char *)-1L};
	all[6] = (struct Bad){"unterminated", endless + 4096 - 4};
	all[7] = (struct Bad){"read-only", readonly};
	all[8] = (struct Bad){"last bytes of a page", page + 4096 - 5};
	all[9] = (struct Bad){"no access", closed};
	*count = 10;
	return all;
}

static int file_fd, dir_fd, sock_fd;

static long argument(long a, bool odd, char *bad, char *out)
{
	static char good[] = "file2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

	switch (a) {
	case P:
		return (long)(odd ? bad : good);
	case OUT:
		return (long)(odd ? bad : out);
	case GOOD_FD:
		return file_fd;
	case DIR_FD:
		return dir_fd;
	case SOCKET:
		return sock_fd;
	default:
		return a;
	}
}

static bool reads_path_only(const struct Call *c)
{
	return c->nr == __NR_execve || c->nr == __NR_execveat;
}

static void one(const struct Call *c, int which, const struct Bad *bad)
{
	static char out[8192];
	long a[6];

	for (int i = 0; i < 6; i++)
		a[i] = argument(c->args[i], i == which, bad->at, out);
	if (reads_path_only(c) && bad->at == page + 4096 - 5)
		return; /* "file" can be read: it would be executed */
	lseek(dir_fd, 0, SEEK_SET);
	long r = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	LABEL(r, "%s arg %d %s", c->name, which, bad->name);
	if (strncmp(c->name, "open", 4) == 0 || strcmp(c->name, "creat") == 0)
		close_quiet((int)r);
}

/* The objects that the calls work on, as they were. */
static void restore(void)
{
	if (chdir(guest_fixture) < 0)
		printf("no way back\n");
	if (access("file", F_OK) < 0)
		rmdir("file");
	put("file", "hello, fixture\n");
	put("file2", "second file\n");
	memcpy(page + 4096 - 5, "file", 5);
	memset(endless, 'a', 4096); /* a result may have been written up to its end */
}

static void pointers(void)
{
	size_t count;
	const struct Bad *bad = bad_pointers(&count);

	for (size_t c = 0; c < COUNT(calls); c++)
		for (int i = 0; i < 6; i++)
			if (calls[c].args[i] == P || calls[c].args[i] == OUT)
				for (size_t b = 0; b < count; b++) {
					restore();
					one(&calls[c], i, &bad[b]);
				}
}

/* A result that begins in a good page and ends in a bad one. */
static void crossing(void)
{
	char *edge = page + 4096 - 8;

	restore();
	ERR(syscall(__NR_newfstatat, AT_FDCWD, "file", edge, 0));
	ERR(syscall(__NR_statx, AT_FDCWD, "file", 0, STATX_ALL, edge));
	ERR(syscall(__NR_statfs, "file", edge));
	VAL(syscall(__NR_readlinkat, AT_FDCWD, "link", edge, 100));
	VAL(syscall(__NR_readlinkat, AT_FDCWD, "linklink", edge, 8));
	ERR(syscall(__NR_getcwd, edge, 4000));
	ERR(syscall(__NR_openat2, AT_FDCWD, "file", edge, sizeof(struct open_how)));
	ERR(syscall(__NR_fstat, file_fd, edge));
	strcpy(page + 4096 - 10, "dir/sub/c");
	ERR(syscall(__NR_openat, AT_FDCWD, page + 4096 - 10, O_RDONLY));
	memset(page, '/', 4096);
	ERR(syscall(__NR_openat, AT_FDCWD, page, O_RDONLY));
	memset(page, 'a', 4096);
	ERR(syscall(__NR_openat, AT_FDCWD, page, O_RDONLY));
	char *two = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(two, 'a', 2 * 4096);
	ERR(syscall(__NR_openat, AT_FDCWD, two, O_RDONLY));
	two[4095] = 0;
	ERR(syscall(__NR_openat, AT_FDCWD, two, O_RDONLY));
	memset(two, '/', 4094);
	two[4094] = '.';
	ERR(syscall(__NR_openat, AT_FDCWD, two, O_RDONLY));
	two[4095] = '/';
	ERR(syscall(__NR_openat, AT_FDCWD, two, O_RDONLY));
}

static void lengths(void)
{
	static char buf[4096];

	ERR(syscall(__NR_readlinkat, AT_FDCWD, "link", buf, 0));
	ERR(syscall(__NR_readlinkat, AT_FDCWD, "link", buf, -1));
	VAL(syscall(__NR_readlinkat, AT_FDCWD, "link", buf, 0x100000004L));
	VAL(syscall(__NR_getxattr, "xattrs", "user.one", buf, 0));
	VAL(syscall(__NR_getxattr, "xattrs", "user.one", buf, 1L << 40));
	ERR(syscall(__NR_setxattr, "xattrs", "user.three", buf, 1L << 40, 0));
	VAL(syscall(__NR_listxattr, "xattrs", buf, 0) > 0);
	ERR(syscall(__NR_connect, sock_fd, buf, 0));
	ERR(syscall(__NR_connect, sock_fd, buf, -1));
	ERR(syscall(__NR_connect, sock_fd, buf, 1000));
	ERR(syscall(__NR_bind, sock_fd, buf, 1));
	ERR(syscall(__NR_bind, sock_fd, buf, 129));
	ERR(syscall(__NR_getcwd, buf, 1L << 40) > 0 ? 0 : -1);
	ERR(syscall(__NR_truncate, "file", -1L));
	ERR(syscall(__NR_openat, 0xdeadbeefffffff9cUL, "file", O_RDONLY));
	ERR(syscall(__NR_openat, 0x1ffffff9cUL, "file", O_RDONLY));
	ERR(syscall(__NR_fstat, 0x100000000L | file_fd, buf));
}

int main(void)
{
	map_pages();
	file_fd = open("hard1", O_RDWR);
	dir_fd = open("dir", O_RDONLY);
	sock_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	pointers();
	crossing();
	lengths();
	list(".");
	return 0;
}
