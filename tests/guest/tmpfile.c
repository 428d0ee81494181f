/* tests/guest/tmpfile.c - files without a name: O_TMPFILE, linkat of a descriptor, unlinked but open files.
 * COVERS: openat linkat unlink fstat ftruncate */
#include "guest.h"

static void print_fd(const char *label, int fd)
{
	struct stat st;

	if (LABEL(fstat(fd, &st), "fstat %s", label) == 0)
		print_stat(label, &st);
}

static void link_fd(int fd, const char *name)
{
	char proc[64];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	LABEL(linkat(AT_FDCWD, proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW), "linkat by /proc %s", name);
}

static void in_place(const char *dir)
{
	char name[64];
	int fd = open(dir, O_TMPFILE | O_RDWR, 0640);

	snprintf(name, sizeof(name), "%s/named", dir);
	if (LABEL(fd, "O_TMPFILE in %s", dir) < 0)
		return;
	VAL(write(fd, "body\n", 5));
	print_fd("tmpfile", fd);
	list(dir);
	link_fd(fd, name);
	print_fd("tmpfile", fd);
	look(name);
	show(name);
	VAL(write(fd, "more\n", 5));
	show(name);
	link_fd(fd, "second-name");
	TRUTH(same_file(name, "second-name"));
	link_fd(fd, "file");
	ERR(unlink("second-name"));
	ERR(unlink(name));
	close(fd);
}

static void flags(void)
{
	ERR(open("dir", O_TMPFILE | O_RDONLY, 0600));
	ERR(open("file", O_TMPFILE | O_RDWR, 0600));
	ERR(open("nothing", O_TMPFILE | O_RDWR, 0600));
	ERR(open("dirlink", O_TMPFILE | O_WRONLY, 0600));
	ERR(open("dirlink", O_TMPFILE | O_NOFOLLOW | O_WRONLY, 0600));
	ERR(open("dir", O_TMPFILE | O_CREAT | O_RDWR, 0600));
	int fd = FD(open("dir", O_TMPFILE | O_EXCL | O_RDWR, 0600));
	link_fd(fd, "never");
	fd = FD(open("dir", O_TMPFILE | O_RDWR, 0600));
	ERR(linkat(fd, "", AT_FDCWD, "by-empty", AT_EMPTY_PATH));
	ERR(linkat(fd, "", AT_FDCWD, "by-empty", 0));
	ERR(linkat(fd, "", AT_FDCWD, "by-empty2", AT_EMPTY_PATH | 0x40000));
	look("by-empty");
	umask(0);
	fd = FD(open("setgid", O_TMPFILE | O_RDWR, 07777));
	print_fd("setgid tmpfile", fd);
	umask(022);
}

static void unlinked(void)
{
	char buf[16] = "";
	int lower = FD(open("file", O_RDONLY)), upper = FD(open("file2", O_RDWR)), fresh = FD(open("fresh", O_RDWR | O_CREAT, 0600));

	ERR(unlink("file"));
	ERR(unlink("file2"));
	ERR(unlink("fresh"));
	VAL(write(fresh, "alive", 5));
	VAL(pread(fresh, buf, 5, 0));
	VAL(pread(lower, buf, 5, 0));
	VAL(pwrite(upper, "SE", 2, 0));
	VAL(pread(upper, buf, 6, 0));
	ERR(ftruncate(fresh, 1000));
	print_fd("fresh", fresh);
	print_fd("upper", upper);
	print_fd("lower", lower);
	link_fd(fresh, "back");
	link_fd(upper, "back2");
	ERR(linkat(fresh, "", AT_FDCWD, "back3", AT_EMPTY_PATH));
	ERR(open("/proc/self/fd/999", O_RDONLY));
	snprintf(buf, sizeof(buf), "/dev/fd/%d", fresh);
	int again = FD(open(buf, O_RDWR));
	print_fd("reopened", again);
	ERR(put("fresh", "another"));
	print_fd("fresh", fresh);
	show("fresh");
}

int main(void)
{
	in_place("dir");
	in_place("emptydir");
	in_place("sticky");
	ERR(mkdir("newdir", 0700));
	in_place("newdir");
	flags();
	unlinked();
	return 0;
}
