/* tests/guest/fileattr.c - flags of a file as file_getattr and file_setattr give them; only errors and "no flag" are alike everywhere.
 * COVERS: file_getattr file_setattr ioctl */
#include "guest.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

struct FileAttr { /* struct file_attr of linux/fs.h 6.17 */
	uint64_t xflags;
	uint32_t extsize, nextents, projid, cowextsize;
};

#define IMMUTABLE 0x8 /* FS_XFLAG_IMMUTABLE */

int main(void)
{
	struct FileAttr a = {0};
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file", O_RDONLY));

	ERR(syscall(__NR_file_getattr, AT_FDCWD, "nothing", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_getattr, AT_FDCWD, "file", &a, 8, 0));
	ERR(syscall(__NR_file_getattr, AT_FDCWD, "file", &a, 5000, 0));
	ERR(syscall(__NR_file_getattr, AT_FDCWD, "file", &a, sizeof(a), 0x8000));
	ERR(syscall(__NR_file_getattr, AT_FDCWD, "", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_getattr, 999, "file", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_getattr, file, "x", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_getattr, dir, "nothing", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_setattr, AT_FDCWD, "nothing", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_setattr, AT_FDCWD, "file", &a, 8, 0));
	ERR(syscall(__NR_file_setattr, 999, "file", &a, sizeof(a), 0));
	ERR(syscall(__NR_file_setattr, AT_FDCWD, "file", &a, sizeof(a), 0x8000));
	if (geteuid() != 0) { /* root may set it natively */
		a.xflags = IMMUTABLE;
		long r = syscall(__NR_file_setattr, AT_FDCWD, "file", &a, sizeof(a), 0);
		TRUTH(r < 0);
		long flags = FS_IMMUTABLE_FL;
		TRUTH(ioctl(file, FS_IOC_SETFLAGS, &flags) < 0);
	}
	look("file");
	show("file");
	return 0;
}
