/* tests/guest/refused.c - calls that no guest may make: each with arguments that would be harmless if it got through.
 *
 * Runs only in the sandbox; natively some would work for root. An errno that the kernel itself would give for the arguments (EFAULT,
 * EINVAL) is a failure: then the call reached the kernel.
 * MODE: self
 * FAKE-ROOT: skip (it makes device nodes: tests/cli/identity has that)
 * COVERS: mount umount2 pivot_root chroot unshare setns bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd
 * COVERS: add_key request_key keyctl open_by_handle_at ptrace process_vm_readv process_vm_writev kexec_load kexec_file_load init_module
 * COVERS: finit_module delete_module swapon swapoff acct quotactl quotactl_fd fanotify_init fanotify_mark uselib clone3 reboot
 * COVERS: sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex syslog vhangup fsopen fsconfig fsmount fspick
 * COVERS: move_mount open_tree open_tree_attr mount_setattr mknod mknodat listns statmount listmount name_to_handle_at ustat sysfs iopl ioperm
 * COVERS: mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr shmget shmat shmctl shmdt semget semop semtimedop semctl
 * COVERS: msgget msgsnd msgrcv msgctl process_madvise process_mrelease kcmp pidfd_getfd landlock_create_ruleset landlock_add_rule
 * COVERS: landlock_restrict_self lsm_get_self_attr lsm_set_self_attr lsm_list_modules modify_ldt lookup_dcookie seccomp */
#include "guest.h"

#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_statmount
#define __NR_statmount 457
#define __NR_listmount 458
#endif
#ifndef __NR_lsm_get_self_attr
#define __NR_lsm_get_self_attr 459
#define __NR_lsm_set_self_attr 460
#define __NR_lsm_list_modules 461
#endif
#ifndef __NR_listns
#define __NR_listns 470
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
		R(statmount, 0, 0, 0, 0),
		R(listmount, 0, 0, 0, 0),
		R(listns, 0, 0, 0, 0),
		R(name_to_handle_at, -1, 0, 0, 0, 0),
		R(mq_open, 0, 0, 0, 0),
		R(mq_unlink, 0),
		R(mq_timedsend, -1, 0, 0, 0, 0),
		R(mq_timedreceive, -1, 0, 0, 0, 0),
		R(mq_notify, -1, 0),
		R(mq_getsetattr, -1, 0, 0),
		R(shmget, 0, 0, 0),
		R(shmat, -1, 0, 0),
		R(shmctl, -1, 0, 0),
		R(shmdt, 1),
		R(semget, 0, -1, 0),
		R(semop, -1, 0, 0),
		R(semtimedop, -1, 0, 0, 0),
		R(semctl, -1, 0, 0, 0),
		R(msgget, 0x5eed0099, 0),
		R(msgsnd, -1, 0, 0, 0),
		R(msgrcv, -1, 0, 0, 0, 0),
		R(msgctl, -1, 0, 0),
		R(process_madvise, -1, 0, 0, 0, 0),
		R(process_mrelease, -1, 0),
		R(kcmp, 1, 1, 0, 0, 0),
		R(pidfd_getfd, -1, 0, 0),
		R(landlock_create_ruleset, 0, 0, 1),
		R(landlock_add_rule, -1, 0, 0, 0),
		R(landlock_restrict_self, -1, 0),
		R(lsm_get_self_attr, 0, 0, 0, 0),
		R(lsm_set_self_attr, 0, 0, 0, 0),
		R(lsm_list_modules, 0, 0, 0),
#ifdef __NR_uselib /* what only x86_64 has */
		R(uselib, 0),
		R(ustat, 0, 0),
		R(sysfs, -1, 0, 0),
		R(iopl, 0),
		R(ioperm, -1, 0, 0),
		R(modify_ldt, -1, 0, 0),
#endif
#ifdef __NR_lookup_dcookie
		R(lookup_dcookie, 0, 0, 0),
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

/* The call comes first: the condition looks at its errno. */
#define EXPECT(name, call, condition) \
	do { \
		long result_ = (call); \
		expect(name, result_, condition); \
	} while (0)

static bool denied(void)
{
	return errno == EPERM || errno == ENOSYS || errno == EACCES || errno == EOPNOTSUPP;
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
	EXPECT("mknod char", mknod("char", S_IFCHR | 0666, makedev(1, 3)), errno == EPERM);
	EXPECT("mknod block", mknodat(AT_FDCWD, "block", S_IFBLK | 0666, makedev(8, 0)), errno == EPERM);
	EXPECT("open of a block device", open("/dev/sda", O_RDONLY), errno == ENOENT);
	EXPECT("open of /dev/mem", open("/dev/mem", O_RDONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	EXPECT("open of /dev/kmsg", open("/dev/kmsg", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	EXPECT("open of /proc/sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES);
	EXPECT("open of /proc/sys/kernel/core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES || errno == EROFS);
	EXPECT("open of /sys/power/state", open("/sys/power/state", O_WRONLY), errno == ENOENT || errno == EPERM || errno == EACCES || errno == EROFS);
}

/* Namespaces by the calls that also make processes; clone3 is not there at all, so that the C library falls back to clone. */
static void processes(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = syscall(__NR_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	EXPECT("clone3 CLONE_NEWUSER", pid, errno == ENOSYS || errno == EPERM);
	const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
	for (size_t i = 0; i < COUNT(flags); i++) {
		pid = syscall(__NR_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			_exit(0);
		EXPECT("clone of a namespace", pid, errno == EPERM);
	}
}

/* Processes outside of the sandbox do not exist: pid 1 and the supervisor's parent. Signal 0 does no harm. */
static void outside(void)
{
	EXPECT("kill 1", kill(1, 0), errno == ESRCH || errno == EPERM);
	EXPECT("tgkill 1", syscall(__NR_tgkill, 1, 1, 0), errno == ESRCH || errno == EPERM);
	EXPECT("tkill 1", syscall(__NR_tkill, 1, 0), errno == ESRCH || errno == EPERM);
	EXPECT("rt_sigqueueinfo 1", syscall(__NR_rt_sigqueueinfo, 1, 0, 0), denied() || errno == ESRCH);
	EXPECT("pidfd_open 1", syscall(__NR_pidfd_open, 1, 0), errno == ESRCH || errno == EPERM);
	EXPECT("open /proc/1/environ", open("/proc/1/environ", O_RDONLY), errno == ENOENT);
	EXPECT("open /proc/1/root/etc/passwd", open("/proc/1/root/etc/passwd", O_RDONLY), errno == ENOENT);
	EXPECT("open /proc/1/mem", open("/proc/1/mem", O_RDWR), errno == ENOENT);
	EXPECT("prlimit 1", syscall(__NR_prlimit64, 1, 7, NULL, NULL), errno == ESRCH || errno == EPERM);
	EXPECT("setpriority 1", syscall(__NR_setpriority, 0, 1, 0), errno == ESRCH || errno == EPERM);
	EXPECT("sched_setaffinity 1", syscall(__NR_sched_setaffinity, 1, 0, NULL), errno == ESRCH || errno == EPERM);
}

static void terminals(void)
{
	char c = ' ';

	EXPECT("TIOCSTI", ioctl(0, TIOCSTI, &c), errno == EPERM || errno == EACCES);
	EXPECT("TIOCLINUX", ioctl(0, TIOCLINUX, &c), errno == EPERM || errno == EACCES);
	long flags = 0x10, fd = open("file", O_RDONLY);
	EXPECT("FS_IOC_SETFLAGS immutable", ioctl((int)fd, _IOW('f', 2, long), &flags), errno == EPERM || errno == ENOTTY || errno == EOPNOTSUPP);
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
	EXPECT("x32 mkdir", WIFEXITED(x32) && WEXITSTATUS(x32) == 42 ? 0 : -1, true);
	EXPECT("int80 mkdir", WIFEXITED(int80) && WEXITSTATUS(int80) == 42 ? 0 : -1, true);
	EXPECT("what x32 made", access("made-by-x32", F_OK), errno == ENOENT);
	EXPECT("what int80 made", access("made-by-int80", F_OK), errno == ENOENT);
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

	EXPECT("seccomp listener", syscall(__NR_seccomp, 1, 8, &empty), errno == EBUSY || denied() || errno == EINVAL);
	EXPECT("call 4000", syscall(4000), errno == ENOSYS);
	EXPECT("call -1", syscall(-1), errno == ENOSYS);
	EXPECT("call 600", syscall(600), errno == ENOSYS);
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
