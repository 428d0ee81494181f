/* tests/guest/utimes.c - setting times by every call, with UTIME_NOW and UTIME_OMIT.
 * COVERS: utime utimes futimesat utimensat */
#include "guest.h"

#include <sys/time.h>
#include <utime.h>

static void times_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		printf("   %s: %s\n", path, errname(errno));
		return;
	}
	printf("   %s: mtime ", path);
	recent(st.st_mtim) ? printf("recent") : printf("%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISLNK(st.st_mode)) { /* following a link is an access, which the kernel notes and the view does not */
		printf(" ctime %s\n", recent(st.st_ctim) ? "recent" : "old");
		return;
	}
	printf(" atime ");
	recent(st.st_atim) ? printf("recent") : printf("%lld.%09ld", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec);
	printf(" ctime %s\n", recent(st.st_ctim) ? "recent" : "old");
}

static void values(void)
{
	const struct timespec pairs[][2] = {{{1000, 1}, {2000, 2}}, {{0, UTIME_OMIT}, {3000, 3}}, {{4000, 4}, {0, UTIME_OMIT}}, {{0, UTIME_OMIT}, {0, UTIME_OMIT}},
		{{0, UTIME_NOW}, {5000, 5}}, {{0, UTIME_NOW}, {0, UTIME_NOW}}, {{1, 1000000000}, {1, 0}}, {{1, -1}, {1, 0}}, {{-5, 0}, {-6, 7}}, {{2147483648LL, 0}, {4000000000LL, 999999999}},
		{{0, 0}, {0, 0}}};
	const char *const paths[] = {"file", "dir", "link", "dangling", "fifo", "sock", "readonly", "noperm", "hard1", "nothing", "nothing/x", "file/x", "loop1", "", ".", "closed/x", "big"};

	for (size_t i = 0; i < COUNT(paths); i++)
		for (size_t p = 0; p < COUNT(pairs); p++) {
			LABEL(utimensat(AT_FDCWD, paths[i], pairs[p], 0), "utimensat %s #%zu", paths[i], p);
			times_of(paths[i]);
			LABEL(utimensat(AT_FDCWD, paths[i], pairs[p], AT_SYMLINK_NOFOLLOW), "utimensat NOFOLLOW %s #%zu", paths[i], p);
			times_of(paths[i]);
		}
	for (size_t i = 0; i < COUNT(paths); i++) {
		LABEL(utimensat(AT_FDCWD, paths[i], NULL, 0), "utimensat %s NULL", paths[i]);
		times_of(paths[i]);
	}
}

static void by_descriptor(void)
{
	const struct timespec t[2] = {{7000, 7}, {8000, 8}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	int file = FD(open("file2", O_RDONLY)), path = FD(open("file2", O_PATH)), dir = FD(open("dir", O_RDONLY)), link = FD(open("link", O_PATH | O_NOFOLLOW));

	ERR(futimens(file, t));
	times_of("file2");
	ERR(futimens(path, t));
	ERR(futimens(999, t));
	ERR(futimens(999, omit));
	ERR(futimens(dir, t));
	times_of("dir");
	ERR(utimensat(dir, "a", t, 0));
	times_of("dir/a");
	ERR(utimensat(file, "a", t, 0));
	ERR(utimensat(999, "a", t, 0));
	ERR(utimensat(dir, "a", t, 0x8000));
	ERR(syscall(__NR_utimensat, file, NULL, NULL, 0));
	ERR(syscall(__NR_utimensat, file, NULL, t, AT_SYMLINK_NOFOLLOW));
	ERR(syscall(__NR_utimensat, AT_FDCWD, NULL, t, 0));
	ERR(utimensat(path, "", t, AT_EMPTY_PATH));
	ERR(utimensat(link, "", t, AT_EMPTY_PATH));
	times_of("link");
	ERR(utimensat(file, "", t, 0));
	times_of("file2");
}

/* A later write moves the time again, whatever was set before. */
static void write_after(void)
{
	const struct timespec t[2] = {{9000, 0}, {9500, 0}};
	int fd = FD(open("private", O_RDWR));

	ERR(futimens(fd, t));
	times_of("private");
	ERR(write(fd, "x", 1));
	times_of("private");
	ERR(utimensat(AT_FDCWD, "private", t, 0));
	times_of("private");
	ERR(ftruncate(fd, 3));
	times_of("private");
	ERR(utimensat(AT_FDCWD, "private", t, 0));
	close(fd);
	times_of("private");
	ERR(rename("private", "private2"));
	times_of("private2");
	ERR(put("fresh", "x"));
	ERR(utimensat(AT_FDCWD, "fresh", t, 0));
	ERR(link("fresh", "fresh2"));
	times_of("fresh2");
}

static void legacy(void)
{
#ifdef __NR_utime
	struct utimbuf b = {100, 200};

	ERR(syscall(__NR_utime, "empty", &b));
	times_of("empty");
	ERR(syscall(__NR_utime, "empty", NULL));
	times_of("empty");
	ERR(syscall(__NR_utime, "nothing", &b));
#endif
#ifdef __NR_utimes
	struct timeval v[2] = {{300, 400}, {500, 600}}, bad[2] = {{1, 1000000}, {1, 0}};
	int dir = FD(open("dir", O_RDONLY));

	ERR(syscall(__NR_utimes, "empty", v));
	times_of("empty");
	ERR(syscall(__NR_utimes, "empty", bad));
	ERR(syscall(__NR_utimes, "link", v));
	times_of("file");
	ERR(syscall(__NR_utimes, "empty", NULL));
	times_of("empty");
	ERR(syscall(__NR_futimesat, dir, "b", v));
	times_of("dir/b");
	ERR(syscall(__NR_futimesat, dir, "b", bad));
	ERR(syscall(__NR_futimesat, dir, NULL, v));
	times_of("dir");
	ERR(syscall(__NR_futimesat, 999, "b", v));
#endif
}

int main(void)
{
	values();
	by_descriptor();
	write_after();
	legacy();
	return 0;
}
