/* tests/guest/dev.c - the devices that programs need.
 * COVERS: openat ioctl newfstatat */
#include "guest.h"

static void device(const char *path, int flags)
{
	struct stat st;
	char buf[16];
	int fd = open(path, flags);

	LABEL(fd, "open %s %d", path, flags);
	if (fd < 0)
		return;
	fstat(fd, &st);
	printf("   %c", type_letter(st.st_mode));
	if (flags != O_WRONLY)
		printf(" read %zd", read(fd, buf, sizeof(buf)));
	if (flags != O_RDONLY)
		printf(" write %zd %s", write(fd, "x", 1), strcmp(path, "/dev/full") == 0 ? errname(errno) : "");
	printf("\n");
	close(fd);
}

int main(void)
{
	const char *const paths[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
	struct stat st;

	for (size_t i = 0; i < COUNT(paths); i++) {
		device(paths[i], O_RDONLY);
		if (i < 3) {
			device(paths[i], O_WRONLY);
			device(paths[i], O_RDWR);
			device(paths[i], O_WRONLY | O_TRUNC);
			device(paths[i], O_WRONLY | O_CREAT | O_TRUNC);
		}
		if (LABEL(stat(paths[i], &st), "stat %s", paths[i]) == 0)
			printf("   %c%04o rdev %#lx\n", type_letter(st.st_mode), st.st_mode & 07777, (long)st.st_rdev);
	}
	ERR(open("/dev/null/x", O_RDONLY));
	ERR(open("/dev/nothing-like-it", O_RDONLY));
	ERR(open("/dev/tty", O_RDWR));
	ERR(access("/dev/fd", F_OK));
	ERR(access("/dev/stdin", F_OK));
	ERR(access("/dev/stdout", F_OK));
	ERR(access("/dev/ptmx", R_OK | W_OK));
	ERR(access("/dev/pts", F_OK));
	int out = FD(open("/dev/stdout", O_WRONLY));
	VAL(write(out, "by /dev/stdout\n", 15));
	int shm = FD(open("/dev/shm/guest-test-shm", O_RDWR | O_CREAT | O_EXCL, 0600));
	VAL(write(shm, "shm", 3));
	ERR(ftruncate(shm, 4096));
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
	TRUTH(m != MAP_FAILED && memcmp(m, "shm", 3) == 0);
	ERR(unlink("/dev/shm/guest-test-shm"));
	ERR(mkdir("/dev/shm/guest-test-dir", 0700));
	ERR(rmdir("/dev/shm/guest-test-dir"));
	return 0;
}
