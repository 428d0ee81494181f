/* tests/escape/kernel.c - features of the kernel that would be doors: each is asked for, and natively it is had, if the user may. */
#include "escape.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>

/* Natively some take a capability or an option of the kernel. */
static void has(long r, const char *what)
{
	if (r >= 0)
		got("%s", what);
	else if (strcmp(given("NATIVE"), "1") == 0)
		cannot("%s: %s", what, strerror(errno));
}

ATTEMPT(door_io_uring, "io_uring, whose operations pass no filter", GAINS, "")
{
	char params[120] = {0};

	has(syscall(425 /* io_uring_setup */, 4, params), "a ring");
}

ATTEMPT(door_io_uring_rest, "io_uring_enter and io_uring_register on any descriptor", GAINS, "")
{
	errno = 0;
	syscall(426 /* io_uring_enter */, 0, 1, 0, 0, NULL, 0);
	if (errno != ENOSYS && errno != EPERM)
		got("io_uring_enter is there: %s", strerror(errno));
	syscall(427 /* io_uring_register */, -1, 0, NULL, 0);
	if (errno != ENOSYS && errno != EPERM)
		got("io_uring_register is there: %s", strerror(errno));
}

ATTEMPT(door_bpf, "a BPF map, program, and what the kernel has of them", GAINS, "")
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
	union bpf_attr next = {0};

	if (syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &next, sizeof next) == 0)
		got("numbers of the host's programs");
	has(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map), "a map");
}

ATTEMPT(door_perf, "perf_event_open on itself, on the victim, on a processor", GAINS, "")
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};

	if (syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0) >= 0 || syscall(SYS_perf_event_open, &attr, victim(), -1, -1, 0) >= 0)
		got("events of others");
	has(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "events");
}

ATTEMPT(door_userfaultfd, "userfaultfd, which would stall who reads our memory", GAINS, "")
{
	int fd = open("/dev/userfaultfd", O_RDWR);

	if (fd >= 0)
		got("/dev/userfaultfd");
	has(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* USER_MODE_ONLY */), "userfaultfd");
}

static long add_filter(unsigned long op, unsigned long flags)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {1, &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, op, flags, &prog);
}

ATTEMPT(door_listener, "a seccomp listener of its own", GAINS, "")
{
	if (add_filter(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER) >= 0)
		got("a listener");
}

ATTEMPT(door_listener_high_bits, "a seccomp listener, asked for with bits above the low 32", GAINS, "")
{
	if (add_filter(SECCOMP_SET_MODE_FILTER | 1UL << 32, SECCOMP_FILTER_FLAG_NEW_LISTENER | 1UL << 33) >= 0)
		got("a listener");
}

ATTEMPT(door_tracer_filter, "a filter of its own that lets calls pass to a tracer or allows them", FAILS("there is no filter to get around"), "")
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		struct sock_fprog prog = {1, &code[i]};
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
		look_at(in("hidden/key"), "with a filter of its own");
		write_at(in("host/file"), O_WRONLY);
	}
}

ATTEMPT(door_user_namespace, "a user namespace by unshare", GAINS, "")
{
	has(unshare(CLONE_NEWUSER), "a user namespace");
}

ATTEMPT(door_namespaces, "every other namespace by unshare", GAINS, "")
{
	static const int flags[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWCGROUP, 0x80 /* CLONE_NEWTIME */};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		has(unshare(flags[i]), "a namespace");
	has(syscall(SYS_unshare, (unsigned long)CLONE_NEWUTS | 1UL << 32), "a namespace, with high bits");
}

static void end_child(long pid, const char *what)
{
	if (pid == 0)
		_exit(0);
	has(pid, what);
}

ATTEMPT(door_clone_namespace, "a user namespace by clone", GAINS, "")
{
	end_child(syscall(SYS_clone, (unsigned long)CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), "a user namespace");
}

ATTEMPT(door_clone3, "a user namespace by clone3, whose flags lie in memory", GAINS, "")
{
	uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};

	end_child(syscall(435 /* clone3 */, args, sizeof args), "a user namespace");
}

ATTEMPT(door_untraced, "a child that ptrace does not see (CLONE_UNTRACED)", GAINS, "")
{
	end_child(syscall(SYS_clone, (unsigned long)CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0), "such a child");
}

ATTEMPT(door_mount, "mount and umount2, the old way", GAINS, "")
{
	if (mount("none", in("host/sub"), "tmpfs", 0, NULL) == 0) {
		umount2(in("host/sub"), MNT_DETACH);
		got("a mount");
	} else {
		has(-1, "a mount");
	}
	int r = mount(given("DIR"), in("host/sub"), NULL, MS_BIND, NULL);
	if (r == 0)
		umount2(in("host/sub"), MNT_DETACH);
	has(r, "a bind mount");
}

ATTEMPT(door_new_mount, "fsopen, fspick, open_tree, move_mount, mount_setattr", GAINS, "")
{
	char attr[32] = {0};

	if (syscall(433 /* fspick */, AT_FDCWD, "/", 0) >= 0 || syscall(442 /* mount_setattr */, AT_FDCWD, "/", 0x8000, attr, sizeof attr) == 0)
		got("a mount of the host");
	has(syscall(428 /* open_tree */, AT_FDCWD, "/", 1), "open_tree");
	has(syscall(430 /* fsopen */, "tmpfs", 0), "fsopen");
}

ATTEMPT(door_mount_list, "listmount and statmount", GAINS, "")
{
	uint64_t request[4] = {32, ~0ULL, 0}, ids[8];

	has(syscall(458 /* listmount */, request, ids, 8, 0), "the host's mounts");
}

ATTEMPT(door_root, "chroot and pivot_root", GAINS, "")
{
	if (syscall(SYS_pivot_root, in("host"), in("host/sub")) == 0)
		got("pivot_root");
	has(chroot(in("host")), "chroot");
}

ATTEMPT(door_administration, "reboot, modules, kexec, swap, names, clocks, quotas", FAILS("it would change the machine"), "")
{
	struct timespec t = {0};

	if (syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* CAD off */, NULL) == 0 || syscall(SYS_kexec_load, 0, 0, NULL, 0) == 0)
		got("reboot or kexec");
	if (syscall(SYS_init_module, "", 0, "") == 0 || syscall(SYS_finit_module, host_file(), "", 0) == 0 || syscall(SYS_delete_module, "none", O_NONBLOCK) == 0)
		got("modules");
	if (sethostname("owned", 5) == 0 || syscall(SYS_setdomainname, "owned", 5) == 0 || clock_settime(CLOCK_REALTIME, &t) == 0 || syscall(SYS_settimeofday, &t, NULL) == 0)
		got("names or clocks");
	if (syscall(SYS_quotactl, 0x800001 << 8, NULL, 0, NULL) == 0 || syscall(SYS_vhangup) == 0)
		got("quotactl or vhangup");
}

ATTEMPT(door_adjtimex, "the clock adjusted by adjtimex and clock_adjtime", FAILS("it would change the machine"), "")
{
	int tx[52] = {0x0002 /* ADJ_FREQUENCY */};

	if (syscall(SYS_adjtimex, tx) >= 0)
		got("adjtimex");
	tx[0] = 0x2;
	if (syscall(SYS_clock_adjtime, 0, tx) >= 0)
		got("clock_adjtime");
}

ATTEMPT(door_syslog, "the kernel's messages", GAINS, "")
{
	char buf[256];

	if (open("/dev/kmsg", O_RDONLY | O_NONBLOCK) >= 0 || open("/proc/kmsg", O_RDONLY | O_NONBLOCK) >= 0)
		got("a file of messages");
	has(syscall(SYS_syslog, 3, buf, sizeof buf), "messages");
}

ATTEMPT(door_kernel_files, "files of /proc and /sys that show or control the kernel", GAINS, "")
{
	static const char *const files[] = {"/proc/kallsyms", "/proc/kcore", "/proc/modules", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/interrupts", "/proc/cmdline",
					    "/proc/keys", "/proc/locks", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/config.gz",
					    "/proc/self/pagemap", "/proc/self/stack", "/proc/self/syscall", "/proc/diskstats", "/sys/kernel/debug/", "/sys/fs/cgroup/memory/tasks", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs",
					    "/sys/kernel/security/", "/sys/power/state", "/sys/firmware/", "/sys/class/net/lo/address"};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int fd = open(files[i], O_RDONLY);
		if (fd >= 0)
			got("%s", files[i]);
		close(fd);
	}
}

ATTEMPT(door_kernel_settings, "settings of the kernel written", FAILS("it would change the machine"), "")
{
	static const char *const files[] = {"/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger",
					    "/proc/sys/kernel/modprobe", "/proc/self/loginuid", "/proc/self/uid_map", "/proc/self/setgroups", "/proc/self/attr/current",
					    "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/devices/system/cpu/cpu1/online", "/proc/sys/kernel/randomize_va_space"};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int fd = open(files[i], O_WRONLY);
		if (fd >= 0 && write(fd, "1", 1) == 1)
			got("%s", files[i]);
		close(fd);
	}
}

ATTEMPT(door_ports, "iopl, ioperm, modify_ldt", GAINS, "")
{
#ifdef __x86_64__
	unsigned ldt[4] = {0, 0, 0xfffff, 0x51};

	if (syscall(SYS_modify_ldt, 0x11, ldt, sizeof ldt) == 0)
		got("modify_ldt");
	has(syscall(SYS_iopl, 3), "iopl");
	has(syscall(SYS_ioperm, 0x80, 1, 1), "ioperm");
#else
	cannot("an architecture without them");
#endif
}

ATTEMPT(door_keys, "keyrings: a key of its own, the session's, request_key", GAINS, "")
{
	has(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1), "the user's keyring");
	has(syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_PROCESS_KEYRING), "a key");
}

ATTEMPT(door_ipc, "System V objects and message queues of its own, which outlive it", GAINS, "")
{
	long id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);

	if (id >= 0)
		syscall(SYS_shmctl, id, IPC_RMID, NULL);
	has(id, "shared memory");
	id = syscall(SYS_semget, IPC_PRIVATE, 1, 0600);
	if (id >= 0)
		syscall(SYS_semctl, id, 0, IPC_RMID, 0);
	has(id, "semaphores");
	id = syscall(SYS_msgget, IPC_PRIVATE, 0600);
	if (id >= 0)
		syscall(SYS_msgctl, id, IPC_RMID, NULL);
	has(id, "messages");
}

ATTEMPT(door_fanotify, "fanotify", GAINS, "")
{
	has(syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, O_RDONLY), "fanotify");
}

ATTEMPT(door_personality, "personality bits that weaken a process or change calls", GAINS, "")
{
	if (personality(READ_IMPLIES_EXEC | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO) >= 0)
		got("bits");
	if (syscall(SYS_personality, 0x8L /* PER_LINUX32 */ | 1L << 32) >= 0)
		got("another personality");
}

ATTEMPT(door_landlock, "landlock and security modules", GAINS, "")
{
	if (syscall(461 /* lsm_list_modules */, NULL, NULL, 0) >= 0 || (errno != ENOSYS && errno != EOPNOTSUPP))
		got("the list of modules");
	has(syscall(444 /* landlock_create_ruleset */, NULL, 0, 1), "landlock's version");
}

ATTEMPT(door_blind, "PR_SET_DUMPABLE 0, so that the supervisor cannot read what is passed", FAILS("there is no supervisor"), "")
{
	prctl(PR_SET_DUMPABLE, 0);
	look_at(in("hidden/key"), "not dumpable");
	write_at(in("host/file"), O_WRONLY);
	if (prctl(PR_GET_DUMPABLE) == 0)
		got("it is not dumpable");
	if (!still_served())
		got("it is no longer served");
}

ATTEMPT(door_prctl_mm, "PR_SET_MM: another executable, other addresses", GAINS, "")
{
	if (prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, (unsigned long)open("/bin/true", O_RDONLY), 0, 0) == 0)
		got("another executable");
	has(prctl(PR_SET_MM, PR_SET_MM_START_STACK, (unsigned long)&errno, 0, 0), "PR_SET_MM");
}

ATTEMPT(door_user_dispatch, "system call user dispatch, which comes before the filter", GAINS, "")
{
	static char selector;

	if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &selector) == 0)
		got("user dispatch");
	else if (strcmp(given("NATIVE"), "1") == 0)
		cannot("no user dispatch: %s", strerror(errno));
}

ATTEMPT(door_prctl_rest, "prctl of the bounding set, secure bits, ptracers, the machine check, core scheduling", GAINS, "")
{
	if (prctl(PR_CAPBSET_DROP, 0) == 0 || prctl(PR_SET_SECUREBITS, 1) == 0 || prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0)
		got("something of the process that matters outside");
	if (prctl(62 /* PR_SCHED_CORE */, 1, 0, 0, 0) == 0 || prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0 || prctl(PR_TASK_PERF_EVENTS_DISABLE) == 0)
		got("core scheduling, I/O flushing or perf");
}

ATTEMPT(door_capabilities, "capabilities, by capset, setuid and setfsuid", FAILS("root has them, others do not"), "")
{
	char text[4096] = "";
	int fd = open("/proc/self/status", O_RDONLY);

	setuid(0);
	setresuid(0, 0, 0);
	setfsuid(0);
	syscall(SYS_capset, (uint32_t[]){0x20080522, 0}, (uint32_t[]){~0U, ~0U, ~0U, 0x1ff, 0x1ff, 0x1ff});
	NEED(read(fd, text, sizeof text - 1) > 0);
	const char *at = strstr(text, "CapEff:");
	if (!at || strtoull(at + 7, NULL, 16))
		got("%.30s", at ? at : "no line");
	at = strstr(text, "NoNewPrivs:");
	if (!at || strtoull(at + 11, NULL, 10) != 1)
		got("new privileges");
}

ATTEMPT(door_devices, "devices that are doors", GAINS, "")
{
	static const char *const devices[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/sda", "/dev/vda", "/dev/loop-control", "/dev/loop0", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/tty0",
					      "/dev/ttyS0", "/dev/console", "/dev/hpet", "/dev/uinput", "/dev/vhost-vsock", "/dev/userfaultfd", "/dev/snapshot", "/dev/rtc0",
					      "/dev/mapper/control", "/dev/cpu/0/msr", "/dev/dri/card0", "/dev/hwrng", "/dev/vsock"};

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		if (open(devices[i], O_RDONLY | O_NONBLOCK | O_NOCTTY) >= 0)
			got("%s", devices[i]);
	has(-1, "a device");
}

ATTEMPT(door_made_device, "a device node made and opened", GAINS, "")
{
	if (mknod(in("host/null"), S_IFCHR | 0666, 0x103) < 0)
		cannot("mknod: %s", strerror(errno));
	if (open(in("host/null"), O_RDWR) >= 0)
		got("the device");
}

ATTEMPT(door_device_metadata, "mode, times and names of /dev/null and its kin", FAILS("everybody needs them"), "")
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"};
	int pool[4] = {0};

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		int fd = open(devices[i], O_RDWR | O_NONBLOCK | O_NOCTTY);
		chmod(devices[i], 0);
		chown(devices[i], 12345, 12345);
		utimensat(AT_FDCWD, devices[i], NULL, 0);
		fchmod(fd, 0);
		fchown(fd, 12345, 12345);
		futimens(fd, NULL);
		if (ioctl(fd, 0x40045201 /* RNDADDTOENTCNT */, pool) == 0 || ioctl(fd, 0x5206 /* RNDCLEARPOOL */, pool) == 0)
			got("the pool of random numbers");
		linkat(AT_FDCWD, fmt_path("/proc/self/fd/%d", fd), AT_FDCWD, in("host/dev"), AT_SYMLINK_FOLLOW);
		rename(devices[i], in("host/dev2"));
		unlink(devices[i]);
	}
}

ATTEMPT(door_families, "sockets of AF_PACKET, AF_VSOCK, AF_ALG and other families", GAINS, "")
{
	static const int families[] = {AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_CAN, AF_TIPC, AF_XDP, AF_KCM, AF_RDS, AF_KEY, AF_NFC, AF_PPPOX, AF_QIPCRTR, AF_SMC};

	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
			if (socket(families[i], type, 0) >= 0)
				got("a socket of family %d, type %d", families[i], type);
	if (socket(AF_INET, SOCK_RAW, 1) >= 0 || socket(AF_INET6, SOCK_RAW, 58) >= 0 || socket(AF_INET, SOCK_PACKET, 0) >= 0)
		got("a raw socket");
	has(-1, "such a socket");
}

ATTEMPT(door_netlink, "netlink of every protocol but routes", GAINS, "")
{
	for (int protocol = 1; protocol < 23; protocol++)
		if (socket(AF_NETLINK, SOCK_RAW, protocol) >= 0)
			got("protocol %d", protocol);
	has(-1, "netlink");
}
