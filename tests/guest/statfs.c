/* tests/guest/statfs.c - file system facts: same kind everywhere in one tree, room for more, errors.
 * COVERS: statfs fstatfs ustat */
#include "guest.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>

static void facts(const char *path)
{
	struct statfs s;
	struct statvfs v;

	if (LABEL(statfs(path, &s), "statfs %s", path) == 0)
		printf("   room %d files %d name %ld block>0 %d\n", s.f_bavail > 0, s.f_ffree > 0 || s.f_files == 0, (long)s.f_namelen, s.f_bsize > 0);
	if (LABEL(statvfs(path, &v), "statvfs %s", path) == 0)
		printf("   read-only %d\n", (v.f_flag & ST_RDONLY) != 0);
}

int main(void)
{
	const char *const paths[] = {"file", "dir", "link", "dangling", "loop1", "nothing", "file/x", "", ".", "fifo", "sock", "closed/x"};
	struct statfs a, b, c;

	for (size_t i = 0; i < COUNT(paths); i++)
		facts(paths[i]);
	ERR(put("fresh", "x"));
	ERR(mkdir("newdir", 0755));
	facts("fresh");
	facts("newdir");
	ERR(statfs("file", &a));
	ERR(statfs("newdir", &b));
	TRUTH(a.f_type == b.f_type);
	int fd = FD(open("fresh", O_RDWR)), path = FD(open("dir", O_PATH)), dir = FD(open("newdir", O_RDONLY));
	ERR(fstatfs(fd, &c));
	TRUTH(a.f_type == c.f_type && a.f_bsize == c.f_bsize);
	ERR(fstatfs(path, &c));
	TRUTH(a.f_type == c.f_type);
	ERR(fstatfs(dir, &c));
	TRUTH(a.f_type == c.f_type);
	ERR(fstatfs(999, &c));
	ERR(statfs("/proc", &c));
	TRUTH(c.f_type == 0x9fa0);
	ERR(statfs("/proc/self/status", &c));
	TRUTH(c.f_type == 0x9fa0);
	VAL(pathconf(".", _PC_NAME_MAX));
	VAL(pathconf("newdir", _PC_LINK_MAX) > 1);
	VAL(fpathconf(fd, _PC_PATH_MAX));
	return 0;
}
