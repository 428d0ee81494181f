/* tests/guest/link.c - hard links and symbolic links.
 * COVERS: link linkat symlink symlinkat */
#include "guest.h"

static const char *const sources[] = {"file", "private", "hard1", "link", "dangling", "loop1", "dir", "dirlink", "fifo", "sock", "nothing", "file/", "dir/",
	"dangling/", "", ".", "closed/x", "nothing/x", "file/x", "setid", "noperm", "readonly"};
static const char *const targets[] = {"new", "file2", "dir", "dir/new", "link", "dangling", "nothing/x", "file/x", "new/", "dir/", "", "rodir/new", "closed/new", "dirlink/new"};

static void every_pair(int flags)
{
	for (size_t s = 0; s < COUNT(sources); s++)
		for (size_t t = 0; t < COUNT(targets); t++) {
			int r = linkat(AT_FDCWD, sources[s], AT_FDCWD, targets[t], flags);

			LABEL(r, "linkat %s %s %#x", sources[s], targets[t], flags);
			if (r == 0) {
				look(targets[t]);
				unlink(targets[t]);
			}
		}
}

/* All names of a lower file with several names change together. */
static void together(void)
{
	TRUTH(same_file("hard1", "hard2"));
	ERR(put("hard1", "written by one name\n"));
	show("hard2");
	TRUTH(same_file("hard1", "hard2"));
	ERR(link("hard2", "hard3"));
	look("hard1");
	ERR(chmod("hard3", 0606));
	look("hard2");
	ERR(unlink("hard1"));
	look("hard2");
	ERR(rename("hard2", "hard3"));
	look("hard2");
	look("hard3");
	ERR(unlink("hard2"));
	ERR(link("file", "file-b"));
	ERR(put("file-b", "both\n"));
	show("file");
	int fd = FD(open("file", O_WRONLY | O_APPEND));
	ERR(write(fd, "more\n", 5));
	show("file-b");
	ERR(unlink("file"));
	ERR(write(fd, "last\n", 5));
	show("file-b");
	look("file-b");
}

static void symlinks(void)
{
	const char *const names[] = {"s1", "file", "dir", "link", "dangling", "loop1", "nothing/s", "file/s", "new/", "dir/", "", "dirlink/s2", "rodir/s", "closed/s", ".", "/"};
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file", O_RDONLY));

	for (size_t i = 0; i < COUNT(names); i++) {
		LABEL(symlink("file", names[i]), "symlink %s", names[i]);
		look(names[i]);
	}
	ERR(symlinkat("../file", dir, "up"));
	show("dir/up");
	ERR(symlinkat("x", file, "up"));
	ERR(symlinkat("x", 999, "up"));
	ERR(symlinkat("x", 999, ""));
	ERR(symlink("", "empty"));
	ERR(symlink("s1", "file2/"));
	ERR(put("s1", "through the link\n"));
	show("file");
	struct stat st;
	ERR(lstat("s1", &st));
	TRUTH(recent(st.st_mtim));
}

static void by_descriptor(void)
{
	char proc[64];
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file2", O_RDONLY)), path = FD(open("file2", O_PATH));

	ERR(linkat(dir, "a", dir, "a2", 0));
	ERR(linkat(dir, "a", AT_FDCWD, "a3", 0));
	TRUTH(same_file("dir/a2", "a3"));
	ERR(linkat(file, "a", dir, "a4", 0));
	ERR(linkat(dir, "a", file, "a4", 0));
	ERR(linkat(999, "a", dir, "a4", 0));
	ERR(linkat(dir, "a", dir, "a4", 0x100));
	ERR(linkat(dir, "a", dir, "a4", 0x8000));
	ERR(linkat(file, "", dir, "a4", 0));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path);
	ERR(linkat(AT_FDCWD, proc, AT_FDCWD, "by-path-fd", AT_SYMLINK_FOLLOW));
	ERR(linkat(AT_FDCWD, proc, AT_FDCWD, "by-path-fd2", 0));
	TRUTH(same_file("by-path-fd", "file2"));
	list("dir");
}

int main(void)
{
	every_pair(0);
	every_pair(AT_SYMLINK_FOLLOW);
	symlinks();
	by_descriptor();
	together();
#ifdef __NR_link
	ERR(syscall(__NR_link, "file2", "legacy-link"));
	ERR(syscall(__NR_symlink, "file2", "legacy-symlink"));
	look("legacy-link");
	look("legacy-symlink");
#endif
	list(".");
	return 0;
}
