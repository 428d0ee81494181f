/* Writing through what may be read only: each native call on a read-only descriptor of a host file, whatever the descriptor went through. The
 * runner compares the file. */
#include "attack.h"

#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static int fd, other;

static void aio(void)
{
	aio_context_t ctx = 0;
	struct iocb cb = {.aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uint64_t)(uintptr_t)"owned", .aio_nbytes = 5};
	struct iocb *list[] = {&cb};
	struct io_event ev;

	if (syscall(SYS_io_setup, 4, &ctx) == 0 && syscall(SYS_io_submit, ctx, 1, list) == 1)
		syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL);
}

static void control(void)
{
	int flags = FS_IMMUTABLE_FL | FS_NODUMP_FL;
	struct fsxattr x = {.fsx_xflags = FS_XFLAG_NODUMP};
	struct file_clone_range range = {.src_fd = other};
	static const unsigned long more[] = {0x401c5820, 0x40086602, 0xc0185879, 0x40106e5a, 0x5401, FIFREEZE, FITHAW, FITRIM, FS_IOC_SETFLAGS, 0x40047602, 0x6613 /* verity */};

	ioctl(fd, FS_IOC_SETFLAGS, &flags);
	ioctl(fd, FS_IOC_FSSETXATTR, &x);
	ioctl(fd, FICLONE, other);
	ioctl(fd, FICLONERANGE, &range);
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		ioctl(fd, more[i], &flags);
	fcntl(fd, F_SETFL, O_RDWR | O_APPEND);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0 || fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		won("a lease on a host file");
	if (fcntl(fd, F_NOTIFY, 1) == 0)
		won("F_NOTIFY");
	if (fcntl(fd, F_SETOWN, 1) == 0 || fcntl(fd, F_SETOWN, getppid() - 1) == 0)
		won("F_SETOWN to a stranger");
}

static void again(void)
{
	char path[64];
	static const int modes[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_TRUNC | O_CREAT, O_RDWR | O_APPEND};

	for (int what = 0; what < 2; what++)
		for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
			snprintf(path, sizeof path, what ? "/dev/fd/%d" : "/proc/self/fd/%d", fd);
			int w = open(path, modes[i], 0644);
			if (w >= 0) {
				if (write(w, "owned", 5) != 5)
					puts("not written");
				close(w);
			}
		}
}

int main(int argc, char **argv)
{
	int p[2];
	struct iovec iov = {(char *)"owned", 5};

	NEED(argc > 1);
	fd = open(in_dir(argv[1], "host/file"), O_RDONLY);
	other = open("/tmp/attack.other", O_RDWR | O_CREAT | O_TRUNC, 0600);
	NEED(fd >= 0 && other >= 0 && write(other, "owned owned owned", 17) == 17 && pipe(p) == 0 && write(p[1], "owned", 5) == 5);
	if (write(fd, "owned", 5) > 0 || pwrite(fd, "owned", 5, 0) > 0 || writev(fd, &iov, 1) > 0 || pwritev2(fd, &iov, 1, 0, 0) > 0)
		won("write");
	if (ftruncate(fd, 0) == 0 || fallocate(fd, 0, 0, 1 << 20) == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
		won("ftruncate or fallocate");
	off_t at = 0;
	if (copy_file_range(other, &at, fd, NULL, 5, 0) > 0 || sendfile(fd, other, &at, 5) > 0 || splice(p[0], NULL, fd, NULL, 5, 0) > 0)
		won("copy");
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		won("a writable shared mapping");
	char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED) {
		if (mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0)
			won("mprotect made a shared mapping writable");
		int mem = open("/proc/self/mem", O_RDWR);
		if (mem >= 0 && pwrite(mem, "owned", 5, (off_t)(uintptr_t)map) == 5)
			won("/proc/self/mem wrote into a shared mapping");
		madvise(map, 4096, 9 /* MADV_REMOVE */);
	}
	aio();
	control();
	again();
	unlink(in_dir(argv[1], "host/file"));
	again();
	return verdict();
}
