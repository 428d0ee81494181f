/* Every way to a hidden directory that we know, by name, by link, by its parent's other names, by descriptors. HIDE: secret */
#include "attack.h"

#include <sys/inotify.h>
#include <sys/xattr.h>

static const char *dir;

static void look(const char *path, const char *how)
{
	char buf[256];
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK);

	if (fd >= 0 && read(fd, buf, sizeof buf) > 0 && strstr(buf, "SECRET"))
		won("%s: read %s", how, path);
	if (fd >= 0)
		close(fd);
	if (stat(path, &st) == 0 && st.st_size == 18)
		won("%s: stat %s", how, path);
	if (access(path, F_OK) == 0 && stat(path, &st) == 0 && st.st_size == 18)
		won("%s: access %s", how, path);
}

static void by_path(void)
{
	static const char *const forms[] = {"secret/key", "./secret/key", "host/../secret/key", "host/sub/../../secret/key", "host/to_secret/key", "alias/secret/key",
					    "host/to_key", "host/abs_key", "secret//key", "secret/./key", "secret/../secret/key"};
	char self[4096];

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		look(in_dir(dir, forms[i]), "path");
	static const char *const roots[] = {"/proc/self/root", "/proc/thread-self/root", "/proc/1/root", "/proc/self/task/1/root", "/proc/self/cwd"};
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
		snprintf(self, sizeof self, "%s%s/secret/key", roots[i], dir);
		look(self, "root");
	}
	for (pid_t p = getppid() - 20; p < getppid() + 3; p++) {
		snprintf(self, sizeof self, "/proc/%d/root%s/secret/key", p, dir);
		look(self, "another's root");
		snprintf(self, sizeof self, "/proc/%d/cwd/secret/key", p);
		look(self, "another's cwd");
	}
}

static void by_descriptor(void)
{
	char path[256];
	int d = open(dir, O_RDONLY | O_DIRECTORY), p = open(in_dir(dir, "host"), O_PATH | O_DIRECTORY);

	int fd = openat(d, "secret/key", O_RDONLY);
	if (fd >= 0)
		won("openat below the parent");
	fd = openat(p, "../secret/key", O_RDONLY);
	if (fd >= 0)
		won("openat with ..");
	snprintf(path, sizeof path, "/proc/self/fd/%d/../secret/key", p);
	look(path, "fd/N/..");
	snprintf(path, sizeof path, "/dev/fd/%d/secret/key", d);
	look(path, "/dev/fd");
	if (fchdir(p) == 0) {
		look("../secret/key", "cwd");
		if (chdir("../secret") == 0)
			won("chdir");
	}
	int in = inotify_init1(0);
	if (inotify_add_watch(in, in_dir(dir, "secret"), IN_ALL_EVENTS) >= 0)
		won("inotify");
}

/* Changes around the hidden name, each followed by a look. */
static void by_change(void)
{
	const char *s = in_dir(dir, "secret"), *k = "secret/key";

	if (mkdir(s, 0755) == 0) {
		look(in_dir(dir, k), "own directory in its place");
		rmdir(s);
	}
	look(in_dir(dir, k), "after rmdir of an own one");
	mkdir(in_dir(dir, "own"), 0755);
	if (rename(in_dir(dir, "own"), s) == 0) {
		look(in_dir(dir, k), "own one moved over it");
		rename(s, in_dir(dir, "own2"));
		look(in_dir(dir, k), "own one moved away");
	}
	syscall(SYS_renameat2, AT_FDCWD, s, AT_FDCWD, in_dir(dir, "host"), 2);
	look(in_dir(dir, "host/key"), "exchanged");
	rename(s, in_dir(dir, "public"));
	look(in_dir(dir, "public/key"), "moved");
	link(in_dir(dir, k), in_dir(dir, "linked"));
	look(in_dir(dir, "linked"), "linked");
	symlink("secret/key", in_dir(dir, "sym"));
	look(in_dir(dir, "sym"), "symlink");
	char moved[4096];
	snprintf(moved, sizeof moved, "%s.moved", dir);
	if (rename(dir, moved) == 0) {
		look(in_dir(moved, k), "parent moved");
		look(in_dir(dir, k), "parent moved, old name");
		mkdir(dir, 0755);
		look(in_dir(dir, k), "parent made again");
		rmdir(dir);
		rename(moved, dir);
		look(in_dir(dir, k), "parent moved back");
	}
	if (creat(s, 0644) >= 0) {
		unlink(s);
		look(in_dir(dir, k), "after unlink of an own file");
	}
}

int main(int argc, char **argv)
{
	dir = argc > 1 ? argv[1] : ".";
	by_path();
	by_descriptor();
	by_change();
	by_path();
	return verdict();
}
