/* tests/guest/stat.c - every way to ask for an object's metadata agrees, and its identity does not change.
 * COVERS: stat lstat fstat newfstatat statx */
#include "guest.h"

#include <sys/sysmacros.h>

static const char *const objects[] = {"file", "empty", "private", "noperm", "setid", "hard1", "sparse", "dir", "dir/sub", "emptydir", "setgid",
	"sticky", "rodir", "closed", "link", "dirlink", "dangling", "loop1", "linklink", "fifo", "sock", "nothing", "dir/nothing",
	"file/x", "nothing/x", "dir/", "file/", "link/", "dirlink/", "dangling/", "dir/.", "dir/..", "dir/../file", "file/.", "", ".", "..", "/",
	"closed/x", "dirlink/a", "dir/uplink", "chain2", "chain1", "chain0", "./././file", "dir//sub///c", "/dev/null", "/etc/passwd", "/usr/bin/env"};

static void print_statx(const char *path, int flags, unsigned mask)
{
	struct statx x;

	memset(&x, 0, sizeof(x));
	if (LABEL(statx(AT_FDCWD, path, flags, mask, &x), "statx %s %#x %#x", path, flags, mask) < 0)
		return;
	unsigned wanted = mask & STATX_BASIC_STATS; /* more may come along */
	printf("   %c%04o uid %d nlink>0 %d wanted %d\n", type_letter(x.stx_mode), x.stx_mode & 07777, (int)x.stx_uid, x.stx_nlink > 0, (x.stx_mask & wanted) == wanted);
}

static void agree(const char *path)
{
	struct stat a, b, c;
	struct statx x;

	if (stat(path, &a) < 0)
		return;
	int fd = open(path, O_PATH);
	bool by_at = fstatat(AT_FDCWD, path, &b, 0) == 0, by_fd = fstat(fd, &c) == 0;
	bool by_x = statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &x) == 0;

	printf("   %s: newfstatat %d fstat %d statx %d\n", path, by_at && memcmp(&a, &b, offsetof(struct stat, st_atim)) == 0,
	       by_fd && a.st_ino == c.st_ino && a.st_dev == c.st_dev && a.st_mode == c.st_mode && a.st_nlink == c.st_nlink && a.st_size == c.st_size,
	       by_x && x.stx_ino == a.st_ino && x.stx_mode == a.st_mode && x.stx_mtime.tv_sec == a.st_mtime &&
		       makedev(x.stx_dev_major, x.stx_dev_minor) == a.st_dev);
	close_quiet(fd);
}

static void all_objects(void)
{
	struct stat st;

	for (size_t i = 0; i < COUNT(objects); i++) {
		const char *p = objects[i];
		bool system = p[0] == '/' || strcmp(p, "..") == 0;

		if (LABEL(stat(p, &st), "stat %s", p) == 0)
			print_stat(p, &st);
		if (LABEL(lstat(p, &st), "lstat %s", p) == 0 && !system)
			printf("   mtime %lld blocks %d\n", (long long)st.st_mtime, (int)(S_ISREG(st.st_mode) ? st.st_blocks : 0));
		agree(p);
	}
}

static void empty_path(void)
{
	struct stat st;
	int dir = open("dir", O_RDONLY | O_DIRECTORY), file = open("file", O_RDONLY), link = open("link", O_PATH | O_NOFOLLOW);
	int pipes[2];

	ERR(pipe(pipes));
	const int fds[] = {dir, file, link, AT_FDCWD, pipes[0], -1, 999};

	for (size_t i = 0; i < COUNT(fds); i++) {
		if (LABEL(fstatat(fds[i], "", &st, AT_EMPTY_PATH), "fstatat fds[%zu] AT_EMPTY_PATH", i) == 0)
			printf("   %c%04o\n", type_letter(st.st_mode), st.st_mode & 07777);
		LABEL(fstatat(fds[i], "", &st, 0), "fstatat fds[%zu] empty", i);
		LABEL(fstatat(fds[i], "a", &st, 0), "fstatat fds[%zu] a", i);
		LABEL(fstatat(fds[i], "/", &st, 0), "fstatat fds[%zu] /", i);
		LABEL(fstat(fds[i], &st), "fstat fds[%zu]", i);
		LABEL(fstatat(fds[i], "a", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT), "fstatat fds[%zu] flags", i);
	}
	ERR(syscall(__NR_newfstatat, dir, NULL, &st, AT_EMPTY_PATH));
	ERR(fstatat(AT_FDCWD, "file", &st, 0x8000));
	ERR(fstatat(AT_FDCWD, "file", &st, AT_SYMLINK_FOLLOW));
	close(dir);
	close(file);
	close(link);
}

static void statx_masks(void)
{
	struct statx x;
	const unsigned masks[] = {0, STATX_MODE, STATX_SIZE, STATX_BASIC_STATS, STATX_ALL, 0x3fff, 0x7fffffff};

	for (size_t i = 0; i < COUNT(masks); i++)
		print_statx("file", 0, masks[i]);
	print_statx("link", AT_SYMLINK_NOFOLLOW, STATX_ALL);
	print_statx("dir", AT_STATX_FORCE_SYNC, STATX_ALL);
	print_statx("dir", AT_STATX_DONT_SYNC, STATX_ALL);
	ERR(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &x));
	ERR(statx(AT_FDCWD, "file", 0, 0x80000000U, &x));
	ERR(statx(AT_FDCWD, "file", 0x8000, 0, &x));
	ERR(statx(open("file", O_RDONLY), "", AT_EMPTY_PATH, STATX_ALL, &x));
	TRUTH(S_ISREG(x.stx_mode) && x.stx_size == 15);
	ERR(syscall(__NR_statx, open("file", O_RDONLY), NULL, AT_EMPTY_PATH, STATX_ALL, &x));
	TRUTH(x.stx_mask & STATX_MTIME);
	ERR(statx(AT_FDCWD, "", 0, 0, &x));
	ERR(statx(-1, "file", 0, 0, &x));
}

/* Copy-up, change of metadata, rename and a new link must not change (st_dev, st_ino). */
static void identity(void)
{
	ino_t file = ino_of("file2"), dir = ino_of("other"), big = ino_of("big");
	int reader = open("file2", O_RDONLY);
	struct stat st;

	TRUTH(ino_of("file2") == file);
	ERR(chmod("file2", 0600));
	TRUTH(ino_of("file2") == file);
	int fd = FD(open("file2", O_RDWR | O_APPEND));
	ERR(write(fd, "more\n", 5));
	TRUTH(ino_of("file2") == file);
	TRUTH(fstat(fd, &st) == 0 && st.st_ino == file);
	TRUTH(fstat(reader, &st) == 0 && st.st_ino == file && st.st_mode == (S_IFREG | 0600));
	ERR(rename("file2", "other/renamed"));
	TRUTH(ino_of("other/renamed") == file);
	TRUTH(fstat(fd, &st) == 0 && st.st_ino == file && st.st_size == 17);
	ERR(rename("other", "moved"));
	TRUTH(ino_of("moved") == dir && ino_of("moved/renamed") == file);
	ERR(link("moved/renamed", "third"));
	TRUTH(same_file("third", "moved/renamed"));
	ERR(truncate("big", 1000));
	TRUTH(ino_of("big") == big);
	ERR(put("fresh", "1"));
	ino_t fresh = ino_of("fresh");
	TRUTH(fresh && fresh != file && fresh != dir && fresh < (1ULL << 53));
	ERR(unlink("fresh"));
	look("moved/renamed");
	look("third");
	look("big");
	close(fd);
	close(reader);
}

static void unlinked(void)
{
	struct stat st;
	int fd = FD(open("file", O_RDONLY)), rw = FD(open("private", O_RDWR)), fresh = FD(open("fresh2", O_RDWR | O_CREAT, 0640));

	ERR(unlink("file"));
	ERR(unlink("private"));
	ERR(unlink("fresh2"));
	ERR(fstat(fd, &st));
	print_stat("unlinked lower", &st);
	ERR(fstat(rw, &st));
	print_stat("unlinked written", &st);
	ERR(fstat(fresh, &st));
	print_stat("unlinked new", &st);
	ERR(fchmod(fresh, 0600));
	ERR(fstat(fresh, &st));
	print_stat("unlinked new", &st);
}

int main(void)
{
	all_objects();
	empty_path();
	statx_masks();
	identity();
	unlinked();
#ifdef __NR_stat
	struct stat st;

	ERR(syscall(__NR_stat, "hard1", &st));
	print_stat("hard1", &st);
	ERR(syscall(__NR_lstat, "link", &st));
	print_stat("link", &st);
	ERR(syscall(__NR_stat, "nothing", &st));
	ERR(syscall(__NR_fstat, 77, &st));
#endif
	return 0;
}
