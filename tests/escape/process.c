/* tests/escape/process.c - processes of the host: the victim, init, the supervisor, process 1. */
#include "escape.h"

#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>

#define PIDFD_OPEN(pid) ((int)syscall(SYS_pidfd_open, pid, 0))

ATTEMPT(kill_victim, "SIGKILL", HARMS, "")
{
	kill(victim(), SIGKILL);
}

ATTEMPT(kill_high_bits, "SIGKILL for its number with bits above the low 32", HARMS, "")
{
	syscall(SYS_kill, (long)victim() | 1L << 32, SIGKILL);
}

ATTEMPT(kill_stop, "SIGSTOP", HARMS, "")
{
	kill(victim(), SIGSTOP);
}

ATTEMPT(kill_group, "a signal for its process group", HARMS, "")
{
	kill(-victim(), SIGUSR1);
}

ATTEMPT(kill_thread, "tkill, tgkill, and tgkill with a thread of ours and its process", HARMS, "")
{
	syscall(SYS_tkill, victim(), SIGUSR1);
	syscall(SYS_tgkill, victim(), victim(), SIGUSR1);
	syscall(SYS_tgkill, getpid(), victim(), SIGUSR1);
}

ATTEMPT(kill_queue, "rt_sigqueueinfo and rt_tgsigqueueinfo", HARMS, "")
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};

	syscall(SYS_rt_sigqueueinfo, victim(), SIGUSR1, &info);
	syscall(SYS_rt_tgsigqueueinfo, victim(), victim(), SIGUSR2, &info);
}

ATTEMPT(kill_pidfd, "a signal through a pidfd", HARMS, "")
{
	syscall(SYS_pidfd_send_signal, PIDFD_OPEN(victim()), SIGKILL, NULL, 0);
}

ATTEMPT(kill_pidfd_proc, "a signal through a directory of /proc taken as a pidfd", HARMS, "")
{
	syscall(SYS_pidfd_send_signal, open(fmt_path("/proc/%d", victim()), O_RDONLY | O_DIRECTORY), SIGUSR1, NULL, 0);
}

ATTEMPT(kill_all, "kill(-1)", FAILS("it would end everything of this user"), "")
{
	signal(SIGTERM, SIG_IGN);
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
}

ATTEMPT(kill_supervisor, "signals to init, the supervisor and all numbers near ours", FAILS("there is no supervisor"), "")
{
	static const int signals[] = {SIGSTOP, SIGTERM, SIGKILL};

	for (pid_t pid = getppid() - 1; pid > getpid() - 60; pid--)
		for (size_t i = 0; i < 3; i++)
			if (pid > 0 && pid != getpid() && (kill(pid, signals[i]) == 0 || syscall(SYS_tkill, pid, signals[i]) == 0 || (pid > 1 && kill(-pid, signals[i]) == 0))) /* -1 is everybody of ours */
				got("a signal to %d", pid);
	if (!still_served())
		got("the supervisor no longer answers");
}

ATTEMPT(kill_other_sandbox, "signals to the processes of another sandbox", FAILS("there is no other sandbox"), "")
{
	if (kill((pid_t)given_number("OTHER_SUPERVISOR"), SIGKILL) == 0 || kill((pid_t)given_number("OTHER_GUEST"), SIGKILL) == 0)
		got("a signal");
}

ATTEMPT(signal_owner, "SIGIO by F_SETOWN", HARMS, "")
{
	int p[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
	fcntl(p[0], F_SETSIG, SIGUSR1);
	fcntl(p[0], F_SETOWN, victim());
	NEED(write(p[1], "x", 1) == 1);
}

ATTEMPT(signal_owner_ex, "SIGIO by F_SETOWN_EX, FIOSETOWN and SIOCSPGRP", HARMS, "")
{
	struct f_owner_ex owner = {.type = F_OWNER_PID, .pid = victim()};
	int p[2], pid = victim();

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
	fcntl(p[0], F_SETOWN_EX, &owner);
	NEED(write(p[1], "x", 1) == 1);
	ioctl(p[0], 0x8902 /* SIOCSPGRP */, &pid);
	ioctl(p[0], 0x8901 /* FIOSETOWN */, &pid);
	NEED(write(p[1], "x", 1) == 1);
}

ATTEMPT(signal_owner_group, "SIGIO for its process group by F_SETOWN", HARMS, "")
{
	int p[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
	fcntl(p[0], F_SETOWN, -victim());
	NEED(write(p[1], "x", 1) == 1);
}

ATTEMPT(signal_timer, "a timer whose signal goes to it", FAILS("the kernel takes threads of the caller only"), "")
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	timer_t timer;

	*(int *)(void *)((char *)&ev + offsetof(struct sigevent, _sigev_un)) = victim();
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0)
		got("a timer");
}

ATTEMPT(signal_exit, "a child whose end sends SIGKILL, left to init", FAILS("the kernel sends it to the parent only, and SIGCHLD to who adopts"), "")
{
	if (fork() == 0) {
		long pid = syscall(SYS_clone, (unsigned long)SIGKILL, 0, 0, 0, 0);
		if (pid == 0) {
			usleep(50000);
			_exit(0);
		}
		_exit(0);
	}
	usleep(200000);
	if (!still_served())
		got("init is gone");
}

ATTEMPT(trace_attach, "PTRACE_ATTACH", HARMS, "")
{
	int status;

	if (ptrace(PTRACE_ATTACH, victim(), 0, 0) < 0)
		cannot("ptrace: %s", strerror(errno));
	NEED(waitpid(victim(), &status, __WALL) == victim());
	ptrace(PTRACE_POKEDATA, victim(), (void *)given_number("WORD"), (void *)0xbadL);
	ptrace(PTRACE_DETACH, victim(), 0, 0);
}

ATTEMPT(trace_seize, "PTRACE_SEIZE", GAINS, "")
{
	if (ptrace(PTRACE_SEIZE, victim(), 0, 0) < 0)
		cannot("ptrace: %s", strerror(errno));
	got("traces it");
}

ATTEMPT(trace_sibling, "PTRACE_SEIZE of another process of the sandbox, to make calls in its name", GAINS, "")
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(pause());
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
		got("traces it");
	kill(pid, SIGKILL);
}

ATTEMPT(trace_me, "PTRACE_TRACEME", GAINS, "")
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
		got("is traced by its parent");
}

ATTEMPT(memory_write, "process_vm_writev", HARMS, "")
{
	uint64_t bad = 0xbad;
	struct iovec local = {&bad, 8}, remote = {(void *)given_number("WORD"), 8};

	syscall(SYS_process_vm_writev, victim(), &local, 1, &remote, 1, 0);
}

ATTEMPT(memory_read, "process_vm_readv", GAINS, "")
{
	char buf[64];
	struct iovec local = {buf, sizeof buf}, remote = {(void *)given_number("SECRET_AT"), sizeof buf};

	if (syscall(SYS_process_vm_readv, victim(), &local, 1, &remote, 1, 0) > 0)
		is_secret(buf, sizeof buf, "process_vm_readv");
}

ATTEMPT(memory_proc_write, "a write to /proc/PID/mem", HARMS, "")
{
	uint64_t bad = 0xbad;
	int fd = open(fmt_path("/proc/%d/mem", victim()), O_RDWR);

	if (fd >= 0 && pwrite(fd, &bad, 8, given_number("WORD")) != 8)
		puts("not written");
}

ATTEMPT(memory_proc_read, "a read of /proc/PID/mem, task/TID/mem", GAINS, "")
{
	char buf[64];
	int fd = open(fmt_path("/proc/%d/task/%d/mem", victim(), victim()), O_RDONLY);

	if (fd >= 0 && pread(fd, buf, sizeof buf, given_number("SECRET_AT")) > 0)
		is_secret(buf, sizeof buf, "mem");
}

ATTEMPT(memory_sibling_fd, "the descriptor of a child's /proc/PID/mem, kept while the number becomes another's", FAILS("it takes the same process number twice"), "")
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(pause());
	int fd = open(fmt_path("/proc/%d/mem", pid), O_RDWR);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	char buf[64];
	if (fd >= 0 && pread(fd, buf, sizeof buf, given_number("SECRET_AT")) > 0)
		got("memory of who is gone");
}

ATTEMPT(memory_advice, "process_madvise and process_mrelease", GAINS, "")
{
	struct iovec remote = {(void *)(given_number("WORD") & ~4095L), 4096};
	int fd = PIDFD_OPEN(victim());

	if (syscall(SYS_process_madvise, fd, &remote, 1, MADV_COLD, 0) > 0)
		got("process_madvise");
	else if (errno == ENOSYS || errno == EPERM)
		cannot("process_madvise: %s", strerror(errno));
}

ATTEMPT(memory_pages, "move_pages and migrate_pages", GAINS, "")
{
	unsigned long nodes = 1;
	void *page = (void *)(given_number("WORD") & ~4095L);
	int status = -1;

	if (syscall(SYS_move_pages, victim(), 1L, &page, NULL, &status, 0) == 0)
		got("where its pages are");
	else if (errno == ENOSYS)
		cannot("a kernel without NUMA");
	if (syscall(SYS_migrate_pages, victim(), 2L, &nodes, &nodes) == 0)
		got("moved its pages");
}

ATTEMPT(seen_environ, "/proc/PID/environ, cmdline, status, maps, auxv, stat, io, limits, comm", GAINS, "")
{
	static const char *const names[] = {"environ", "cmdline", "status", "maps", "auxv", "stat", "io", "limits", "comm", "cgroup", "mountinfo", "smaps", "sched", "wchan", "fdinfo/100"};
	char buf[64];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int fd = open(fmt_path("/proc/%d/%s", victim(), names[i]), O_RDONLY);
		if (fd >= 0 && read(fd, buf, sizeof buf) >= 0)
			got("%s", names[i]);
		close(fd);
	}
}

ATTEMPT(seen_links, "readlink of /proc/PID/cwd, root, exe, fd/N, ns/NAME", GAINS, "")
{
	static const char *const names[] = {"cwd", "root", "exe", "fd/100", "ns/mnt", "ns/net", "ns/pid", "ns/user", "task"};
	struct stat st;
	char buf[256];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (readlink(fmt_path("/proc/%d/%s", victim(), names[i]), buf, sizeof buf) > 0 || stat(fmt_path("/proc/%d/%s", victim(), names[i]), &st) == 0)
			got("%s", names[i]);
}

ATTEMPT(seen_listing, "its number in the listing of /proc, and its directory", GAINS, "")
{
	struct stat st;
	char buf[32768];
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);
	const char *name = fmt_path("%d", victim());
	long n;

	while ((n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0)
		for (long at = 0; at < n; at += *(unsigned short *)(void *)(buf + at + 16))
			if (strcmp(buf + at + 19, name) == 0)
				got("listed");
	if (stat(fmt_path("/proc/%s", name), &st) == 0 || chdir(fmt_path("/proc/%s", name)) == 0)
		got("its directory");
}

ATTEMPT(seen_listing_old, "... after its descriptor has been forgotten over thousands of others", FAILS("there is no supervisor"), "")
{
	char buf[32768];
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 6000; i++)
		close(open(i % 2 ? "/proc/self/maps" : "/proc/self/mounts", O_RDONLY));
	long n = syscall(SYS_getdents64, fd, buf, sizeof buf);
	for (long at = 0; at < n; at += *(unsigned short *)(void *)(buf + at + 16))
		if (strcmp(buf + at + 19, "1") == 0)
			got("the host's processes");
}

ATTEMPT(seen_exists, "whether it exists: kill(0), getpgid, getsid, sched_getscheduler, getpriority, pidfd_open, prlimit, get_robust_list", GAINS, "")
{
	struct rlimit lim;
	void *head;
	size_t len;

	if (kill(victim(), 0) == 0 || getpgid(victim()) > 0 || getsid(victim()) > 0 || sched_getscheduler(victim()) >= 0 || PIDFD_OPEN(victim()) >= 0)
		got("it is there");
	errno = 0;
	if (getpriority(PRIO_PROCESS, (id_t)victim()) != -1 || errno == 0 || prlimit(victim(), RLIMIT_NOFILE, NULL, &lim) == 0)
		got("its priority or limits");
	if (syscall(SYS_get_robust_list, victim(), &head, &len) == 0 || syscall(SYS_ioprio_get, 1, victim()) >= 0)
		got("its lists");
}

ATTEMPT(seen_clock, "its clock of processor time: clock_gettime, clock_getres, clock_nanosleep, timer_create", GAINS, "")
{
	clockid_t clock = (clockid_t)(~(unsigned)victim() << 3 | 2);
	struct timespec t = {0, 1};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	timer_t timer;

	if (syscall(SYS_clock_gettime, clock, &t) == 0 || syscall(SYS_clock_getres, clock, &t) == 0 || syscall(SYS_timer_create, clock, &none, &timer) == 0)
		got("its clock");
	if (syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &(struct timespec){0, 1}, NULL) == 0)
		got("sleeping by its clock");
}

ATTEMPT(seen_errno, "whether a number exists, by the errno of calls that others are refused", GAINS, "")
{
	struct timespec t;

	for (int i = 0; i < 2; i++) {
		errno = 0;
		int r = i ? kill(victim(), 200) : sched_rr_get_interval(victim(), &t);
		if (r == 0 || (errno != ESRCH && errno != EINVAL))
			got("errno %d", errno);
	}
	errno = 0;
	if (setpgid(victim(), victim()) == 0 || errno == EPERM)
		got("setpgid says %d", errno);
	if (waitid(P_PID, (id_t)victim(), NULL, WEXITED | WNOHANG) == 0)
		got("waitid");
}

ATTEMPT(take_descriptor, "pidfd_getfd", GAINS, "")
{
	int fd = (int)syscall(SYS_pidfd_getfd, PIDFD_OPEN(victim()), 100, 0);

	if (fd < 0 && errno == ENOSYS)
		cannot("this kernel has no pidfd_getfd");
	look(fd, "pidfd_getfd");
}

ATTEMPT(take_supervisor_descriptor, "pidfd_getfd from who connects for us (SO_PEERPIDFD)", FAILS("there is no supervisor"), "mask=landlock")
{
	struct sockaddr_un un = unix_addr("host/own.sock");
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), pidfd = -1;
	struct ucred cred = {0};
	socklen_t len = sizeof pidfd;

	NEED(chdir(given("DIR")) == 0 && bind(l, (struct sockaddr *)&un, sizeof un) == 0 && listen(l, 1) == 0 && connect(c, (struct sockaddr *)&un, sizeof un) == 0);
	int s = accept(l, NULL, NULL);
	if (getsockopt(s, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &len) == 0 && pidfd >= 0) {
		for (int fd = 0; fd < 20; fd++)
			if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0)
				got("descriptor %d of the supervisor", fd);
		if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0)
			got("signals to the supervisor");
		if (syscall(SYS_setns, pidfd, CLONE_FS) == 0)
			got("setns");
		for (unsigned long request = 0xff01; request < 0xff20; request++)
			if (ioctl(pidfd, request, 0) >= 0)
				got("ioctl %#lx of the pidfd", request);
	}
	len = sizeof cred;
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid != getpid() && cred.pid > 0 && (kill(cred.pid, 0) == 0 || PIDFD_OPEN(cred.pid) >= 0))
		got("process %d by its number", cred.pid);
}

/* Who sent it is the supervisor: its number, a pidfd of it. */
ATTEMPT(take_sender, "credentials and a pidfd of who sends for us (SCM_CREDENTIALS, SCM_PIDFD)", FAILS("there is no supervisor"), "mask=landlock")
{
	char byte = 0, control[512];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int sv[2], one = 1;

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	setsockopt(sv[1], SOL_SOCKET, 76 /* SO_PASSPIDFD */, &one, sizeof one);
	NEED(sendmsg(sv[0], &m, 0) == 1);
	m.msg_control = control;
	m.msg_controllen = sizeof control;
	NEED(recvmsg(sv[1], &m, 0) == 1);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		int fd = *(int *)(void *)CMSG_DATA(h); /* or the number in credentials */
		if (h->cmsg_type == SCM_CREDENTIALS && fd != getpid() && fd > 0 && (kill(fd, 0) == 0 || PIDFD_OPEN(fd) >= 0))
			got("process %d by its number", fd);
		if (h->cmsg_type == 4 /* SCM_PIDFD */ && syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0) == 0)
			got("a signal through SCM_PIDFD");
	}
}

ATTEMPT(compare, "kcmp with it", GAINS, "")
{
	long r = syscall(SYS_kcmp, getpid(), victim(), KCMP_FILES, 0, 0);

	if (r < 0 && errno == ENOSYS)
		cannot("this kernel has no kcmp");
	if (r >= 0)
		got("order of addresses in the kernel");
}

ATTEMPT(set_limits, "prlimit", HARMS, "")
{
	struct rlimit lim = {10, 10};

	prlimit(victim(), RLIMIT_NOFILE, &lim, NULL);
}

ATTEMPT(set_limits_high_bits, "prlimit for its number with bits above the low 32", HARMS, "")
{
	struct rlimit lim = {10, 10};

	syscall(SYS_prlimit64, (long)victim() | 3L << 32, RLIMIT_NOFILE, &lim, NULL);
}

ATTEMPT(set_priority, "setpriority for it, and for its process group", HARMS, "")
{
	setpriority(PRIO_PROCESS, (id_t)victim(), 19);
	setpriority(PRIO_PGRP, (id_t)victim(), 19);
}

ATTEMPT(set_priority_user, "setpriority and ioprio_set for all processes of the user", FAILS("it would slow down everything of this user"), "")
{
	if (setpriority(PRIO_USER, 0, 19) == 0 || setpriority(PRIO_USER, getuid(), 19) == 0 || syscall(SYS_ioprio_set, 3, getuid(), 3 << 13) == 0)
		got("all processes of the user");
}

ATTEMPT(set_io_priority, "ioprio_set", HARMS, "")
{
	syscall(SYS_ioprio_set, 1, victim(), 3 << 13);
}

ATTEMPT(set_affinity, "sched_setaffinity", HARMS, "")
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	sched_getaffinity(0, sizeof all, &all);
	if (CPU_COUNT(&all) < 2)
		cannot("one processor");
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all) && !CPU_COUNT(&one))
			CPU_SET(i, &one);
	sched_setaffinity(victim(), sizeof one, &one);
}

ATTEMPT(set_scheduler, "sched_setscheduler, sched_setattr", HARMS, "")
{
	struct sched_param param = {0};
	uint32_t attr[14] = {56, SCHED_BATCH};

	syscall(SYS_sched_setattr, victim(), attr, 0);
	sched_setscheduler(victim(), SCHED_IDLE, &param);
}

ATTEMPT(set_oom, "its /proc/PID/oom_score_adj", HARMS, "")
{
	int fd = open(fmt_path("/proc/%d/oom_score_adj", victim()), O_WRONLY);

	if (fd >= 0 && write(fd, "777", 3) != 3)
		puts("not written");
}

ATTEMPT(set_slack, "its /proc/PID/timerslack_ns", HARMS, "")
{
	int fd = open(fmt_path("/proc/%d/timerslack_ns", victim()), O_WRONLY);

	if (fd >= 0 && write(fd, "77777", 5) != 5)
		cannot("write: %s", strerror(errno));
}

ATTEMPT(set_group, "its process group", FAILS("the kernel lets children only"), "")
{
	if (setpgid(victim(), 0) == 0 || setpgid(0, victim()) == 0 || setpgid(getppid(), getpgrp()) == 0)
		got("setpgid");
}

ATTEMPT(namespaces_of_others, "setns into the namespaces of process 1 and of the victim", GAINS, "")
{
	static const char *const names[] = {"mnt", "uts", "net", "ipc", "cgroup"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int fd = open(fmt_path("/proc/%d/ns/%s", victim(), names[i]), O_RDONLY);
		if (fd >= 0 && setns(fd, 0) == 0)
			got("setns %s", names[i]);
		else if (errno == EPERM)
			cannot("it takes a capability");
	}
	if (setns(PIDFD_OPEN(victim()), CLONE_NEWNET) == 0)
		got("setns with a pidfd");
}

ATTEMPT(ipc_memory, "System V shared memory of the host", HARMS, "")
{
	char *at = shmat((int)given_number("SHM"), NULL, 0);

	if (at != MAP_FAILED)
		*at = 7;
	shmctl((int)given_number("SHM"), IPC_RMID, NULL);
}

ATTEMPT(ipc_messages, "System V messages of the host", HARMS, "")
{
	struct {
		long type;
		char text[8];
	} m = {1, "owned"};

	msgsnd((int)given_number("MSG"), &m, sizeof m.text, IPC_NOWAIT);
}

ATTEMPT(ipc_semaphores, "System V semaphores of the host", HARMS, "")
{
	struct sembuf up = {0, 1, 0};

	semop((int)given_number("SEM"), &up, 1);
}

ATTEMPT(ipc_queue, "a POSIX message queue of the host", HARMS, "")
{
	mqd_t mq = mq_open(given("MQ"), O_WRONLY | O_NONBLOCK);

	if (mq == (mqd_t)-1 && (errno == ENOSYS || errno == ENOENT) && strcmp(given("NATIVE"), "1") == 0)
		cannot("this kernel has no message queues");
	mq_send(mq, "owned", 5, 0);
}

ATTEMPT(ipc_queue_path, "the file system of message queues", FAILS("it need not be mounted"), "")
{
	if (open("/dev/mqueue", O_RDONLY | O_DIRECTORY) >= 0 && open(fmt_path("/dev/mqueue%s", given("MQ")), O_RDONLY) >= 0)
		got("the queue");
}

ATTEMPT(ipc_key, "a key of the host", GAINS, "")
{
	char buf[64] = "";
	long n = syscall(SYS_keyctl, KEYCTL_READ, given_number("KEY"), buf, sizeof buf);

	if (given_number("KEY") < 0 && errno == ENOSYS)
		cannot("this kernel has no keys");
	if (n < 0)
		n = syscall(SYS_keyctl, KEYCTL_READ, syscall(SYS_request_key, "user", given("MQ"), NULL, 0), buf, sizeof buf);
	if (n <= 0)
		cannot("keyctl: %s", strerror(errno));
	is_secret(buf, sizeof buf, "keyctl");
}

ATTEMPT(ipc_shm_files, "files of the host's /dev/shm", HARMS, "")
{
	write_at(fmt_path("/dev/shm/%s", given("ABSTRACT")), O_WRONLY);
	unlink(fmt_path("/dev/shm/%s", given("ABSTRACT")));
}
