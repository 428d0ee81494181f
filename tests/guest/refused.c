/* tests/guest/refused.c - calls that no guest may make: each with arguments that would be harmless if it got through.
 *
 * Runs only in the sandbox; natively some would work for root. An errno that the kernel itself would give for the arguments (EFAULT,
 * EINVAL) is a failure: then the call reached the kernel.
 * MODE: self
 * COVERS: mount umount2 pivot_root chroot unshare setns bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd
 * COVERS: add_key request_key keyctl open_by_handle_at ptrace process_vm_readv process_vm_writev kexec_load kexec_file_load init_module
 * COVERS: finit_module delete_module swapon swapoff acct quotactl quotactl_fd fanotify_init fanotify_mark uselib clone3 reboot
 * COVERS: sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex syslog vhangup fsopen fsconfig fsmount fspick
 * COVERS: move_mount open_tree open_tree_attr mount_setattr mknod mknodat listns */
#include "guest.h"

#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_quotactl_fd
#define __NR_quotactl_fd 443
#endif

struct Refused {
	const char *name;
	long nr, args[6];
};

#define R(call, ...) {#call, __NR_##call, {__VA_ARGS__}}
#define STR(text) (long)(text)

static char nowhere[] = "/nonexistent-for-refused";
static int status;

static const struct Refused *calls(size_t *count)
{
	static struct Refused all[] = {
		R(mount, 0, 0, 0, 0, 0),
		R(umount2, 0, 0x100),
		R(pivot_root, 0, 0),
		R(chroot, 0),
		R(unshare, CLONE_NEWNS),
		R(unshare, CLONE_NEWUSER),
		R(setns, -1, 0),
		R(bpf, 0, 0, 0),
		R(perf_event_open, 0, 0, -1, -1, 0),
		R(io_uring_setup, 0, 0),
		R(io_uring_enter, -1, 0, 0, 0, 0),
		R(io_uring_register, -1, 0, 0, 0),
		R(userfaultfd, -1),
		R(add_key, 0, 0, 0, 0, 0),
		R(request_key, 0, 0, 0, 0),
		R(keyctl, 0, 0, 0, 0, 0),
		R(open_by_handle_at, -1, 0, 0),
		R(ptrace, 16, 1, 0, 0),
		R(ptrace, 0, 0, 0, 0),
		R(process_vm_readv, 1, 0, 0, 0, 0, 0),
		R(process_vm_writev, 1, 0, 0, 0, 0, 0),
		R(kexec_load, 0, 0, 0, 0),
		R(kexec_file_load, -1, -1, 0, 0, 0),
		R(init_module, 0, 0, 0),
		R(finit_module, -1, 0, 0),
		R(delete_module, 0, 0),
		R(swapon, 0, 0),
		R(swapoff, 0),
		R(quotactl, 0, 0, 0, 0),
		R(quotactl_fd, -1, 0, 0, 0),
		R(fanotify_init, -1, 0),
		R(fanotify_mark, -1, 0, 0, -1, 0),
		R(reboot, 0, 0, 0, 0),
		R(sethostname, 0, -1),
		R(setdomainname, 0, -1),
		R(clock_settime, -1, 0),
		R(vhangup, 0),
		R(fsopen, 0, 0),
		R(fsconfig, -1, 0, 0, 0, 0),
		R(fsmount, -1, 0, 0),
		R(fspick, -1, 0, 0),
		R(move_mount, -1, 0, -1, 0, 0),
		R(open_tree, -1, 0, 1),
		R(open_tree_attr, -1, 0, 1, 0, 0),
		R(mount_setattr, -1, 0, 0, 0, 0),
#ifdef __NR_uselib
		R(uselib, 0),
#endif
	};
	static struct Refused paths[] = {
		R(acct, 0),
		R(chroot, 0),
		R(swapon, 0),
		R(mount, 0, 0, 0, 0, 0),
	};

	paths[0].args[0] = paths[1].args[0] = paths[2].args[0] = paths[3].args[0] = paths[3].args[1] = STR(nowhere);
	static struct Refused joined[COUNT(all) + COUNT(paths)];
	memcpy(joined, all, sizeof(all));
	memcpy(joined + COUNT(all), paths, sizeof(paths));
	*count = COUNT(joined);
	return joined;
}

static void expect(const char *name, long r, bool refused)
{
	if (r < 0 && refused) {
		printf("ok    %s: %s\n", name, errname(errno));
		return;
	}
	printf("WRONG %s: %s\n", name, r < 0 ? errname(errno) : "it worked");
	status = 1;
}

static bool denied(void)
{
	return errno == EPERM || errno == ENOSYS || errno == EACCES;
}

static void plain_calls(void)
{
	size_t count;
	const struct Refused *all = calls(&count);

	for (size_t i = 0; i < count; i++) {
		const long *a = all[i].args;
		long r = syscall(all[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);

		expect(all[i].name, r, denied() || (all[i].nr == __NR_ptrace && errno == ESRCH) || (all[i].nr == __NR_process_vm_readv && errno == ESRCH) ||
					       (all[i].nr == __NR_process_vm_writev && errno == ESRCH));
	}
}

static void devices(void)
{
	expect("mknod char", mknod("char", S_IFCHR | 0666, makedev(1, 3)), errno == EPERM);
	expect("mknod block", mknodat(AT_FDCWD, "block", S_IFBLK | 0666, makedev(8, 0)), errno == EPERM);
	expect("open of a block device", open("/dev/sda", O_RDONLY), errno == ENOENT);
	expect("open of /dev/mem", open("/dev/mem", O_RDONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	expect("open of /dev/kmsg", open("/dev/kmsg", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	expect("open of /proc/sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	expect("open of /proc/sys/kernel/core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES || errno == EROFS);
	expect("open of /sys/power/state", open("/sys/power/state", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES || errno == EROFS);
}

/* Namespaces by the calls that also make processes; clone3 is not there at all, so that the C library falls back to clone. */
static void processes(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = syscall(__NR_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	expect("clone3 CLONE_NEWUSER", pid, errno == ENOSYS || errno == EPERM);
	const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
	for (size_t i = 0; i < COUNT(flags); i++) {
		pid = syscall(__NR_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			_exit(0);
		expect("clone of a namespace", pid, errno == EPERM);
	}
}

/* Processes outside of the sandbox do not exist: pid 1 and the supervisor's parent. Signal 0 does no harm. */
static void outside(void)
{
	expect("kill 1", kill(1, 0), errno == ESRCH || errno == EPERM);
	expect("tgkill 1", syscall(__NR_tgkill, 1, 1, 0), errno == ESRCH || errno == EPERM);
	expect("tkill 1", syscall(__NR_tkill, 1, 0), errno == ESRCH || errno == EPERM);
	expect("rt_sigqueueinfo 1", syscall(__NR_rt_sigqueueinfo, 1, 0, 0), denied() || errno == ESRCH);
	expect("pidfd_open 1", syscall(__NR_pidfd_open, 1, 0), errno == ESRCH || errno == EPERM);
	expect("open /proc/1/environ", open("/proc/1/environ", O_RDONLY), errno == ENOENT);
	expect("open /proc/1/root/etc/passwd", open("/proc/1/root/etc/passwd", O_RDONLY), errno == ENOENT);
	expect("open /proc/1/mem", open("/proc/1/mem", O_RDWR), errno == ENOENT);
	expect("prlimit 1", syscall(__NR_prlimit64, 1, 7, NULL, NULL), errno == ESRCH || errno == EPERM);
	expect("setpriority 1", syscall(__NR_setpriority, 0, 1, 0), errno == ESRCH || errno == EPERM);
	expect("sched_setaffinity 1", syscall(__NR_sched_setaffinity, 1, 0, NULL), errno == ESRCH || errno == EPERM);
}

static void terminals(void)
{
	char c = ' ';

	expect("TIOCSTI", ioctl(0, TIOCSTI, &c), errno == EPERM || errno == EACCES);
	expect("TIOCLINUX", ioctl(0, TIOCLINUX, &c), errno == EPERM || errno == EACCES);
	long flags = 0x10, fd = open("file", O_RDONLY);
	expect("FS_IOC_SETFLAGS immutable", ioctl((int)fd, _IOW('f', 2, long), &flags), errno == EPERM || errno == ENOTTY || errno == EOPNOTSUPP);
}

/* The 32-bit and x32 entries of an x86_64 kernel: refused, or the process dies; never a way around the filter. */
#ifdef __x86_64__
static int entry_result(void (*enter)(void))
{
	int wait_status;
	pid_t pid = fork();

	if (pid == 0) {
		enter();
		_exit(0);
	}
	waitpid(pid, &wait_status, 0);
	return wait_status;
}

static void enter_x32(void)
{
	long r = syscall(0x40000000 + __NR_mkdir, "made-by-x32", 0755);

	if (r == 0 || errno == EEXIST)
		_exit(42);
}

static void enter_int80(void)
{
	long r;
	static char *name; /* int80 sees 32 bits of it */

	name = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (name == MAP_FAILED)
		_exit(0);
	strcpy(name, "made-by-int80");
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(39L), "b"(name), "c"(0755L) : "memory", "r8", "r9", "r10", "r11");
	if (r == 0)
		_exit(42);
}

static void foreign_entries(void)
{
	int x32 = entry_result(enter_x32), int80 = entry_result(enter_int80);

	errno = EPERM;
	expect("x32 mkdir", WIFEXITED(x32) && WEXITSTATUS(x32) == 42 ? 0 : -1, true);
	expect("int80 mkdir", WIFEXITED(int80) && WEXITSTATUS(int80) == 42 ? 0 : -1, true);
	expect("what x32 made", access("made-by-x32", F_OK), errno == ENOENT);
	expect("what int80 made", access("made-by-int80", F_OK), errno == ENOENT);
}
#else
static void foreign_entries(void)
{
}
#endif

/* A guest may not install a listener of its own, and unknown calls do not exist. */
static void listeners(void)
{
	struct {
		unsigned short len;
		void *filter;
	} empty = {0, NULL};

	expect("seccomp listener", syscall(__NR_seccomp, 1, 8, &empty), errno == EBUSY || denied() || errno == EINVAL);
	expect("call 4000", syscall(4000), errno == ENOSYS);
	expect("call -1", syscall(-1), errno == ENOSYS);
	expect("call 600", syscall(600), errno == ENOSYS);
}

int main(void)
{
	plain_calls();
	devices();
	processes();
	outside();
	terminals();
	foreign_entries();
	listeners();
	return status;
}
