/* tests/guest/openat2.c - the RESOLVE flags and the argument checks of openat2.
 * COVERS: openat2 */
#include "guest.h"

#include <linux/openat2.h>

static long attempt(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
	struct stat st;
	long fd;
	int e, tries = 1000;

	/* A rename anywhere on the machine makes the kernel say EAGAIN where it cannot be sure of a ".."; of RESOLVE_CACHED it is the answer. */
	do {
		fd = syscall(__NR_openat2, dir, path, &how, sizeof(how));
		e = errno;
	} while (fd < 0 && e == EAGAIN && !(resolve & RESOLVE_CACHED) && --tries > 0);
	printf("openat2 %s flags %#llx resolve %#llx", path, (unsigned long long)flags, (unsigned long long)resolve);
	if (fd < 0)
		printf(" -> %s\n", errname(e));
	else if (fstat((int)fd, &st) == 0)
		printf(" -> %c%04o\n", type_letter(st.st_mode), st.st_mode & 07777);
	close_quiet((int)fd);
	return fd;
}

static void resolve_flags(int dir)
{
	const char *const paths[] = {"a", "sub/c", "../file", "sub/../a", "uplink", "sub/../../file", "/etc/passwd", "/", "..", ".", "/a", "absolute",
		"sub/../absolute", "../dir/absolute", "upabsolute",
		"sub/up", "sub/up/a", "magic/a", "/../a", "nothing", "inner", ""};
	const uint64_t flags[] = {0, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH | RESOLVE_IN_ROOT, 0x40};
	char target[64];

	ERR(symlinkat("/etc/passwd", dir, "absolute"));
	ERR(symlinkat("sub/../absolute", dir, "upabsolute"));
	ERR(symlinkat("..", dir, "sub/up"));
	ERR(symlinkat("b", dir, "inner"));
	snprintf(target, sizeof(target), "/proc/self/fd/%d", dir);
	ERR(symlinkat(target, dir, "magic"));
	for (size_t f = 0; f < COUNT(flags); f++)
		for (size_t i = 0; i < COUNT(paths); i++)
			attempt(dir, paths[i], O_RDONLY, 0, flags[f]);
	attempt(AT_FDCWD, "/proc/self/fd/0", O_PATH, 0, RESOLVE_NO_MAGICLINKS);
	attempt(AT_FDCWD, "/proc/self/fd/0", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS);
	attempt(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_SYMLINKS);
	attempt(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, 0);
	attempt(AT_FDCWD, "/dev/null", O_RDONLY, 0, RESOLVE_BENEATH);
}

static void argument_checks(int dir)
{
	struct open_how how = {.flags = O_RDONLY};
	char bigger[sizeof(how) + 16] = "";

	attempt(dir, "a", O_RDONLY, 0644, 0);
	attempt(dir, "made", O_CREAT | O_WRONLY, 0644, 0);
	attempt(dir, "made", O_CREAT | O_WRONLY, 010644, 0);
	attempt(dir, "made2", O_CREAT | O_WRONLY, 0644, RESOLVE_BENEATH);
	attempt(dir, "../made3", O_CREAT | O_WRONLY, 0644, RESOLVE_BENEATH);
	attempt(dir, "a", 1ULL << 40, 0, 0);
	attempt(dir, "a", O_PATH | O_RDWR, 0, 0);
	attempt(dir, "a", O_PATH | O_CREAT, 0, 0);
	attempt(dir, "a", O_CREAT | O_DIRECTORY, 0600, 0);
	attempt(dir, ".", O_TMPFILE | O_RDWR, 0600, 0);
	attempt(dir, "a", O_RDONLY, 0, RESOLVE_CACHED | 0);
	attempt(dir, "a", O_TRUNC | O_WRONLY, 0, RESOLVE_CACHED);
	attempt(999, "a", O_RDONLY, 0, 0);
	ERR(syscall(__NR_openat2, dir, "b", &how, 0));
	ERR(syscall(__NR_openat2, dir, "b", &how, 8));
	ERR(syscall(__NR_openat2, dir, "b", &how, sizeof(how) - 1));
	ERR(syscall(__NR_openat2, dir, "b", &how, 5000));
	ERR(syscall(__NR_openat2, dir, "b", NULL, sizeof(how)));
	memcpy(bigger, &how, sizeof(how));
	ERR(syscall(__NR_openat2, dir, "b", bigger, sizeof(bigger)));
	bigger[sizeof(how) + 3] = 1;
	ERR(syscall(__NR_openat2, dir, "b", bigger, sizeof(bigger)));
}

/* A file of the host with two names, written under one that is then removed: the other is still on its mount. */
static void last_name(void)
{
	int fd = FD(open("hard1", O_WRONLY | O_APPEND));

	VAL(write(fd, "more", 4));
	attempt(AT_FDCWD, "hard2", O_RDONLY, 0, RESOLVE_NO_XDEV);
	ERR(unlink("hard1"));
	attempt(AT_FDCWD, "hard2", O_RDONLY, 0, RESOLVE_NO_XDEV);
	attempt(AT_FDCWD, "./hard2", O_RDWR, 0, RESOLVE_NO_XDEV);
}

/* A removed directory is still on the mount of the one that it was in; an absolute path has nothing to do with it. */
static void removed(void)
{
	ERR(mkdir("short-lived", 0755));
	int gone = FD(open("short-lived", O_RDONLY | O_DIRECTORY));

	ERR(rmdir("short-lived"));
	for (const char *const *path = (const char *const[]){"..", ".", "../hard2", "/etc/passwd", "/", "nothing", NULL}; *path; path++) {
		attempt(gone, *path, O_RDONLY, 0, RESOLVE_NO_XDEV);
		attempt(gone, *path, O_WRONLY | O_CREAT, 0600, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	}
	close(gone);
}

int main(void)
{
	int dir = FD(open("dir", O_RDONLY | O_DIRECTORY));

	resolve_flags(dir);
	argument_checks(dir);
	last_name();
	removed();
	list("dir");
	list(".");
	return 0;
}
