/* tests/guest/xattr.c - extended attributes by path, link and descriptor, and the four newer *at calls.
 * COVERS: setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
 * COVERS: setxattrat getxattrat listxattrat removexattrat */
#include "guest.h"

#include <sys/xattr.h>

struct XattrArgs { /* struct xattr_args of linux/xattr.h 6.13 */
	uint64_t value;
	uint32_t size, flags;
};

static void print_value(long n, const char *buf, size_t size)
{
	if (n > 0 && size > 0) {
		printf("   %ld: ", n);
		print_bytes(buf, (size_t)n > 60 ? 60 : (size_t)n);
		printf("\n");
	}
}

/* The user.* names of an object, sorted: security modules may add names of their own. */
static void names_of(const char *path)
{
	char buf[4096], *found[64];
	size_t count = 0;
	ssize_t n = llistxattr(path, buf, sizeof(buf));

	printf("   names of %s:", path);
	if (n < 0)
		printf(" %s", errname(errno));
	for (char *p = buf; n > 0 && p < buf + n && count < COUNT(found); p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0)
			found[count++] = p;
	qsort(found, count, sizeof(found[0]), compare_names);
	for (size_t i = 0; i < count; i++) {
		char value[100];
		ssize_t len = lgetxattr(path, found[i], value, sizeof(value));

		printf(" %s=", found[i]);
		print_bytes(value, len < 0 ? 0 : (size_t)len);
	}
	printf("\n");
}

static void objects(void)
{
	const char *const paths[] = {"xattrs", "file", "hard1", "readonly", "noperm", "big", "dir", "emptydir", "sticky", "link", "dirlink", "dangling", "loop1", "fifo", "sock", "nothing",
		"file/x", "", ".", "closed/x", "/dev/null"};
	char buf[100];

	for (size_t i = 0; i < COUNT(paths); i++) {
		const char *p = paths[i];

		LABEL(setxattr(p, "user.new", "value", 5, 0), "setxattr %s", p);
		LABEL(lsetxattr(p, "user.l", "lvalue", 6, XATTR_CREATE), "lsetxattr %s", p);
		LABEL(setxattr(p, "user.new", "again", 5, XATTR_CREATE), "setxattr CREATE %s", p);
		LABEL(setxattr(p, "user.new", "replaced", 8, XATTR_REPLACE), "setxattr REPLACE %s", p);
		LABEL(setxattr(p, "user.absent", "x", 1, XATTR_REPLACE), "setxattr REPLACE absent %s", p);
		names_of(p);
		print_value(LABEL(getxattr(p, "user.new", buf, sizeof(buf)), "getxattr %s", p), buf, sizeof(buf));
		LABEL(lgetxattr(p, "user.absent", buf, sizeof(buf)), "lgetxattr absent %s", p);
		LABEL(removexattr(p, "user.l"), "removexattr %s", p);
		LABEL(lremovexattr(p, "user.l"), "lremovexattr again %s", p);
		LABEL(listxattr(p, buf, 1), "listxattr short %s", p);
		names_of(p);
	}
}

static void names_and_sizes(void)
{
	static char huge[70000];
	char longest[300], buf[8];

	memset(huge, 'v', sizeof(huge));
	memset(longest, 'n', sizeof(longest));
	memcpy(longest, "user.", 5);
	longest[255] = 0;
	ERR(setxattr("file2", longest, "x", 1, 0));
	VAL(getxattr("file2", longest, buf, sizeof(buf)));
	longest[255] = 'n';
	longest[256] = 0;
	ERR(setxattr("file2", longest, "x", 1, 0));
	ERR(getxattr("file2", longest, buf, sizeof(buf)));
	ERR(setxattr("file2", "", "x", 1, 0));
	ERR(setxattr("file2", "user.", "x", 1, 0));
	ERR(setxattr("file2", "user", "x", 1, 0));
	ERR(setxattr("file2", "nonsense.x", "x", 1, 0));
	ERR(getxattr("file2", "nonsense.x", buf, sizeof(buf)));
	ERR(setxattr("file2", "system.nonsense", "x", 1, 0));
	ERR(setxattr("file2", "user.empty", "", 0, 0));
	VAL(getxattr("file2", "user.empty", buf, sizeof(buf)));
	VAL(getxattr("file2", "user.empty", NULL, 0));
	ERR(setxattr("file2", "user.null", NULL, 0, 0));
	ERR(setxattr("file2", "user.big", huge, 65537, 0));
	ERR(setxattr("file2", "user.k", huge, 1000, 0));
	VAL(getxattr("file2", "user.k", NULL, 0));
	ERR(getxattr("file2", "user.k", buf, sizeof(buf)));
	VAL(getxattr("file2", "user.k", huge, sizeof(huge)));
	ERR(setxattr("file2", "user.flag", "x", 1, 7));
	ERR(setxattr("file2", "user.flag", "x", 1, XATTR_CREATE | XATTR_REPLACE));
	VAL(listxattr("file2", NULL, 0) > 255);
	ERR(removexattr("file2", "user.k"));
	ERR(removexattr("file2", "user.k"));
	names_of("file2");
}

static void by_descriptor(void)
{
	char buf[100];
	int fd = FD(open("file", O_RDONLY)), path = FD(open("file", O_PATH)), dir = FD(open("dir", O_RDONLY)), pipes[2];

	ERR(fsetxattr(fd, "user.fd", "by fd", 5, 0));
	VAL(fgetxattr(fd, "user.fd", buf, sizeof(buf)));
	VAL(flistxattr(fd, buf, sizeof(buf)) > 0);
	ERR(fremovexattr(fd, "user.fd"));
	ERR(fremovexattr(fd, "user.fd"));
	ERR(fsetxattr(path, "user.fd", "x", 1, 0));
	ERR(fgetxattr(path, "user.new", buf, sizeof(buf)));
	ERR(flistxattr(path, buf, sizeof(buf)));
	ERR(fremovexattr(path, "user.new"));
	ERR(fsetxattr(999, "user.fd", "x", 1, 0));
	ERR(fsetxattr(dir, "user.dir", "x", 1, 0));
	names_of("dir");
	ERR(pipe(pipes));
	ERR(fsetxattr(pipes[0], "user.pipe", "x", 1, 0));
	ERR(unlink("file"));
	ERR(fsetxattr(fd, "user.gone", "x", 1, 0));
	VAL(fgetxattr(fd, "user.gone", buf, sizeof(buf)));
}

/* Attributes stay with the object: over copy-up, rename and link. */
static void stay(void)
{
	ERR(put("xattrs", "another body"));
	names_of("xattrs");
	ERR(rename("xattrs", "xattrs2"));
	ERR(link("xattrs2", "xattrs3"));
	ERR(removexattr("xattrs2", "user.two"));
	names_of("xattrs3");
	struct stat st;
	ERR(setxattr("private", "user.x", "y", 1, 0));
	ERR(stat("private", &st));
	VAL(st.st_mtime == 1500000000);
	TRUTH(recent(st.st_ctim));
	ERR(rename("dir", "dir-moved"));
	names_of("dir-moved");
}

static void newer(void)
{
	char value[32] = "at value", list_buf[4096];
	struct XattrArgs a = {(uintptr_t)value, 8, 0}, get = {(uintptr_t)list_buf, 32, 0};
	int dir = FD(open("other", O_RDONLY)), path = FD(open("hard1", O_PATH));

	ERR(syscall(__NR_setxattrat, dir, "x", 0, "user.at", &a, sizeof(a)));
	names_of("other/x");
	VAL(syscall(__NR_getxattrat, dir, "x", 0, "user.at", &get, sizeof(get)));
	VAL(syscall(__NR_listxattrat, dir, "x", 0, list_buf, sizeof(list_buf)) > 0);
	ERR(syscall(__NR_removexattrat, dir, "x", 0, "user.at"));
	ERR(syscall(__NR_removexattrat, dir, "x", 0, "user.at"));
	ERR(syscall(__NR_setxattrat, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.at", &a, sizeof(a)));
	ERR(syscall(__NR_setxattrat, path, "", AT_EMPTY_PATH, "user.at", &a, sizeof(a)));
	names_of("hard1");
	ERR(syscall(__NR_setxattrat, dir, "x", 0x8000, "user.at", &a, sizeof(a)));
	ERR(syscall(__NR_setxattrat, dir, "x", 0, "user.at", &a, 8));
	ERR(syscall(__NR_setxattrat, dir, "x", 0, "user.at", &a, 5000));
	ERR(syscall(__NR_setxattrat, 999, "x", 0, "user.at", &a, sizeof(a)));
	ERR(syscall(__NR_setxattrat, dir, "nothing", 0, "user.at", &a, sizeof(a)));
}

int main(void)
{
	objects();
	names_and_sizes();
	by_descriptor();
	newer();
	stay();
	return 0;
}
