/* tests/guest/unlink.c - removing names.
 * COVERS: unlink unlinkat */
#include "guest.h"

static void objects(void)
{
	const char *const paths[] = {"file", "file", "private", "noperm", "hard1", "link", "dirlink", "dirlink/", "dir", "dir/", "dangling", "dangling/", "loop1", "loop1/x",
		"fifo", "sock", "nothing", "nothing/x", "file2/", "file2/x", "", ".", "..", "/", "dir/.", "dir/a", "dir/../dir/b", "rodir/inside", "noread/inside", "closed/x",
		"sticky/inside", "names/new\nline", "names/bad\xff\xfeutf8"};

	for (size_t i = 0; i < COUNT(paths); i++)
		LABEL(unlink(paths[i]), "unlink %s", paths[i]);
	list(".");
	list("dir");
	list("names");
	look("hard2");
}

static void by_descriptor(void)
{
	int dir = FD(open("dir/sub", O_RDONLY)), file = FD(open("file2", O_RDONLY));

	ERR(unlinkat(dir, "c", 0));
	ERR(unlinkat(dir, "c", 0));
	ERR(unlinkat(dir, "deep", 0));
	ERR(unlinkat(dir, "deep", AT_REMOVEDIR));
	ERR(unlinkat(dir, "deep/d", AT_REMOVEDIR));
	ERR(unlinkat(dir, "deep/d", 0));
	ERR(unlinkat(dir, "deep", AT_REMOVEDIR));
	ERR(unlinkat(dir, "", 0));
	ERR(unlinkat(dir, ".", AT_REMOVEDIR));
	ERR(unlinkat(dir, "..", AT_REMOVEDIR));
	ERR(unlinkat(file, "x", 0));
	ERR(unlinkat(999, "x", 0));
	ERR(unlinkat(file, "", AT_EMPTY_PATH));
	list("dir/sub");
}

/* Names that come back are new objects. */
static void back_again(void)
{
	ino_t old = ino_of("file2");
	struct stat st;
	int fd = FD(open("file2", O_RDONLY));

	ERR(unlink("file2"));
	ERR(put("file2", "another body"));
	TRUTH(ino_of("file2") != old);
	ERR(fstat(fd, &st));
	VAL(st.st_nlink);
	TRUTH(st.st_ino == old);
	look("file2");
	ERR(unlink("file2"));
	look("file2");
	/* A new file without a name lives on in whatever descriptor there is. */
	ERR(put("brief", "four"));
	fd = FD(open("brief", O_RDWR));
	ERR(unlink("brief"));
	VAL(write(fd, "FOUR", 4));
	ERR(fstat(fd, &st));
	VAL(st.st_nlink);
	VAL(st.st_size);
	ERR(put("brief", "again"));
	fd = FD(open("brief", O_PATH));
	ERR(unlink("brief"));
	ERR(fstat(fd, &st));
	VAL(st.st_nlink);
	VAL(st.st_mode);
	for (int i = 0; i < 200; i++)
		if (!put("file2", "x") || unlink("file2") < 0)
			printf("round %d failed\n", i);
	look("file2");
}

int main(void)
{
	objects();
	by_descriptor();
	back_again();
#ifdef __NR_unlink
	ERR(put("legacy", "x"));
	ERR(syscall(__NR_unlink, "legacy"));
	ERR(syscall(__NR_unlink, "legacy"));
#endif
	return 0;
}
