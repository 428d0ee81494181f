/* tests/guest/open.c - flags of open against every kind of object: the result, and what is there afterwards.
 * COVERS: open openat creat close read write lseek pread64 pwrite64 */
#include "guest.h"

static const char *const objects[] = {"file", "empty", "noperm", "writeonly", "readonly", "dir", "closed", "link", "dirlink", "dangling", "dangling2",
	"loop1", "fifo", "sock", "nothing", "dir/nothing", "nothing/x", "file/x", "dir/", "file/", "nothing/", "dirlink/", "dangling/", "dir/.", "", ".",
	"/", "chain1", "chain2", "rodir/inside", "rodir/new", "noread/inside", "closed/x", "/dev/null"};

static const struct {
	int bit;
	const char *name;
} bits[] = {{O_CREAT, "CREAT"}, {O_EXCL, "EXCL"}, {O_TRUNC, "TRUNC"}, {O_NOFOLLOW, "NOFOLLOW"}, {O_DIRECTORY, "DIRECTORY"}, {O_PATH, "PATH"}};

/* What F_GETFL tells of an open. O_DIRECTORY is left out: the supervisor opens what it has resolved, and adds it. */
static int shown_flags(int fd)
{
	const char *mask = getenv("BVISOR_MASK");
	int added = mask && strstr(mask, "openat2") ? O_NOFOLLOW : 0; /* without openat2 there is no other way */

	return fcntl(fd, F_GETFL) & ~(O_NONBLOCK | 0100000 | O_DIRECTORY | added);
}

static void print_flags(int flags)
{
	static const char *const modes[] = {"RDONLY", "WRONLY", "RDWR", "3"};

	printf("%s", modes[flags & O_ACCMODE]);
	for (size_t i = 0; i < COUNT(bits); i++)
		if (flags & bits[i].bit && (bits[i].bit != O_DIRECTORY || flags & O_DIRECTORY))
			printf("|%s", bits[i].name);
}

/* One open; what it made is removed again, what it emptied stays empty in both runs. */
static void attempt(const char *path, int flags)
{
	struct stat before, st;
	bool there = lstat(path, &before) == 0;
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0640), e = errno;

	printf("%s ", path);
	print_flags(flags);
	if (fd < 0) {
		printf(" -> %s\n", errname(e));
	} else {
		memset(&st, 0, sizeof(st));
		fstat(fd, &st);
		printf(" -> %c%04o fl %#x\n", type_letter(st.st_mode), st.st_mode & 07777, shown_flags(fd));
		close(fd);
	}
	if (!there && *path)
		unlink(path);
	unlink("nowhere");
}

static void every_flag(const char *path)
{
	for (int mode = 0; mode < 4; mode++)
		for (unsigned set = 0; set < 1U << COUNT(bits); set++) {
			int flags = mode;

			for (size_t i = 0; i < COUNT(bits); i++)
				if (set & 1U << i)
					flags |= bits[i].bit;
			attempt(path, flags);
		}
}

static void creation(void)
{
	umask(027);
	ERR(close(open("made1", O_CREAT | O_WRONLY, 0777)));
	ERR(close(open("made2", O_CREAT | O_WRONLY, 04777)));
	ERR(close(open("setgid/made3", O_CREAT | O_WRONLY, 02666)));
	ERR(close(creat("made4", 0)));
	ERR(close(open("dangling2", O_CREAT | O_WRONLY, 0666)));
	ERR(mkdir("newdir", 0755));
	ERR(close(open("dangling2", O_CREAT | O_WRONLY, 0666)));
	umask(022);
	const char *const made[] = {"made1", "made2", "setgid/made3", "made4", "newdir/newfile"};
	for (size_t i = 0; i < COUNT(made); i++)
		look(made[i]);
	ERR(open("made1", O_CREAT | O_EXCL, 0600));
	ERR(open("link", O_CREAT | O_EXCL | O_WRONLY, 0600));
	ERR(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600));
	ERR(open("dir", O_CREAT | O_RDONLY, 0600));
	ERR(open("dir/", O_CREAT | O_RDONLY, 0600));
#ifdef __NR_open
	ERR(syscall(__NR_open, "made5", O_CREAT | O_WRONLY, 0604));
	look("made5");
#endif
#ifdef __NR_creat
	ERR(syscall(__NR_creat, "made6", 0606));
	look("made6");
#endif
}

/* Reading and writing through what open gave. */
static void bytes(void)
{
	char buf[64] = "";
	struct stat st;
	int fd = FD(open("file2", O_RDWR));

	VAL(read(fd, buf, 6));
	VAL(write(fd, "FILE", 4));
	VAL(lseek(fd, 0, SEEK_SET));
	VAL(read(fd, buf, sizeof(buf)));
	VAL(pwrite(fd, "S", 1, 0));
	VAL(pread(fd, buf, 3, 0));
	VAL(lseek(fd, 0, SEEK_END));
	close(fd);
	show("file2");
	fd = FD(open("file2", O_WRONLY | O_APPEND));
	VAL(write(fd, "tail\n", 5));
	VAL(read(fd, buf, 1));
	close(fd);
	show("file2");
	fd = FD(open("file2", O_RDONLY | O_TRUNC));
	VAL(write(fd, "x", 1));
	ERR(fstat(fd, &st));
	VAL(st.st_size);
	TRUTH(recent(st.st_mtim));
	close(fd);
	fd = FD(open("file", O_PATH));
	VAL(read(fd, buf, 1));
	ERR(fchmod(fd, 0600));
	ERR(ftruncate(fd, 0));
	close(fd);
	ERR(close(fd));
	VAL(read(fd, buf, 1));
	fd = FD(open("sparse", O_RDWR));
	VAL(lseek(fd, 0, SEEK_HOLE) < (1 << 20));
	VAL(pwrite(fd, "mid", 3, 1 << 19));
	VAL(lseek(fd, 0, SEEK_END));
	ERR(fstat(fd, &st));
	TRUTH(st.st_blocks * 512 < 1 << 20);
	close(fd);
}

/* Two descriptors of one file, opened before and after the first write, see one content when both were opened for writing. */
static void coherence(void)
{
	char buf[32] = "";
	int a = FD(open("dir/a", O_RDWR)), b = FD(open("dir/a", O_RDONLY));

	VAL(write(a, "changed\n", 8));
	VAL(read(b, buf, sizeof(buf)));
	int c = FD(open("dir/../dirlink/a", O_WRONLY | O_TRUNC));
	VAL(write(c, "again\n", 6));
	VAL(pread(b, buf, sizeof(buf), 0));
	VAL(pread(a, buf, sizeof(buf), 0));
	print_bytes(buf, 8);
	printf("\n");
	ERR(unlink("dir/a"));
	VAL(pwrite(a, "gone?", 5, 0));
	VAL(pread(b, buf, 5, 0));
	print_bytes(buf, 5);
	printf("\n");
	ERR(open("dir/a", O_RDONLY));
	ERR(put("dir/a", "new body"));
	VAL(pread(b, buf, 5, 0));
	print_bytes(buf, 5);
	printf("\n");
	show("dir/a");
}

static void dirfds(void)
{
	int dir = FD(open("dir", O_RDONLY | O_DIRECTORY)), path = FD(open("dir", O_PATH)), file = FD(open("file", O_RDONLY));

	ERR(openat(dir, "b", O_RDONLY));
	ERR(openat(path, "b", O_RDWR));
	ERR(openat(file, "b", O_RDONLY));
	ERR(openat(-1, "b", O_RDONLY));
	ERR(openat(-1, "/dev/null", O_RDONLY));
	ERR(openat(999, "b", O_RDONLY));
	ERR(openat(dir, "new-below", O_CREAT | O_WRONLY, 0644));
	ERR(openat(dir, "..", O_RDONLY));
	ERR(openat(dir, "../file", O_RDONLY));
	ERR(openat(dir, "", O_RDONLY));
	ERR(rename("dir", "dir2"));
	ERR(openat(dir, "new-below", O_RDONLY));
	ERR(openat(path, "../dir2/sub/c", O_RDONLY));
	ERR(openat(dir, "after-rename", O_CREAT | O_WRONLY, 0644));
	list("dir2");
	ERR(rmdir("emptydir"));
	int gone = FD(open("newempty", O_RDONLY | O_DIRECTORY));
	ERR(mkdir("newempty", 0755));
	gone = FD(open("newempty", O_RDONLY | O_DIRECTORY));
	ERR(rmdir("newempty"));
	ERR(openat(gone, "x", O_CREAT | O_WRONLY, 0644));
	ERR(openat(gone, ".", O_RDONLY));
	ERR(openat(gone, "..", O_RDONLY));
}

/* O_CREAT of what is there in a directory that all may write to (only root can give things away, others see EPERM in both runs). */
static void others_things(void)
{
	static const char *const names[] = {"drop/link", "drop/socket", "drop/mine", "drop/dir"};
	static const int flags[] = {O_CREAT | O_RDWR | O_NOFOLLOW, O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR, O_RDWR | O_NOFOLLOW};

	ERR(mkdir("drop", 0));
	ERR(symlink("mine", "drop/link"));
	ERR(symlink("nowhere", "drop/mine"));
	ERR(mknod("drop/socket", S_IFSOCK | 0666, 0));
	ERR(mkdir("drop/dir", 0777));
	ERR(lchown("drop/link", 12345, 12345));
	ERR(lchown("drop/socket", 12345, 12345));
	ERR(lchown("drop/dir", 12345, 12345));
	for (int sticky = 0; sticky < 3; sticky++) {
		ERR(chmod("drop", sticky == 0 ? 0777 : sticky == 1 ? 01777 : 01755));
		for (size_t n = 0; n < COUNT(names); n++)
			for (size_t f = 0; f < COUNT(flags); f++)
				LABEL(open(names[n], flags[f], 0600), "open %s %#o sticky %d", names[n], flags[f], sticky);
	}
	list("drop");
}

int main(void)
{
	for (size_t i = 0; i < COUNT(objects); i++)
		every_flag(objects[i]);
	creation();
	bytes();
	coherence();
	dirfds();
	others_things();
	return 0;
}
