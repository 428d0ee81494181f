/* Processes that are not ours: init, the supervisor, process 1, everything near our own numbers. */
#include "attack.h"

#include <sys/prctl.h>
#include <sys/uio.h>

static bool is_ours(pid_t pid)
{
	return pid == getpid();
}

static void try_one(pid_t pid)
{
	static const char *const files[] = {"environ", "maps", "mem", "cmdline", "status", "stat", "fd", "root", "cwd", "exe", "map_files", "task", "ns/mnt", "fd/0", "comm"};
	char path[64], buf[16];
	struct rlimit lim;
	struct iovec iov = {buf, sizeof buf};
	cpu_set_t set;

	if (is_ours(pid))
		return;
	if (kill(pid, 0) == 0 || syscall(SYS_tkill, pid, 0) == 0 || syscall(SYS_tgkill, pid, pid, 0) == 0 || kill(-pid, 0) == 0)
		won("signal to %d", pid);
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &lim) == 0)
		won("prlimit of %d", pid);
	if (sched_getaffinity(pid, sizeof set, &set) == 0 || getpriority(PRIO_PROCESS, (id_t)pid) != -1 || getsid(pid) > 0 || getpgid(pid) > 0)
		won("scheduling of %d", pid);
	if (syscall(SYS_pidfd_open, pid, 0) >= 0)
		won("pidfd_open of %d", pid);
	if (syscall(SYS_process_vm_readv, pid, &iov, 1, &iov, 1, 0) >= 0 || syscall(SYS_ptrace, 16, pid, 0, 0) == 0)
		won("memory of %d", pid);
	if (syscall(SYS_move_pages, pid, 1, &(void *){buf}, NULL, &(int){0}, 0) == 0)
		won("move_pages of %d", pid);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
		if (open(path, O_RDONLY | O_NONBLOCK) >= 0 || access(path, F_OK) == 0 || readlink(path, buf, sizeof buf) >= 0)
			won("%s", path);
	}
}

int main(void)
{
	pid_t self = getpid();

	try_one(1);
	try_one(2);
	for (pid_t pid = self - 40; pid < self; pid++)
		if (pid > 2)
			try_one(pid);
	try_one(getppid());
	/* kill(-1) must reach nobody else: the runner still talks to the supervisor afterwards. */
	signal(SIGTERM, SIG_IGN);
	kill(-1, SIGTERM);
	kill(-1, SIGKILL);
	kill(0, SIGTERM);
	if (setpgid(0, getppid()) == 0 || setpgid(getppid(), self) == 0)
		won("setpgid");
	if (getpriority(PRIO_USER, 0) != -1 || setpriority(PRIO_USER, 0, 19) == 0)
		won("PRIO_USER");
	if (syscall(SYS_waitid, 0, 0, NULL, WEXITED | WNOHANG, NULL) == 0)
		won("a child that we did not make");
	if (prctl(PR_SET_DUMPABLE, 0) == 0 && open("/etc/hostname", O_RDONLY) < 0 && errno == EFAULT)
		won("unreadable for the supervisor");
	return verdict();
}
