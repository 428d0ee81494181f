/* tests/guest/access.c - permission questions by real and effective user.
 * COVERS: access faccessat faccessat2 */
#include "guest.h"

static const char *const objects[] = {"file", "private", "noperm", "writeonly", "readonly", "setid", "script.sh", "noexec.sh", "dir", "closed",
	"rodir", "noread", "sticky", "link", "dirlink", "dangling", "loop1", "fifo", "sock", "nothing", "closed/x", "noread/inside", "file/x", "",
	"/usr/bin/env", "/etc/passwd", "/etc/shadow", "/dev/null", "/proc/self/status", "/"};

static void every_mode(void)
{
	for (size_t i = 0; i < COUNT(objects); i++)
		for (int mode = 0; mode < 8; mode++) {
			bool sys_write = objects[i][0] == '/' && mode & W_OK && strcmp(objects[i], "/dev/null") != 0;

			if (sys_write) /* writing to the system's own files depends on where the sandbox runs */
				continue;
			LABEL(access(objects[i], mode), "access %s %d", objects[i], mode);
			LABEL(syscall(__NR_faccessat2, AT_FDCWD, objects[i], mode, AT_EACCESS), "faccessat2 %s %d EACCESS", objects[i], mode);
		}
}

static void changed_files(void)
{
	ERR(chmod("file", 0));
	ERR(access("file", R_OK));
	ERR(access("file", X_OK));
	ERR(chmod("file", 0111));
	ERR(access("file", X_OK));
	ERR(access("file", R_OK | X_OK));
	ERR(put("fresh", "x"));
	ERR(access("fresh", R_OK | W_OK));
	ERR(access("fresh", X_OK));
	ERR(chmod("dir", 0));
	ERR(access("dir/a", F_OK));
	ERR(chmod("dir", 0755));
	ERR(unlink("file2"));
	ERR(access("file2", F_OK));
}

int main(void)
{
	int dir = FD(open("dir", O_RDONLY)), file = FD(open("file", O_RDONLY)), link = FD(open("link", O_PATH | O_NOFOLLOW));

	every_mode();
	ERR(access("file", 8));
	ERR(access("file", -1));
	ERR(access("nothing", 8));
	ERR(syscall(__NR_faccessat, dir, "a", R_OK));
	ERR(syscall(__NR_faccessat, dir, "nothing", R_OK));
	ERR(syscall(__NR_faccessat, file, "a", R_OK));
	ERR(syscall(__NR_faccessat, 999, "a", R_OK));
	ERR(syscall(__NR_faccessat2, dir, "a", R_OK, 0));
	ERR(syscall(__NR_faccessat2, dir, "a", R_OK, 0x8000));
	ERR(syscall(__NR_faccessat2, file, "", R_OK, AT_EMPTY_PATH));
	ERR(syscall(__NR_faccessat2, file, "", X_OK, AT_EMPTY_PATH));
	ERR(syscall(__NR_faccessat2, link, "", R_OK, AT_EMPTY_PATH));
	ERR(syscall(__NR_faccessat2, file, "", R_OK, 0));
	ERR(syscall(__NR_faccessat2, AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
	ERR(syscall(__NR_faccessat2, AT_FDCWD, "dangling", F_OK, 0));
	ERR(syscall(__NR_faccessat2, AT_FDCWD, "dangling", X_OK, AT_SYMLINK_NOFOLLOW));
#ifdef __NR_access
	ERR(syscall(__NR_access, "file", R_OK));
	ERR(syscall(__NR_access, "nothing", R_OK));
#endif
	changed_files();
	return 0;
}
