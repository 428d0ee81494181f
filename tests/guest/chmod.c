/* tests/guest/chmod.c - changing modes by path and descriptor.
 * COVERS: chmod fchmod fchmodat fchmodat2 */
#include "guest.h"

static const char *const objects[] = {"file", "hard1", "noperm", "readonly", "setid", "big", "dir", "emptydir", "closed", "setgid", "sticky", "link", "dirlink", "dangling", "loop1", "fifo",
	"sock", "nothing", "nothing/x", "file/x", "file/", "dir/", "", ".", "closed/x", "script.sh", "dir/uplink"};

static void modes(void)
{
	const mode_t all[] = {0, 0400, 0755, 01777, 02755, 04755, 07777, 0100644, 0xffff};

	for (size_t i = 0; i < COUNT(objects); i++)
		for (size_t m = 0; m < COUNT(all); m++) {
			struct stat st;

			if (LABEL(chmod(objects[i], all[m]), "chmod %s %o", objects[i], all[m]) == 0 && stat(objects[i], &st) == 0)
				printf("   %c%04o\n", type_letter(st.st_mode), st.st_mode & 07777);
		}
	for (size_t i = 0; i < COUNT(objects); i++) {
		chmod(objects[i], 0755);
		LABEL(syscall(__NR_fchmodat2, AT_FDCWD, objects[i], 0700, AT_SYMLINK_NOFOLLOW), "fchmodat2 NOFOLLOW %s", objects[i]);
	}
}

static void by_descriptor(void)
{
	int file = FD(open("file2", O_RDONLY)), path = FD(open("file2", O_PATH)), dir = FD(open("dir", O_RDONLY)), link = FD(open("link", O_PATH | O_NOFOLLOW));
	int pipes[2];

	ERR(fchmod(file, 0604));
	look("file2");
	ERR(fchmod(path, 0600));
	ERR(fchmod(dir, 0711));
	look("dir");
	ERR(fchmod(999, 0600));
	ERR(fchmod(-1, 0600));
	ERR(pipe(pipes));
	ERR(fchmod(pipes[0], 0600));
	ERR(fchmodat(dir, "a", 0606, 0));
	look("dir/a");
	ERR(fchmodat(file, "a", 0606, 0));
	ERR(fchmodat(999, "a", 0606, 0));
	ERR(syscall(__NR_fchmodat2, path, "", 0640, AT_EMPTY_PATH));
	look("file2");
	ERR(syscall(__NR_fchmodat2, link, "", 0640, AT_EMPTY_PATH));
	ERR(syscall(__NR_fchmodat2, file, "", 0640, 0));
	ERR(syscall(__NR_fchmodat2, dir, "a", 0640, 0x8000));
	ERR(syscall(__NR_fchmodat, dir, "b", 0602));
	look("dir/b");
	ERR(unlink("file2"));
	ERR(fchmod(file, 0641));
	struct stat st;
	ERR(fstat(file, &st));
	print_stat("unlinked", &st);
}

/* Only the mode changes: the body is still the host's, the time stays. */
static void body_stays(void)
{
	struct stat st;

	ERR(chmod("private", 0644));
	ERR(stat("private", &st));
	VAL(st.st_mtime == 1500000000);
	TRUTH(recent(st.st_ctim));
	show("private");
	int fd = FD(open("private", O_RDWR));
	ERR(write(fd, "M", 1));
	ERR(fstat(fd, &st));
	print_stat("private", &st);
	ERR(fchmod(fd, 0400));
	ERR(write(fd, "I", 1));
	look("private");
	show("private");
}

/* Writing drops setuid and setgid for who is not root. */
static void set_id_bits(void)
{
	ERR(chmod("setid", 06777));
	int fd = FD(open("setid", O_WRONLY));
	ERR(write(fd, "x", 1));
	close(fd);
	ERR(chmod("script.sh", 06755));
	ERR(truncate("script.sh", 3));
	ERR(chmod("writeonly", 02644));
	ERR(put("writeonly", "x"));
	if (geteuid() != 0) { /* root keeps them natively (CAP_FSETID), which no sandboxed process has */
		look("setid");
		look("script.sh");
		look("writeonly");
	}
}

int main(void)
{
	modes();
	by_descriptor();
	body_stays();
	set_id_bits();
#ifdef __NR_chmod
	ERR(syscall(__NR_chmod, "empty", 0611));
	look("empty");
#endif
	return 0;
}
