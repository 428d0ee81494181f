/* tests/guest/mknod.c - FIFOs, sockets and regular files by mknod. Device nodes: only for who may not make them natively either.
 * COVERS: mknod mknodat */
#include "guest.h"

#include <sys/sysmacros.h>

static void kinds(void)
{
	const mode_t modes[] = {0, S_IFREG | 0644, 0600, S_IFIFO | 0666, S_IFSOCK | 0777, S_IFDIR | 0755, S_IFLNK | 0777, S_IFMT, 0030000 | 0644};

	for (size_t i = 0; i < COUNT(modes); i++) {
		char name[32];

		snprintf(name, sizeof(name), "node%zu", i);
		LABEL(mknod(name, modes[i], 0), "mknod %o", modes[i]);
		look(name);
	}
	umask(027);
	ERR(mkfifo("fifo-umask", 0777));
	look("fifo-umask");
	ERR(mkfifo("setgid/fifo", 02666));
	look("setgid/fifo");
	umask(022);
}

static void places(void)
{
	const char *const paths[] = {"file", "dir", "link", "dangling", "loop1", "new/", "file/x", "nothing/x", "dirlink/fifo", "rodir/x", "closed/x", "", ".", "..", "/"};
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file", O_RDONLY));

	for (size_t i = 0; i < COUNT(paths); i++)
		LABEL(mknod(paths[i], S_IFIFO | 0600, 0), "mknod fifo %s", paths[i]);
	ERR(mknodat(dir, "at", S_IFREG | 0604, 0));
	look("dir/at");
	ERR(mknodat(file, "at", S_IFREG | 0604, 0));
	ERR(mknodat(999, "at", S_IFREG | 0604, 0));
	ERR(mknodat(dir, "", S_IFREG | 0604, 0));
	list("dir");
}

static void devices(void)
{
	if (geteuid() == 0) /* root may natively and never may in a sandbox: refused.c has that */
		return;
	ERR(mknod("char", S_IFCHR | 0666, makedev(1, 3)));
	ERR(mknod("block", S_IFBLK | 0666, makedev(8, 0)));
	ERR(mknod("file", S_IFCHR | 0666, makedev(1, 3)));
	look("char");
}

int main(void)
{
	kinds();
	places();
	devices();
#ifdef __NR_mknod
	ERR(syscall(__NR_mknod, "legacy", S_IFIFO | 0622, 0));
	look("legacy");
#endif
	list(".");
	return 0;
}
