/* tests/guest/watches.c - every kind of inotify event, for directories and files, by other processes and through descriptors.
 * COVERS: inotify_add_watch inotify_rm_watch */
#include "guest.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int queue, watch_numbers[64];
static const char *watch_names[64];
static char last_event[sizeof(struct inotify_event) + NAME_MAX + 1];

static void begin(void)
{
	if (queue)
		close(queue);
	memset(watch_names, 0, sizeof(watch_names));
	queue = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

static int watch(const char *path, uint32_t mask)
{
	int wd = inotify_add_watch(queue, path, mask);

	LABEL(wd, "watch %s %#x", path, mask);
	for (size_t i = 0; wd >= 0 && i < COUNT(watch_names); i++)
		if (!watch_names[i] || watch_numbers[i] == wd) {
			watch_numbers[i] = wd;
			watch_names[i] = path;
			break;
		}
	return wd;
}

static const char *watched(int wd)
{
	for (size_t i = 0; i < COUNT(watch_names) && watch_names[i]; i++)
		if (watch_numbers[i] == wd)
			return watch_names[i];
	return "?";
}

/* Equal neighbours are joined by the kernel or not, as the moment of reading falls. */
static bool is_repeated(const struct inotify_event *e)
{
	size_t len = sizeof(*e) + (e->len ? strlen(e->name) + 1 : 0);
	bool same = memcmp(last_event, e, len) == 0;

	memcpy(last_event, e, len);
	return same;
}

/* Names of the bits that are set; cookies as numbers in the order in which they are first seen. */
static void print_event(const struct inotify_event *e)
{
	static const char *const bits[] = {"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE",
					   "DELETE", "DELETE_SELF", "MOVE_SELF", "?", "UNMOUNT", "Q_OVERFLOW", "IGNORED"};
	static uint32_t cookies[8];
	size_t i;

	printf("   %s", watched(e->wd));
	for (i = 0; i < COUNT(bits); i++)
		if (e->mask & (1u << i))
			printf(" %s", bits[i]);
	if (e->mask & IN_ISDIR)
		printf(" ISDIR");
	if (e->cookie) {
		for (i = 0; i < COUNT(cookies) - 1 && cookies[i] && cookies[i] != e->cookie; i++)
			;
		cookies[i] = e->cookie;
		printf(" cookie %zu", i);
		if (e->mask & IN_MOVED_TO)
			memset(cookies, 0, sizeof(cookies));
	}
	if (e->len) {
		printf(" ");
		print_bytes(e->name, strlen(e->name));
	}
	printf("\n");
}

static void events(const char *after)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct pollfd p = {queue, POLLIN, 0};

	memset(last_event, 0, sizeof(last_event));
	printf("after %s:\n", after);
	while (poll(&p, 1, 300 * slower()) > 0) {
		ssize_t n = read(queue, buf, sizeof(buf));

		for (ssize_t at = 0; at < n;) {
			struct inotify_event *e = (void *)(buf + at);

			at += (ssize_t)sizeof(*e) + e->len;
			if (!is_repeated(e))
				print_event(e);
		}
	}
}

/* What is done to a body is seen under the name by which it was opened. */
static void bodies(const char *dir, const char *name)
{
	char path[300], buf[16];

	begin();
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	watch(dir, IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE);
	int fd = FD(open(path, O_RDWR));
	VAL(pwrite(fd, "W", 1, 0));
	events("write");
	char *map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[0] = 'M';
	munmap(map, 1);
	ERR(ftruncate(fd, 1));
	events("ftruncate");
	ERR(fchmod(fd, 0640));
	events("fchmod");
	ERR(futimens(fd, NULL));
	events("futimens");
	ERR(posix_fallocate(fd, 0, 100) ? -1 : 0);
	events("fallocate");
	close(fd);
	events("close");
	ERR(truncate(path, 5));
	events("truncate");
	ERR(close(open(path, O_WRONLY | O_TRUNC)));
	events("open with O_TRUNC");
	fd = FD(open(path, O_WRONLY | O_CREAT, 0644));
	int in = open("file2", O_RDONLY);
	VAL(sendfile(fd, in, NULL, 4));
	close(in);
	close(fd);
	events("sendfile");
	fd = FD(open(path, O_RDONLY));
	VAL(read(fd, buf, 4));
	close(fd);
	events("reading");
}

/* A file of the sandbox: reading it is native, too. */
static void reading(void)
{
	char buf[16];

	begin();
	ERR(put("emptydir/r", "text"));
	watch("emptydir", IN_ALL_EVENTS);
	int fd = FD(open("emptydir/r", O_RDONLY));
	events("open");
	VAL(read(fd, buf, 2));
	events("read");
	close(fd);
	events("close");
	fd = FD(open("emptydir/new", O_WRONLY | O_CREAT | O_EXCL, 0600));
	events("creat");
	VAL(write(fd, "x", 1));
	close(fd);
	events("write and close");
	close(open("emptydir/r", O_PATH));
	events("O_PATH");
	ERR(unlink("emptydir/new"));
	ERR(unlink("emptydir/r"));
	events("unlink");
}

static void attributes(void)
{
	begin();
	watch("dir", IN_ATTRIB | IN_MODIFY | IN_ACCESS);
	watch("dir/sub", IN_ATTRIB | IN_DELETE_SELF);
	ERR(chmod("dir/sub", 0700));
	events("chmod of a directory");
	ERR(chmod("dir", 0750));
	events("chmod of the watched");
	ERR(chown("dir/a", getuid(), getgid()));
	events("chown");
	ERR(chmod("dir/a", 0600));
	events("chmod");
	if (said(__LINE__, "setxattr", setxattr("dir/a", "user.k", "v", 1, 0), false) == 0)
		ERR(removexattr("dir/a", "user.k"));
	events("xattr");
	ERR(symlink("a", "dir/symbolic"));
	ERR(lchown("dir/symbolic", getuid(), -1));
	ERR(utimensat(AT_FDCWD, "dir/symbolic", NULL, AT_SYMLINK_NOFOLLOW));
	events("symlink");
	ERR(chmod("dir/symbolic", 0644));
	events("through a symlink");
}

static void kinds_of_names(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "emptydir/sock"};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), dir;

	begin();
	watch("emptydir", IN_CREATE | IN_DELETE | IN_MOVE);
	ERR(bind(s, (struct sockaddr *)&un, sizeof(un)));
	ERR(mkfifo("emptydir/fifo", 0600));
	ERR(symlink("nowhere", "emptydir/link"));
	ERR(mkdir("emptydir/d", 0700));
	ERR(link("file2", "emptydir/hard"));
	ERR(mknod("emptydir/node", S_IFREG | 0600, 0));
	events("making");
	int t = FD(open("emptydir", O_TMPFILE | O_WRONLY, 0600));
	events("O_TMPFILE");
	char proc[64];
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", t);
	ERR(linkat(AT_FDCWD, proc, AT_FDCWD, "emptydir/named", AT_SYMLINK_FOLLOW));
	close(t);
	events("linkat of a nameless file");
	dir = open("emptydir", O_RDONLY | O_DIRECTORY);
	ERR(renameat2(dir, "fifo", dir, "link", RENAME_EXCHANGE));
	events("exchange");
	ERR(renameat2(dir, "fifo", dir, "link", RENAME_NOREPLACE));
	ERR(renameat(dir, "node", dir, "hard"));
	events("rename over");
	ERR(mkdirat(dir, "e", 0700));
	ERR(renameat(dir, "d", dir, "e"));
	events("rename of a directory over one");
	ERR(mkdir("emptydir/d", 0700));
	ERR(rename("emptydir/d", "other/d"));
	ERR(rename("other/d", "emptydir/d"));
	ERR(rmdir("emptydir/d"));
	events("out and in");
	unlinkat(dir, "sock", 0);
	unlinkat(dir, "fifo", 0);
	unlinkat(dir, "link", 0);
	unlinkat(dir, "hard", 0);
	unlinkat(dir, "named", 0);
	unlinkat(dir, "e", AT_REMOVEDIR);
	events("removal");
	ERR(unlinkat(dir, "e", AT_REMOVEDIR));
	events("failed removal");
	list("emptydir");
	close(dir);
	close(s);
}

static void moves_of_directories(void)
{
	begin();
	ERR(mkdir("m1", 0755));
	ERR(mkdir("m2", 0755));
	ERR(mkdir("m1/d", 0755));
	watch("m1", IN_MOVE | IN_MOVE_SELF | IN_DELETE | IN_DELETE_SELF);
	watch("m2", IN_MOVE | IN_MOVE_SELF | IN_DELETE | IN_DELETE_SELF);
	watch("m1/d", IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE);
	ERR(rename("m1/d", "m2/e"));
	events("move");
	ERR(put("m2/e/f", "x"));
	events("create in the moved");
	ERR(rename("m2/e", "m2/d"));
	ERR(rename("m2", "m3"));
	events("rename");
	ERR(unlink("m3/d/f"));
	ERR(rmdir("m3/d"));
	events("rmdir");
	ERR(rmdir("m3"));
	ERR(rmdir("m1"));
	events("rmdir of the rest");
	/* A host directory with content moves with it. */
	watch("dir", IN_MOVE_SELF | IN_MOVE);
	watch("dir/sub", IN_MOVE_SELF | IN_CREATE | IN_DELETE);
	ERR(rename("dir/sub", "dir/sub2"));
	ERR(put("dir/sub2/made", "x"));
	ERR(unlink("dir/sub2/c"));
	ERR(rename("dir/sub2", "dir/sub"));
	ERR(unlink("dir/sub/made"));
	events("host directory");
}

static void files(const char *path)
{
	begin();
	watch(path, IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF);
	ERR(link(path, "second-name"));
	events("link");
	ERR(unlink(path));
	events("unlink of one name");
	ERR(rename("second-name", "third-name"));
	events("rename");
	int fd = FD(open("third-name", O_RDWR | O_APPEND));
	ERR(write(fd, "y", 1));
	events("write");
	ERR(unlink("third-name"));
	events("unlink while open");
	ERR(write(fd, "z", 1));
	close(fd);
	begin();
	ERR(put(path, "again"));
	watch(path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
	ERR(put("replacement", "new"));
	ERR(rename("replacement", path));
	events("atomic replacement");
}

static void flags(void)
{
	char path[PATH_MAX];
	int wd;

	begin();
	watch("link", IN_ATTRIB | IN_DONT_FOLLOW);
	watch("dirlink", IN_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW);
	watch("dirlink", IN_CREATE | IN_ONLYDIR);
	watch("file2", IN_MODIFY | IN_ONLYDIR);
	watch("file2/", IN_MODIFY);
	watch("", IN_MODIFY);
	watch("noread", IN_CREATE);
	watch("private", IN_MODIFY);
	watch("noperm", IN_MODIFY);
	watch("writeonly", IN_MODIFY);
	watch("loop1", IN_MODIFY);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	ERR(inotify_add_watch(queue, path, IN_CREATE));
	ERR(inotify_add_watch(queue, (char *)8, IN_CREATE));
	wd = watch("sticky", IN_CREATE);
	TRUTH(watch("sticky", IN_DELETE | IN_MASK_ADD) == wd);
	ERR(put("sticky/1", "x"));
	ERR(unlink("sticky/1"));
	events("IN_MASK_ADD");
	TRUTH(watch("sticky", IN_DELETE) == wd);
	ERR(put("sticky/1", "x"));
	events("a replaced mask");
	ERR(inotify_rm_watch(queue, wd));
	ERR(unlink("sticky/1"));
	events("rm_watch");
	watch("sticky", IN_CREATE | IN_ONESHOT);
	ERR(mkdir("sticky/d", 0700));
	ERR(mkdir("sticky/e", 0700));
	events("IN_ONESHOT");
	begin();
	watch("sticky", IN_MODIFY | IN_EXCL_UNLINK);
	int fd = FD(open("sticky/gone", O_WRONLY | O_CREAT, 0600));
	ERR(write(fd, "1", 1));
	events("write");
	ERR(unlink("sticky/gone"));
	ERR(write(fd, "2", 1));
	events("IN_EXCL_UNLINK");
	close(fd);
}

static void other_process(void)
{
	int dir = open("emptydir", O_RDONLY | O_DIRECTORY);

	ERR(fchdir(dir));
	ERR(put("from-child", "x"));
	ERR(rename("from-child", "renamed"));
	ERR(unlink("renamed"));
	close(dir);
}

static void two_processes(void)
{
	int second;

	begin();
	watch("emptydir", IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE);
	second = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	ERR(inotify_add_watch(second, "emptydir", IN_DELETE));
	in_child("child", other_process);
	events("changes of a child");
	close(queue);
	queue = second;
	watch_numbers[0] = 1;
	events("the second queue");
}

static void many(void)
{
	char name[64];
	int n = 0;

	begin();
	ERR(mkdir("crowd", 0755));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "crowd/%03d", i);
		n += put(name, "x");
	}
	VAL(n);
	watch("crowd", IN_DELETE | IN_CREATE);
	ERR(unlink("crowd/000"));
	ERR(unlink("crowd/299"));
	events("two of many");
}

int main(void)
{
	bodies("dir", "a");	/* host files */
	bodies("dir/sub", "c"); /* in a deeper one */
	ERR(mkdir("fresh", 0755));
	ERR(put("fresh/f", "content"));
	bodies("fresh", "f");
	bodies(".", "big");
	reading();
	attributes();
	kinds_of_names();
	moves_of_directories();
	ERR(put("own", "x"));
	files("own");
	files("file");
	flags();
	two_processes();
	many();
	return 0;
}
