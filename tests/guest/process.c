/* tests/guest/process.c - the process tree: children, orphans, sessions, signals, priorities, pidfds.
 * COVERS: fork vfork exit exit_group wait4 waitid kill tkill tgkill getpid getppid gettid getpgid getpgrp getsid setsid setpgid pidfd_open
 * COVERS: pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn
 * COVERS: sigaltstack signalfd signalfd4 pause alarm prctl getpriority setpriority sched_getaffinity sched_setaffinity sched_getparam sched_setparam
 * COVERS: sched_getscheduler sched_setscheduler sched_getattr sched_setattr sched_rr_get_interval sched_get_priority_max sched_get_priority_min
 * COVERS: sched_yield prlimit64 getrlimit setrlimit getrusage times ioprio_get ioprio_set get_robust_list set_robust_list set_tid_address rseq
 * COVERS: restart_syscall personality getcpu membarrier arch_prctl */
#include "guest.h"

#include <pthread.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/times.h>

static volatile sig_atomic_t caught, caught_value;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	caught = sig;
	caught_value = info->si_value.sival_int;
}

static void catch_signal(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(sig, &sa, NULL);
	caught = 0;
}

static void family(void)
{
	int status, hold[2];
	siginfo_t info;
	struct rusage usage;

	TRUTH(getpid() == syscall(__NR_gettid));
	TRUTH(getpgid(0) == getpgrp() && getsid(0) > 0);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		_exit(getppid() == parent && getpgrp() == getpgid(parent) ? 21 : 22);
	TRUTH(wait4(pid, &status, 0, &usage) == pid);
	print_status("fork", status);
	pid = vfork();
	if (pid == 0)
		_exit(23);
	TRUTH(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 && info.si_status == 23);
	TRUTH(waitpid(pid, &status, 0) == pid);
	ERR(waitpid(pid, &status, 0));
	ERR(waitpid(-1, &status, WNOHANG));
	if (pipe(hold) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		char end;
		close(hold[1]);
		raise(SIGSTOP);
		if (read(hold[0], &end, 1) == 0) /* an end that came before the wait would be all that is told */
			_exit(24);
	}
	close(hold[0]);
	TRUTH(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	ERR(kill(pid, SIGCONT));
	TRUTH(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
	close(hold[1]);
	waitpid(pid, &status, 0);
	print_status("continued", status);
	pid = fork();
	if (pid == 0)
		abort();
	waitpid(pid, &status, 0);
	TRUTH(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	pid = fork();
	if (pid == 0)
		*(volatile int *)1 = 2;
	waitpid(pid, &status, 0);
	TRUTH(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* A daemon: two forks and a session of its own; then a process that adopts its orphans. */
static void orphans(void)
{
	int pipes[2], status;
	pid_t seen = 0;

	ERR(pipe(pipes));
	pid_t pid = fork();
	if (pid == 0) {
		pid_t leader = getpid();
		setsid();
		pid_t daemon = fork();
		if (daemon == 0) {
			while (getppid() == leader)
				nap_ms(5);
			seen = getppid();
			put("daemon-was-here", "x");
			if (write(pipes[1], &seen, sizeof(seen)) < 0)
				_exit(1);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	TRUTH(read(pipes[0], &seen, sizeof(seen)) == sizeof(seen) && seen > 0 && seen != pid);
	look("daemon-was-here");
	ERR(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t parent = getpid();
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			nap_ms(50);
			_exit(getppid() == parent ? 31 : 1);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	TRUTH(waitpid(-1, &status, 0) > 0);
	print_status("adopted", status);
	ERR(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void sessions(void)
{
	TRUTH(setsid() == getpid());
	TRUTH(getsid(0) == getpid() && getpgrp() == getpid());
	ERR(setsid());
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	ERR(setpgid(pid, pid));
	TRUTH(getpgid(pid) == pid && getsid(pid) == getpid());
	ERR(kill(-pid, SIGTERM));
	int status;
	waitpid(pid, &status, 0);
	print_status("group killed", status);
	ERR(kill(-pid, 0));
	ERR(kill(pid, 0));
	ERR(setpgid(0, 999999));
	ERR(kill(getpid(), 0));
	ERR(kill(getpid(), 999));
	ERR(kill(0, 0));
	ERR(getpgid(99999999));
	ERR(getsid(99999999));
}

static void signals(void)
{
	union sigval v = {.sival_int = 77};
	sigset_t set, old;
	struct timespec zero = {0, 0}, second = {1, 0};
	siginfo_t info;

	catch_signal(SIGUSR1);
	ERR(kill(getpid(), SIGUSR1));
	VAL(caught);
	ERR(sigqueue(getpid(), SIGUSR1, v));
	VAL(caught_value);
	caught = 0;
	ERR(syscall(__NR_tgkill, getpid(), syscall(__NR_gettid), SIGUSR1));
	VAL(caught);
	ERR(syscall(__NR_tkill, syscall(__NR_gettid), SIGUSR1));
	ERR(syscall(__NR_tgkill, getpid(), 99999999, SIGUSR1));
	ERR(syscall(__NR_tgkill, -1, 1, SIGUSR1));
	ERR(pthread_sigqueue(pthread_self(), SIGUSR1, v) == 0 ? 0 : -1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ERR(sigprocmask(SIG_BLOCK, &set, &old));
	ERR(kill(getpid(), SIGUSR2));
	sigset_t waiting;
	ERR(sigpending(&waiting));
	TRUTH(sigismember(&waiting, SIGUSR2) == 1);
	VAL(sigtimedwait(&set, &info, &second));
	TRUTH(info.si_pid == getpid());
	VAL(sigtimedwait(&set, &info, &zero));
	int fd = FD(signalfd(-1, &set, SFD_NONBLOCK));
	ERR(kill(getpid(), SIGUSR2));
	struct signalfd_siginfo got;
	VAL(read(fd, &got, sizeof(got)) == sizeof(got));
	VAL(got.ssi_signo);
	VAL(read(fd, &got, sizeof(got)));
	catch_signal(SIGUSR2);
	ERR(kill(getpid(), SIGUSR2));
	ERR(sigsuspend(&old));
	VAL(caught);
	catch_signal(SIGALRM);
	struct itimerval t = {.it_value = {0, 20000}};
	ERR(setitimer(ITIMER_REAL, &t, NULL));
	ERR(pause());
	VAL(alarm(0));
	ERR(kill(getpid(), SIGKILL + 100));
}

static void alternate_stack(void)
{
	static char stack[32768];
	stack_t s = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	ERR(sigaltstack(&s, &old));
	VAL(old.ss_flags);
	sigaction(SIGUSR1, &sa, NULL);
	caught = 0;
	ERR(raise(SIGUSR1));
	VAL(caught);
}

/* Calls that the supervisor answers while signals keep coming must not be lost or done twice. */
static void signal_storm(void)
{
	struct itimerval t = {{0, 500}, {0, 500}}, stop = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	const char *mask = getenv("BVISOR_MASK");
	bool killable = !mask || !strstr(mask, "killable"); /* without it the kernel loses an answer now and then (docs/THREAT_MODEL.md) */
	int wrong = 0;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	for (int i = 0; i < 1000; i++) {
		struct stat st;

		wrong += mkdir("storm", 0755) < 0;
		wrong += stat("storm", &st) < 0;
		wrong += rmdir("storm") < 0;
		wrong += access("storm", F_OK) == 0;
		int fd = open("storm-file", O_CREAT | O_EXCL | O_WRONLY, 0644);
		wrong += fd < 0 || close(fd) < 0;
		wrong += rename("storm-file", "storm-moved") < 0;
		wrong += unlink("storm-moved") < 0;
	}
	setitimer(ITIMER_REAL, &stop, NULL);
	VAL(wrong <= (killable ? 0 : 15));
}

static void pidfds(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	int fd = FD(syscall(__NR_pidfd_open, pid, 0));
	ERR(syscall(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	ERR(syscall(__NR_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	ERR(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
	VAL(info.si_status);
	ERR(syscall(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	ERR(syscall(__NR_pidfd_open, pid, 0));
	ERR(syscall(__NR_pidfd_open, -1, 0));
	ERR(syscall(__NR_pidfd_open, getpid(), 0xff));
	ERR(syscall(__NR_pidfd_open, 99999999, 0));
}

static _Atomic int other_tid, opening = 1;

static void *open_again_and_again(void *unused)
{
	(void)unused;
	other_tid = (int)syscall(__NR_gettid);
	while (opening)
		close(open("file", O_RDONLY));
	return NULL;
}

/* How often another thread that is given descriptors is seen with other processors than its own. */
static int seen_bound(const cpu_set_t *cpus)
{
	pthread_t thread;
	int differs = 0;

	pthread_create(&thread, NULL, open_again_and_again, NULL);
	while (!other_tid)
		sched_yield();
	for (int i = 0; i < 3000; i++) {
		cpu_set_t now;
		sched_getaffinity(other_tid, sizeof(now), &now);
		differs += !CPU_EQUAL(&now, cpus);
	}
	opening = 0;
	pthread_join(thread, NULL);
	return differs;
}

static void scheduling(void)
{
	cpu_set_t cpus;
	struct sched_param param = {0};
	struct timespec slice;
	struct rlimit limit;
	struct rusage usage;
	struct tms tms;
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {0};

	ERR(sched_getaffinity(0, sizeof(cpus), &cpus));
	TRUTH(CPU_COUNT(&cpus) > 0);
	/* Being given a descriptor changes nothing of it, at no moment. */
	int differs = 0;
	for (int i = 0; i < 1000; i++) {
		cpu_set_t now;
		int fd = open("file", O_RDONLY);
		sched_getaffinity(0, sizeof(now), &now);
		differs += !CPU_EQUAL(&now, &cpus);
		close(fd);
	}
	VAL(differs);
	VAL(seen_bound(&cpus));
	ERR(sched_getaffinity(getpid(), 3, &cpus));
	ERR(sched_getaffinity(99999999, 3, &cpus));
	ERR(syscall(__NR_sched_getaffinity, getpid(), sizeof(cpus), 16));
	ERR(sched_setaffinity(getpid(), sizeof(cpus), &cpus));
	ERR(sched_getaffinity(99999999, sizeof(cpus), &cpus));
	VAL(sched_getscheduler(0));
	VAL(sched_getscheduler(getpid()));
	ERR(sched_setscheduler(0, SCHED_BATCH, &param));
	ERR(sched_setscheduler(getpid(), SCHED_OTHER, &param));
	ERR(sched_getparam(0, &param));
	ERR(sched_setparam(0, &param));
	ERR(syscall(__NR_sched_getattr, 0, &attr, sizeof(attr), 0));
	ERR(syscall(__NR_sched_setattr, 0, &attr, 0));
	ERR(sched_rr_get_interval(0, &slice));
	VAL(sched_get_priority_max(SCHED_FIFO));
	VAL(sched_get_priority_min(SCHED_FIFO));
	ERR(sched_yield());
	VAL(getpriority(PRIO_PROCESS, 0));
	ERR(setpriority(PRIO_PROCESS, 0, 19));
	VAL(getpriority(PRIO_PROCESS, getpid()));
	ERR(getpriority(PRIO_PROCESS, 99999999));
	VAL(syscall(__NR_ioprio_get, 1, 0) >= 0);
	ERR(syscall(__NR_ioprio_set, 1, 0, 2 << 13 | 4));
	ERR(getrlimit(RLIMIT_CORE, &limit));
	limit.rlim_cur = 0;
	ERR(setrlimit(RLIMIT_CORE, &limit));
	ERR(prlimit(getpid(), RLIMIT_CORE, NULL, &limit));
	VAL(limit.rlim_cur);
	ERR(prlimit(99999999, RLIMIT_CORE, NULL, &limit));
	ERR(getrusage(RUSAGE_SELF, &usage));
	ERR(getrusage(77, &usage));
	TRUTH(times(&tms) != (clock_t)-1);
}

static void oddities(void)
{
	void *head;
	size_t len;
	unsigned cpu;
	char name[16];

	ERR(prctl(PR_SET_NAME, "new-name"));
	ERR(prctl(PR_GET_NAME, name));
	printf("   %s\n", name);
	VAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0);
	VAL(prctl(PR_SET_PDEATHSIG, 0));
	ERR(prctl(123456));
	ERR(syscall(__NR_get_robust_list, 0, &head, &len));
	ERR(syscall(__NR_get_robust_list, getpid(), &head, &len));
	ERR(syscall(__NR_set_robust_list, head, len));
	ERR(syscall(__NR_set_robust_list, head, 1));
	TRUTH(syscall(__NR_set_tid_address, &cpu) == syscall(__NR_gettid));
	ERR(syscall(__NR_rseq, NULL, 0, 0, 0));
	ERR(syscall(__NR_restart_syscall));
	VAL(personality(0xffffffff) & PER_MASK);
	ERR(syscall(__NR_getcpu, &cpu, NULL, NULL));
	VAL(syscall(__NR_membarrier, 0, 0, 0) >= 0);
#ifdef __NR_arch_prctl
	ERR(syscall(__NR_arch_prctl, 0x1003, &head)); /* ARCH_GET_FS */
	ERR(syscall(__NR_arch_prctl, 0x7777, 0));
#endif
}

static void many_children(void)
{
	int good = 0, status;

	for (int i = 0; i < 100; i++)
		if (fork() == 0) {
			char name[32];

			snprintf(name, sizeof(name), "child-%d", i);
			_exit(!put(name, name) || unlink(name) < 0);
		}
	while (wait(&status) > 0)
		good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	VAL(good);
}

int main(void)
{
	family();
	orphans();
	in_child("sessions", sessions);
	in_child("signals", signals);
	in_child("alternate stack", alternate_stack);
	signal_storm();
	pidfds();
	in_child("scheduling", scheduling);
	in_child("oddities", oddities);
	many_children();
	return 0;
}
