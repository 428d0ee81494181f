/* tests/escape/entry.c - system calls made in unusual ways: other entries, other conventions, garbage in the upper halves of registers, threads without a
 * leader, vfork children. */
#include "escape.h"

#include <linux/fs.h>
#include <sys/prctl.h>

#ifdef __x86_64__
/* The 32-bit entry takes pointers below 4 GiB. */
static long int80(long nr, const char *path, long arg)
{
	char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	NEED(low != MAP_FAILED);
	memcpy(low, path, strlen(path) + 1);
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"((long)(uintptr_t)low), "c"(arg), "d"(0L) : "r8", "r9", "r10", "r11", "memory");
	return r;
}

static void foreign(long r)
{
	if (r == -ENOSYS)
		cannot("this kernel has no such entry");
}

ATTEMPT(int80_write, "int 0x80: creat and chmod of a host file", HARMS, "")
{
	foreign(int80(8 /* creat */, in("host/file"), 0644));
	int80(15 /* chmod */, in("host/other"), 0777);
}

ATTEMPT(int80_read, "int 0x80: open of a hidden file", GAINS, "")
{
	long fd = int80(5 /* open */, in("hidden/key"), O_RDONLY);

	foreign(fd);
	look((int)fd, "int 0x80");
}

ATTEMPT(int80_kill, "int 0x80: kill", HARMS, "")
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(37L), "b"((long)victim()), "c"((long)SIGKILL) : "r8", "r9", "r10", "r11", "memory");
	foreign(r);
}

ATTEMPT(int80_ioctl, "int 0x80: personality, unshare, ptrace, io_uring_setup", GAINS, "")
{
	static const struct {
		long nr, arg;
	} calls[] = {{310 /* unshare */, CLONE_NEWUSER}, {136 /* personality */, 0x400000}};

	for (size_t i = 0; i < 2; i++) {
		long r;
		__asm__ volatile("int $0x80" : "=a"(r) : "a"(calls[i].nr), "b"(calls[i].arg), "c"(0L), "d"(0L) : "r8", "r9", "r10", "r11", "memory");
		foreign(r);
		if (r >= 0)
			got("call %ld of the 32-bit table", calls[i].nr);
	}
}

ATTEMPT(x32_write, "the x32 convention: creat, open, chmod", HARMS, "")
{
	long r = syscall(0x40000000L | SYS_creat, in("host/file"), 0644);

	if (r < 0 && errno == ENOSYS)
		cannot("this kernel has no x32");
	syscall(0x40000000L | SYS_chmod, in("host/other"), 0777);
}

ATTEMPT(x32_own_numbers, "numbers of x32 alone (512 and on): ptrace, execve, ioctl, io_setup", FAILS("few kernels have x32"), "")
{
	for (long nr = 512; nr < 548; nr++)
		for (int bit = 0; bit < 2; bit++)
			if (nr != 520 && nr != 545 && syscall((bit ? 0x40000000L : 0) | nr, 0, 0, 0, 0) >= 0)
				got("call %ld", nr);
}

ATTEMPT(vsyscall_page, "calls through the vsyscall page, at its entries and between them", FAILS("it tells the time only"), "")
{
	for (int at = 0; at < 6; at++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			long (*entry)(void *, void *) = (long (*)(void *, void *))(0xffffffffff600000UL + (unsigned long)at * 512);
			entry(NULL, NULL);
			write_at(in("host/file"), O_WRONLY);
			_exit(0);
		}
		NEED(waitpid(pid, &status, 0) == pid);
	}
	if (!still_served())
		got("the supervisor no longer answers");
}
#endif

ATTEMPT(number_high_bits, "call numbers with bits above the low 32", HARMS, "")
{
	syscall(1L << 32 | SYS_unlinkat, AT_FDCWD, in("host/file"), 0);
	syscall(1L << 40 | SYS_mkdirat, AT_FDCWD, in("host/made"), 0755);
}

ATTEMPT(number_out_of_range, "numbers that no call has", FAILS("there is no such call"), "")
{
	for (long nr = 470; nr < 2000; nr++)
		if (syscall(nr, 0, 0, 0, 0, 0, 0) >= 0)
			got("call %ld", nr);
	syscall(-1, 0);
	syscall(INT32_MIN, 0);
	syscall(INT32_MAX, 0);
}

ATTEMPT(dirfd_high_bits, "descriptors with bits above the low 32", HARMS, "")
{
	long dir = open(in("host"), O_RDONLY | O_DIRECTORY), fd = host_file();

	syscall(SYS_fchmod, fd | 5L << 32, 0777);
	syscall(SYS_unlinkat, dir | 1L << 33, "other", 0);
	syscall(SYS_mkdirat, (long)AT_FDCWD & 0xffffffffL, in("host/made"), 0755);
}

ATTEMPT(flags_high_bits, "flags with bits above the low 32", HARMS, "")
{
	write_to((int)syscall(SYS_openat, AT_FDCWD, in("host/file"), (long)O_WRONLY | 1L << 32, 0));
	syscall(SYS_linkat, AT_FDCWD, in("host/other"), AT_FDCWD, in("host/linked"), 1L << 32);
	syscall(SYS_renameat2, AT_FDCWD, in("host/sub"), AT_FDCWD, in("host/sub2"), 1L << 32);
}

static void on_alarm(int sig)
{
	(void)sig;
}

ATTEMPT(restarted_call, "restart_syscall, by itself and after a sleep that a signal interrupted", FAILS("it goes on with what was interrupted only"), "")
{
	struct timespec t = {1, 0};

	signal(SIGALRM, on_alarm);
	for (int i = 0; i < 20; i++) {
		ualarm(3000, 0);
		syscall(SYS_nanosleep, &t, NULL);
		syscall(SYS_restart_syscall, in("host/file"), O_WRONLY | O_TRUNC, 0);
		ualarm(3000, 0);
		open(in("host/file"), O_RDONLY);
		syscall(SYS_restart_syscall, in("hidden/key"), O_RDONLY);
	}
	if (!still_served())
		got("the supervisor no longer answers");
}

static void *without_leader(void *arg)
{
	(void)arg;
	usleep(200000);
	write_at(in("host/file"), O_WRONLY);
	unlink(in("host/other"));
	look_at(in("hidden/key"), "a thread without a leader");
	look_at(fmt_path("/proc/self/root%s", in("hidden/key")), "/proc/self of it");
	exit(0);
}

ATTEMPT(leader_gone, "calls of a thread whose leader has ended", HARMS, "")
{
	pthread_t t;

	NEED(pthread_create(&t, NULL, without_leader, NULL) == 0);
	pthread_exit(NULL);
}

static int in_vfork(void *arg)
{
	const char *path = arg;

	write_at(path, O_WRONLY);
	chdir(in("hidden"));
	_exit(0);
}

ATTEMPT(vfork_child, "calls of a child that shares the memory, and its working directory (CLONE_VM, CLONE_FS, CLONE_FILES)", HARMS, "")
{
	static const int flags[] = {CLONE_VM | CLONE_VFORK, CLONE_VM | CLONE_FS | CLONE_FILES, CLONE_FILES, CLONE_FS};
	static char stack[4][262144];
	int status;

	for (size_t i = 0; i < 4; i++) {
		pid_t pid = clone(in_vfork, stack[i] + sizeof stack[i], flags[i] | SIGCHLD, (void *)(uintptr_t)in("host/file"));
		NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	}
	look_at("key", "the directory that a child entered");
}

ATTEMPT(own_table, "a thread with a descriptor table and a working directory of its own", HARMS, "")
{
	int mine = open(in("rw/inside"), O_RDWR);

	if (unshare(CLONE_FILES | CLONE_FS) < 0)
		cannot("unshare: %s", strerror(errno));
	NEED(mine >= 0 && chdir(in("host")) == 0);
	write_at("file", O_WRONLY);
	NEED(dup2(host_file(), mine) == mine);
	fchmod(mine, 0777);
}

static void *killer(void *arg)
{
	usleep(1000);
	execl("/proc/self/exe", "escape", "write", (char *)arg, NULL);
	return NULL;
}

ATTEMPT(exec_of_thread, "a thread execs while another one's call is on its way", HARMS, "")
{
	for (int i = 0; i < 20; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t t;
			pthread_create(&t, NULL, killer, (void *)(uintptr_t)in("host/file"));
			for (;;) {
				write_at(in("host/other"), O_WRONLY);
				rename(in("host/other"), in("host/other2"));
				rename(in("host/other2"), in("host/other"));
			}
		}
		NEED(ends_within(pid, 20, &status));
	}
}

ATTEMPT(strict_mode, "seccomp's strict mode, which cannot be had beside a filter", FAILS("natively it ends the process"), "")
{
	prctl(PR_SET_SECCOMP, 1, 0, 0, 0);
	write_at(in("host/file"), O_WRONLY);
}
