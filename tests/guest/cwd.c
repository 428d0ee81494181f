/* tests/guest/cwd.c - the current directory: changed, renamed, removed, shared, and five hundred levels deep.
 * COVERS: chdir fchdir getcwd */
#include "guest.h"

static void where(void)
{
	char buf[PATH_MAX * 2];
	long n = syscall(__NR_getcwd, buf, sizeof(buf));

	printf("   cwd: ");
	if (n < 0)
		printf("%s", errname(errno));
	else
		print_path(buf, strlen(buf));
	printf(" (%s)\n", n == (long)strlen(buf) + 1 || n < 0 ? "length right" : "LENGTH WRONG");
}

static void home(void)
{
	if (chdir(guest_fixture) < 0)
		printf("no way home: %s\n", errname(errno));
}

static void objects(void)
{
	const char *const paths[] = {"dir", "dir/", "dir/sub/deep", "dirlink", "dirlink/sub", "closed", "noread", "rodir", "sticky", "link", "file", "file/", "dangling", "loop1", "nothing", "nothing/x", "",
		".", "dir/..", "/", "/usr", "/proc", "/dev", "/tmp", "dir/./sub/../sub", "names"};

	for (size_t i = 0; i < COUNT(paths); i++) {
		if (geteuid() == 0 && strcmp(paths[i], "closed") == 0)
			continue; /* the kernel keeps the cwd, and a sandboxed root has no capability to enter */
		LABEL(chdir(paths[i]), "chdir %s", paths[i]);
		where();
		home();
	}
}

static void new_directories(void)
{
	struct stat st;

	ERR(mkdir("new", 0755));
	ERR(chdir("new"));
	where();
	ERR(put("here", "in new"));
	show("here");
	ERR(mkdir("inner", 0755));
	ERR(chdir("inner"));
	where();
	ERR(stat("../here", &st));
	ERR(chdir(".."));
	where();
	ERR(rename("../new", "../renamed"));
	where();
	show("here");
	ERR(rename("../renamed", "../dir/moved"));
	where();
	show("../a");
	ERR(chdir("../.."));
	where();
	ERR(rename("dir", "dir2"));
	ERR(chdir("dir2/sub"));
	where();
	show("c");
	ERR(rename("../../dir2", "../../dir3"));
	where();
	ERR(chdir("deep"));
	where();
	show("../../b");
	home();
}

static void deleted(void)
{
	struct stat st;

	ERR(mkdir("doomed", 0755));
	ERR(chdir("doomed"));
	ERR(rmdir("../doomed"));
	where();
	ERR(stat(".", &st));
	VAL(st.st_nlink);
	ERR(stat("..", &st));
	ERR(put("x", "y"));
	ERR(mkdir("x", 0755));
	ERR(open(".", O_RDONLY));
	ERR(chdir("."));
	ERR(chdir(".."));
	where();
	home();
	ERR(chdir("emptydir"));
	ERR(rmdir(guest_fixture[0] ? "../emptydir" : ""));
	where();
	ERR(stat(".", &st));
	ERR(put("x", "y"));
	list(".");
	home();
	ERR(mkdir("emptydir", 0755));
	ERR(chdir("emptydir"));
	where();
	home();
}

static void by_descriptor(void)
{
	int dir = FD(open("dir3", O_RDONLY)), path = FD(open("dir3/sub", O_PATH)), file = FD(open("file", O_RDONLY)), shut = FD(open("closed", O_PATH)), here = FD(open(".", O_RDONLY));

	ERR(fchdir(dir));
	where();
	ERR(fchdir(path));
	where();
	ERR(fchdir(file));
	ERR(fchdir(999));
	ERR(fchdir(-1));
	if (geteuid() != 0)
		ERR(fchdir(shut));
	ERR(fchdir(here));
	where();
	ERR(mkdir("fresh", 0700));
	int fresh = FD(open("fresh", O_RDONLY));
	ERR(fchdir(fresh));
	where();
	ERR(put("inside", "x"));
	ERR(fchdir(here));
	show("fresh/inside");
	ERR(unlink("fresh/inside"));
	ERR(rmdir("fresh"));
	ERR(fchdir(fresh));
	where();
	ERR(fchdir(here));
}

static void child_keeps(void)
{
	where();
	if (chdir("sub") == 0)
		where();
}

static void sizes(void)
{
	char buf[PATH_MAX];

	ERR(syscall(__NR_getcwd, buf, 0));
	ERR(syscall(__NR_getcwd, buf, 1));
	ERR(syscall(__NR_getcwd, buf, strlen(guest_fixture)));
	VAL(syscall(__NR_getcwd, buf, strlen(guest_fixture) + 1) == (long)strlen(guest_fixture) + 1);
	VAL(syscall(__NR_getcwd, buf, -1L) > 0);
}

static void deep(void)
{
	char name[] = "level-abcdef";
	struct stat st;
	int level = 0;

	for (; level < 500; level++)
		if (mkdir(name, 0755) < 0 || chdir(name) < 0)
			break;
	VAL(level);
	where(); /* longer than PATH_MAX */
	ERR(put("bottom", "here"));
	show("bottom");
	for (; level > 250 && chdir("..") == 0; level--)
		;
	VAL(level);
	where();
	ERR(stat(name, &st));
	home();
	int fd = open(".", O_RDONLY);
	for (level = 0; level < 500; level++) {
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY);

		if (next < 0)
			break;
		close(fd);
		fd = next;
	}
	VAL(level);
	ERR(fstatat(fd, "bottom", &st, 0));
	ERR(unlinkat(fd, "bottom", 0));
	for (; level > 0; level--) {
		int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);

		if (up < 0 || unlinkat(up, name, AT_REMOVEDIR) < 0)
			break;
		close(fd);
		fd = up;
	}
	VAL(level);
	look(name);
}

int main(void)
{
	objects();
	new_directories();
	deleted();
	by_descriptor();
	ERR(chdir("dir3"));
	in_child("child", child_keeps);
	where();
	home();
	sizes();
	deep();
	return 0;
}
