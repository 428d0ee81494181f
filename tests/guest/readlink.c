/* tests/guest/readlink.c - reading symlinks: lengths, empty paths, what is not a link.
 * COVERS: readlink readlinkat */
#include "guest.h"

static void text(const char *label, long n, const char *buf)
{
	int e = errno;

	printf("   %s: %ld %s ", label, n, n < 0 ? errname(e) : "");
	if (n > 0)
		print_path(buf, (size_t)n);
	printf("\n");
}

static void objects(void)
{
	const char *const paths[] = {"link", "dirlink", "dangling", "loop1", "selfloop", "linklink", "dir/uplink", "dirlink/uplink", "chain0", "file", "dir",
		"fifo", "nothing", "dirlink/", "link/", "dangling/", "", ".", "file/x", "closed/x", "loop1/x"};
	char buf[PATH_MAX];

	for (size_t i = 0; i < COUNT(paths); i++) {
		text(paths[i], readlink(paths[i], buf, sizeof(buf)), buf);
		text("at", readlinkat(AT_FDCWD, paths[i], buf, 3), buf);
	}
}

static void sizes(void)
{
	char buf[16];

	memset(buf, '#', sizeof(buf));
	ERR(readlink("link", buf, 0));
	ERR(readlink("link", buf, (size_t)-1));
	ERR(readlink("nothing", buf, 0));
	VAL(readlink("link", buf, 2));
	print_bytes(buf, sizeof(buf));
	printf("\n");
	VAL(readlink("link", buf, 4));
	print_bytes(buf, sizeof(buf));
	printf("\n");
}

static void new_links(void)
{
	char longest[PATH_MAX + 2], buf[PATH_MAX];

	memset(longest, 'x', sizeof(longest));
	longest[PATH_MAX - 1] = 0;
	ERR(symlink("made target", "made"));
	text("made", readlink("made", buf, sizeof(buf)), buf);
	ERR(symlink(longest, "longest"));
	VAL(readlink("longest", buf, sizeof(buf)));
	look("longest");
	longest[PATH_MAX - 1] = 'x';
	longest[PATH_MAX] = 0;
	ERR(symlink(longest, "too-long"));
	ERR(symlink("", "empty-target"));
	ERR(symlink("new\nline \xff", "odd"));
	text("odd", readlink("odd", buf, sizeof(buf)), buf);
	ERR(rename("link", "link-renamed"));
	text("link-renamed", readlink("link-renamed", buf, sizeof(buf)), buf);
	ERR(unlink("dangling"));
	ERR(readlink("dangling", buf, sizeof(buf)));
	ERR(symlink("elsewhere", "dangling"));
	text("dangling", readlink("dangling", buf, sizeof(buf)), buf);
}

static void by_descriptor(void)
{
	char buf[PATH_MAX];
	int link = FD(open("loop1", O_PATH | O_NOFOLLOW)), file = FD(open("file", O_RDONLY)), dir = FD(open("dir", O_RDONLY));

	text("link fd", readlinkat(link, "", buf, sizeof(buf)), buf);
	text("file fd", readlinkat(file, "", buf, sizeof(buf)), buf);
	text("dir fd", readlinkat(dir, "", buf, sizeof(buf)), buf);
	text("bad fd", readlinkat(999, "", buf, sizeof(buf)), buf);
	text("cwd", readlinkat(AT_FDCWD, "", buf, sizeof(buf)), buf);
	text("below", readlinkat(dir, "uplink", buf, sizeof(buf)), buf);
	text("below file", readlinkat(file, "uplink", buf, sizeof(buf)), buf);
	ERR(unlink("loop1"));
	text("unlinked link fd", readlinkat(link, "", buf, sizeof(buf)), buf);
}

int main(void)
{
	objects();
	sizes();
	new_links();
	by_descriptor();
#ifdef __NR_readlink
	char buf[8];

	VAL(syscall(__NR_readlink, "dirlink", buf, sizeof(buf)));
	VAL(syscall(__NR_readlink, "dirlink", buf, -5));
#endif
	return 0;
}
