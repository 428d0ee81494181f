/* tests/guest/rename.c - renaming every kind of object over every other, with every flag.
 * COVERS: rename renameat renameat2 */
#include "guest.h"

#include <ftw.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif

static const char *const kinds[] = {"f", "F", "e", "E", "d", "D", "l", "L", "none", "f/", "e/", "d/", "L/", "none/", "d/.", "d/..", ".", "", "f/x", "none/x", "d/in", "/"};

static void must(bool good, const char *what)
{
	if (!good)
		printf("setup of %s failed: %s\n", what, errname(errno));
}

/* In a new directory: f and F files, e and E empty directories, d and D filled ones, l a link to f, L a link to d. */
static void furnish(const char *stage)
{
	must(mkdir(stage, 0755) == 0 && chdir(stage) == 0, stage);
	must(put("f", "file f\n") && put("F", "file F\n"), "files");
	must(mkdir("e", 0755) == 0 && mkdir("E", 0755) == 0 && mkdir("d", 0755) == 0 && mkdir("D", 0755) == 0, "directories");
	must(put("d/in", "in d\n") && put("D/in", "in D\n"), "contents");
	must(symlink("f", "l") == 0 && symlink("d", "L") == 0, "links");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	if (at->level > 0)
		must(remove(path) == 0, path);
	return 0;
}

static void clear_tree(void)
{
	nftw(".", remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void every_pair(unsigned flags)
{
	for (size_t a = 0; a < COUNT(kinds); a++)
		for (size_t b = 0; b < COUNT(kinds); b++) {
			furnish("stage");
			if (LABEL(syscall(__NR_renameat2, AT_FDCWD, kinds[a], AT_FDCWD, kinds[b], flags), "rename %s %s %u", kinds[a], kinds[b], flags) == 0)
				list(".");
			clear_tree();
			must(chdir("..") == 0 && rmdir("stage") == 0, "clearing");
		}
}

/* Names of 256 bytes: the directories, "." and their like come before the names, the old name before the new one. */
static void long_names(void)
{
	static char name[257], in_dir[300], in_none[300], slash[300];
	const char *const paths[] = {name, in_dir, in_none, slash, "d/.", "..", "/", "", "f", "f/", "f/x", "e", "none", "none/.", "none/x", "/proc/self/.", "/proc/none"};
	static const char *const labels[COUNT(paths)] = {"LONG", "d/LONG", "none/LONG", "LONG/"};

	memset(name, 'n', 256);
	snprintf(in_dir, sizeof(in_dir), "d/%s", name);
	snprintf(in_none, sizeof(in_none), "none/%s", name);
	snprintf(slash, sizeof(slash), "%s/", name);
	furnish("stage");
	for (unsigned flags = 0; flags <= RENAME_EXCHANGE; flags++)
		for (size_t a = 0; a < COUNT(paths); a++)
			for (size_t b = 0; b < COUNT(paths); b++)
				if (a < 4 || b < 4)
					LABEL(syscall(__NR_renameat2, AT_FDCWD, paths[a], AT_FDCWD, paths[b], flags), "rename %s %s %u",
					      labels[a] ? labels[a] : paths[a], labels[b] ? labels[b] : paths[b], flags);
	clear_tree();
	must(chdir("..") == 0 && rmdir("stage") == 0, "clearing");
}

/* The same with objects of the host's tree: what leaves a name behind must hide the lower object. */
static void lower_objects(void)
{
	ERR(rename("file", "moved"));
	look("file");
	show("moved");
	ERR(rename("dir", "moved-dir"));
	look("dir");
	list("moved-dir");
	show("moved-dir/sub/deep/d");
	ERR(rename("moved-dir/sub", "sub-top"));
	list("moved-dir");
	list("sub-top");
	ERR(rename("moved-dir", "sub-top/deep"));
	ERR(rename("moved-dir", "sub-top/inner"));
	ERR(rename("sub-top", "sub-top/inner/below"));
	ERR(rename("sub-top/inner/a", "file"));
	show("file");
	ERR(mkdir("dir", 0755));
	list("dir");
	ERR(rename("sub-top/inner", "dir"));
	list("dir");
	ERR(rename("emptydir", "other"));
	ERR(rename("dir", "emptydir"));
	list("emptydir");
	ERR(rename("hard1", "hard2"));
	look("hard1");
	ERR(rename("dangling", "dangling-moved"));
	look("dangling-moved");
	ERR(rename("fifo", "fifo-moved"));
	look("fifo-moved");
	ERR(rename("sock", "sock-moved"));
	look("sock-moved");
	ERR(rename("rodir/inside", "from-rodir"));
	ERR(rename("file2", "rodir/new"));
	ERR(rename("rodir", "rodir-moved"));
	ERR(rename("closed", "closed-moved"));
	ERR(rename("sticky/inside", "sticky/renamed"));
	ERR(rename(".", "x"));
	ERR(rename("names", "names2"));
	list("names2");
	list(".");
}

static void exchange_lower(void)
{
	ERR(syscall(__NR_renameat2, AT_FDCWD, "readonly", AT_FDCWD, "other", RENAME_EXCHANGE));
	look("readonly");
	look("other");
	list("readonly");
	show("other");
	ERR(syscall(__NR_renameat2, AT_FDCWD, "readonly", AT_FDCWD, "other", RENAME_EXCHANGE));
	list("other");
	ERR(syscall(__NR_renameat2, AT_FDCWD, "readonly", AT_FDCWD, "other", RENAME_NOREPLACE));
	ERR(syscall(__NR_renameat2, AT_FDCWD, "readonly", AT_FDCWD, "other/readonly", RENAME_NOREPLACE));
	ERR(syscall(__NR_renameat2, AT_FDCWD, "other", AT_FDCWD, "other/readonly", RENAME_EXCHANGE));
	ERR(syscall(__NR_renameat2, AT_FDCWD, "other", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
	ERR(syscall(__NR_renameat2, AT_FDCWD, "other", AT_FDCWD, "x", 8));
	ERR(syscall(__NR_renameat2, AT_FDCWD, "other", AT_FDCWD, "x", RENAME_WHITEOUT | RENAME_EXCHANGE));
}

static void by_descriptor(void)
{
	int other = FD(open("other", O_RDONLY)), names = FD(open("names2", O_PATH)), file = FD(open("file", O_RDWR));

	ERR(renameat(other, "x", names, "x-moved"));
	list("names2");
	ERR(renameat(names, "x-moved", AT_FDCWD, "x-top"));
	ERR(renameat(file, "a", names, "b"));
	ERR(renameat(other, "a", file, "b"));
	ERR(renameat(999, "a", names, "b"));
	ERR(renameat(other, "nothing", names, "b"));
	ERR(renameat(file, "a", names, ""));
	ERR(write(file, "A", 1));
	ERR(rename("file", "x-top"));
	ERR(write(file, "B", 1));
	show("x-top");
	ERR(rename("x-top", "x-top"));
	ERR(rename("x-top", "./x-top"));
	show("x-top");
}

/* "." of a directory that is gone is busy like any other. */
static void from_removed(void)
{
	int back = FD(open(".", O_RDONLY | O_DIRECTORY));

	ERR(mkdir("doomed", 0755));
	ERR(chdir("doomed"));
	ERR(rmdir("../doomed"));
	ERR(rename(".", "../file"));
	ERR(rename("..", "../file"));
	ERR(rename("./x", "../file"));
	ERR(rename("../file", "./x"));
	ERR(renameat(back, "file", AT_FDCWD, "."));
	ERR(renameat(AT_FDCWD, ".", back, "new"));
	ERR(renameat(AT_FDCWD, ".", back, "nothing/new"));
	ERR(fchdir(back));
	look("file");
}

int main(void)
{
	every_pair(0);
	every_pair(RENAME_NOREPLACE);
	every_pair(RENAME_EXCHANGE);
	long_names();
	long_names();
	lower_objects();
	exchange_lower();
	by_descriptor();
#ifdef __NR_rename
	ERR(syscall(__NR_rename, "x-top", "legacy"));
	look("legacy");
#endif
#ifdef __NR_renameat
	ERR(syscall(__NR_renameat, AT_FDCWD, "legacy", AT_FDCWD, "legacy2"));
	look("legacy2");
#endif
	from_removed();
	return 0;
}
