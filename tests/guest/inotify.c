/* tests/guest/inotify.c - events of files and directories of the host and of the sandbox, whoever makes the change.
 * COVERS: inotify_init inotify_init1 inotify_add_watch inotify_rm_watch */
#include "guest.h"

#include <poll.h>
#include <sys/inotify.h>

static int queue, watch_numbers[32];
static const char *watch_names[32];
static char last_event[sizeof(struct inotify_event) + NAME_MAX + 1];

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

/* The kernel joins an event with an equal one that is the last in the queue, if nobody has read that yet: which of them are joined depends
 * on the moment of reading, so equal neighbours count as one. */
static bool is_repeated(const struct inotify_event *e)
{
	size_t len = sizeof(*e) + (e->len ? strlen(e->name) + 1 : 0);
	bool same = memcmp(last_event, e, len) == 0;

	memcpy(last_event, e, len);
	return same;
}

static void events(const char *after)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct pollfd p = {queue, POLLIN, 0};
	uint32_t first_cookie = 0;

	memset(last_event, 0, sizeof(last_event));
	printf("after %s:\n", after);
	while (poll(&p, 1, 300 * slower()) > 0) {
		ssize_t n = read(queue, buf, sizeof(buf));

		for (ssize_t at = 0; at < n;) {
			struct inotify_event *e = (void *)(buf + at);

			at += (ssize_t)sizeof(*e) + e->len;
			if (is_repeated(e))
				continue;
			if (e->cookie && !first_cookie)
				first_cookie = e->cookie;
			printf("   %s %#x%s", watched(e->wd), e->mask, e->cookie ? e->cookie == first_cookie ? " cookie 1" : " cookie 2" : "");
			if (e->len) {
				printf(" ");
				print_bytes(e->name, strlen(e->name));
			}
			printf("\n");
		}
	}
}

static void directory(const char *dir)
{
	char a[300], b[300];
	const uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;

	watch(dir, mask);
	snprintf(a, sizeof(a), "%s/one", dir);
	snprintf(b, sizeof(b), "%s/two", dir);
	ERR(put(a, "x"));
	events("create");
	ERR(put(a, "xyz"));
	events("write");
	ERR(chmod(a, 0600));
	events("chmod");
	ERR(utimensat(AT_FDCWD, a, NULL, 0));
	events("utimensat");
	ERR(rename(a, b));
	events("rename");
	ERR(link(b, a));
	events("link");
	ERR(unlink(b));
	events("unlink");
	ERR(truncate(a, 1));
	events("truncate");
	ERR(unlink(a));
	events("unlink last");
	ERR(mkdir(a, 0755));
	events("mkdir");
	ERR(rmdir(a));
	events("rmdir");
	ERR(symlink("x", a));
	events("symlink");
	ERR(unlink(a));
	ERR(mkfifo(a, 0600));
	ERR(unlink(a));
	events("fifo");
}

static void file(const char *path)
{
	const uint32_t mask = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;

	watch(path, mask);
	int fd = FD(open(path, O_WRONLY | O_APPEND));
	ERR(write(fd, "+", 1));
	close(fd);
	events("append");
	ERR(chmod(path, 0640));
	events("chmod");
	ERR(rename(path, "elsewhere"));
	events("move");
	ERR(unlink("elsewhere"));
	events("delete");
}

static void lower_changes(void)
{
	const uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_MODIFY;

	watch("other", mask);
	ERR(put("other/x", "changed"));
	events("write of a host file");
	ERR(chmod("other/x", 0600));
	events("chmod");
	ERR(rename("other/x", "other/y"));
	events("rename");
	ERR(unlink("other/y"));
	events("unlink");
	ERR(rename("file2", "other/from-outside"));
	events("moved in");
	ERR(rename("other/from-outside", "file2"));
	events("moved out");
}

static void moves_between(void)
{
	const uint32_t mask = IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF;

	ERR(mkdir("left", 0755));
	ERR(mkdir("right", 0755));
	watch("left", mask);
	watch("right", mask);
	ERR(mkdir("left/d", 0755));
	ERR(rename("left/d", "right/d"));
	events("move of a directory");
	ERR(rename("right", "renamed-right"));
	events("move of the watched one");
	ERR(rmdir("renamed-right/d"));
	ERR(rmdir("renamed-right"));
	events("removal");
}

static void calls(void)
{
	int wd = watch("dir", IN_CREATE);

	TRUTH(watch("dirlink", IN_CREATE) == wd);
	TRUTH(watch("./dir/../dir", IN_DELETE | IN_MASK_ADD) == wd);
	watch("dirlink", IN_CREATE | IN_DONT_FOLLOW | IN_ONLYDIR);
	watch("file2", IN_MODIFY | IN_ONLYDIR);
	watch("nothing", IN_CREATE);
	watch("file2", 0);
	watch("closed", IN_CREATE);
	watch("dir", IN_CREATE | IN_MASK_CREATE);
	ERR(inotify_add_watch(999, "dir", IN_CREATE));
	ERR(inotify_add_watch(0, "dir", IN_CREATE));
	ERR(inotify_rm_watch(queue, 12345));
	ERR(inotify_rm_watch(queue, wd));
	events("rm_watch");
	ERR(inotify_init1(0x1));
	watch("sticky", IN_CREATE | IN_ONESHOT);
	ERR(put("sticky/once", "x"));
	ERR(put("sticky/twice", "x"));
	events("oneshot");
}

int main(void)
{
	queue = FD(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
	directory("dir");
	ERR(mkdir("newdir", 0755));
	directory("newdir");
	file("file");
	ERR(put("fresh", "x"));
	file("fresh");
	lower_changes();
	moves_between();
	calls();
	return 0;
}
