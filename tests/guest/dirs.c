/* tests/guest/dirs.c - making and removing directories.
 * COVERS: mkdir mkdirat rmdir unlinkat */
#include "guest.h"

static void mkdir_objects(void)
{
	const char *const paths[] = {"new", "new/", "new", "new2//", "dir", "dir/", "file", "file/", "link", "dirlink", "dirlink/", "dangling", "dangling/", "loop1",
		"loop1/", ".", "..", "/", "", "dir/.", "dir/..", "new3/.", "nothing/x", "file/x", "dirlink/inner", "closed/x", "rodir/x", "setgid/inner", "sticky/x", "dir/sub/../made"};

	for (size_t i = 0; i < COUNT(paths); i++)
		if (LABEL(mkdir(paths[i], 0777), "mkdir %s", paths[i]) == 0)
			look(paths[i]);
	umask(0);
	const mode_t modes[] = {0, 0700, 0777, 01777, 02777, 04777, 07777};
	for (size_t i = 0; i < COUNT(modes); i++) {
		char name[32];

		snprintf(name, sizeof(name), "mode%o", modes[i]);
		LABEL(mkdir(name, modes[i]), "mkdir %s", name);
		look(name);
	}
	umask(022);
}

static void rmdir_objects(void)
{
	const char *const paths[] = {"emptydir", "dir", "dir/", "file", "file/", "link", "dirlink", "dirlink/", "dangling", "loop1", "loop1/", ".", "dir/.", "dir/..", "..", "/", "",
		"nothing", "nothing/x", "file/x", "new", "new", "new2/", "setgid/inner/", "closed", "rodir", "fifo", "sock"};

	for (size_t i = 0; i < COUNT(paths); i++)
		LABEL(rmdir(paths[i]), "rmdir %s", paths[i]);
	LABEL(unlinkat(AT_FDCWD, "mode700", 0), "unlinkat a directory");
	LABEL(unlinkat(AT_FDCWD, "mode700", AT_REMOVEDIR), "unlinkat AT_REMOVEDIR");
	LABEL(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR), "unlinkat AT_REMOVEDIR of a file");
	LABEL(unlinkat(AT_FDCWD, "file", 0x1000), "unlinkat unknown flag");
}

/* A lower directory that was removed and made again is empty. */
static void again(void)
{
	ERR(unlink("other/x"));
	list("other");
	ERR(rmdir("other"));
	look("other");
	ERR(mkdir("other", 0750));
	look("other");
	list("other");
	ERR(open("other/x", O_RDONLY));
	ERR(put("other/x", "second life"));
	show("other/x");
	ERR(rmdir("other"));
	ERR(unlink("other/x"));
	ERR(rmdir("other"));
	ERR(symlink("dir", "other"));
	list("other/");
}

static void by_descriptor(void)
{
	struct stat st;
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file", O_RDONLY));

	ERR(mkdirat(dir, "at", 0755));
	ERR(mkdirat(dir, "at", 0755));
	ERR(mkdirat(dir, "at/below", 0755));
	ERR(mkdirat(file, "at", 0755));
	ERR(mkdirat(999, "at", 0755));
	ERR(mkdirat(dir, "", 0755));
	int at = FD(openat(dir, "at", O_RDONLY)), below = FD(openat(dir, "at/below", O_RDONLY));
	ERR(unlinkat(dir, "at", AT_REMOVEDIR));
	ERR(unlinkat(at, "below", AT_REMOVEDIR));
	ERR(unlinkat(dir, "at", AT_REMOVEDIR));
	ERR(mkdirat(at, "ghost", 0755));
	ERR(fstat(below, &st));
	VAL(st.st_nlink);
	ERR(mkdirat(below, "../x", 0755));
	list("dir");
}

static void parent_times(void)
{
	struct stat st;

	ERR(stat("emptydir2", &st));
	ERR(mkdir("emptydir2", 0755));
	ERR(stat(".", &st));
	TRUTH(recent(st.st_mtim));
	ERR(stat("sticky", &st));
	VAL(st.st_mtime == 1500000000);
	ERR(mkdir("sticky/d", 0755));
	ERR(stat("sticky", &st));
	TRUTH(recent(st.st_mtim));
	ERR(stat("setgid", &st));
	VAL(st.st_nlink);
}

int main(void)
{
	mkdir_objects();
	rmdir_objects();
	again();
	by_descriptor();
	parent_times();
#ifdef __NR_mkdir
	ERR(syscall(__NR_mkdir, "legacy", 0711));
	look("legacy");
	ERR(syscall(__NR_rmdir, "legacy"));
	ERR(syscall(__NR_rmdir, "legacy"));
#endif
	list(".");
	return 0;
}
