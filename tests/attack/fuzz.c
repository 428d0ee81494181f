/* Random system calls with hostile arguments, in a few processes, for argv[2] seconds from the seed argv[3]. Nothing is expected of the results:
 * the supervisor must survive and the host stay as it was. */
#include "attack.h"

static uint64_t state;
static char *pages;
static const char *dir;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static const char *some_path(void)
{
	static const char *const names[] = {"host/file", "host/sub", "host/to_key", "secret/key", "rw/x", "rw/sub", "host/none", "", "host/file/..", "../..", "rw/sub/../../secret"};
	static const char *const fixed[] = {"/proc/self/fd/3", "/proc/self/root", "/proc/self/exe", "/proc/self/cwd", "/dev/null", "/dev/fd/1", "/tmp", "/tmp/x/y", "/", ".", "..", "x",
					    "/proc/1/root", "/proc/thread-self/fd/4", "/sys", "/dev/pts", "/dev/shm/z", "/etc/passwd", "/proc/self/task", "/proc/self/mem"};
	char *at = pages + 4096 + rnd() % 2048;

	switch (rnd() % 4) {
	case 0:
		snprintf(at, 2048, "%s", in_dir(dir, names[rnd() % (sizeof names / sizeof *names)]));
		break;
	case 1:
		snprintf(at, 2048, "/tmp/z%d", (int)(rnd() % 16));
		break;
	case 2:
		for (int i = 0; i < 2000; i++)
			at[i] = (char)rnd();
		at[rnd() % 2000] = 0;
		break;
	default:
		snprintf(at, 2048, "%s", fixed[rnd() % (sizeof fixed / sizeof *fixed)]);
	}
	return at;
}

static uint64_t some_struct(void)
{
	uint64_t *at = (uint64_t *)(void *)(pages + 8 * (rnd() % 400));

	for (int i = 0; i < 12; i++)
		at[i] = rnd() % 3 ? rnd() % 5 : rnd() % 2 ? (uint64_t)(uintptr_t)some_path() : rnd();
	return (uint64_t)(uintptr_t)at;
}

static uint64_t some_arg(void)
{
	switch (rnd() % 12) {
	case 0:
	case 1:
		return rnd() % 12;
	case 2:
		return (uint64_t)-100; /* AT_FDCWD */
	case 3:
	case 4:
	case 5:
		return (uint64_t)(uintptr_t)some_path();
	case 6:
		return some_struct();
	case 7:
		return 1ULL << (rnd() % 64);
	case 8:
		return rnd();
	case 9:
		return (uint64_t)(uintptr_t)(pages + 3 * 4096 - rnd() % 40); /* runs into the unmapped page */
	case 10:
		return (uint64_t)-(int64_t)(rnd() % 5000);
	default:
		return rnd() % 4096;
	}
}

/* Calls that would only end or block the fuzzer itself. */
static bool harmless(long nr)
{
	static const long skip[] = {SYS_exit,	    SYS_exit_group, SYS_pause,	SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_vfork,	    SYS_fork,	SYS_clone,	SYS_nanosleep,
				    SYS_clock_nanosleep, SYS_poll,	    SYS_ppoll,	SYS_select,	  SYS_pselect6,	     SYS_epoll_wait, SYS_epoll_pwait, SYS_futex,	SYS_wait4,
				    SYS_waitid,	    SYS_brk,	    SYS_munmap, SYS_mprotect,	  SYS_mremap,	     SYS_mmap,	    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigtimedwait,
				    SYS_arch_prctl, SYS_setrlimit,  SYS_prlimit64, SYS_alarm,	  SYS_setitimer,     SYS_kill,	    SYS_tkill,	SYS_tgkill,	SYS_seccomp,
				    SYS_prctl,	    SYS_flock,	    SYS_read,	SYS_readv,	  SYS_recvfrom,	     SYS_recvmsg,   SYS_recvmmsg, SYS_accept,	SYS_accept4,
				    SYS_memfd_secret, SYS_remap_file_pages, SYS_shmat, SYS_madvise, SYS_rseq, SYS_set_robust_list, SYS_sigaltstack, SYS_close_range, SYS_mlockall,
				    SYS_sched_setscheduler, SYS_sched_setattr, SYS_sched_setparam, SYS_timer_create, SYS_io_getevents, SYS_io_pgetevents, SYS_semtimedop, 441 /* epoll_pwait2 */,
				    449 /* futex_waitv */, 455 /* futex_wait */, SYS_fallocate, SYS_pkey_mprotect, SYS_set_tid_address, 462 /* mseal */, 453 /* map_shadow_stack */,
				    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_splice, SYS_tee, SYS_vmsplice, SYS_execve, SYS_execveat, SYS_ftruncate, SYS_truncate};

	for (size_t i = 0; i < sizeof skip / sizeof *skip; i++)
		if (skip[i] == nr)
			return false;
	return true;
}

static void fuzz(double seconds)
{
	double end = now() + seconds;

	while (now() < end) {
		for (int i = 0; i < 200; i++) {
			long nr = rnd() % 50 == 0 ? (long)(rnd() % 5000) : (long)(rnd() % 472);
			uint64_t a[6];
			for (int k = 0; k < 6; k++)
				a[k] = some_arg();
			if (nr == SYS_close || nr == SYS_dup2 || nr == SYS_dup3)
				a[nr == SYS_close ? 0 : 1] = 5 + a[0] % 60;
			if (harmless(nr))
				syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		}
		alarm(0);
		for (int fd = 64; fd < 256; fd++)
			close(fd);
	}
}

static void one(double seconds, uint64_t seed)
{
	char path[64];

	state = seed * 0x9e3779b97f4a7c15ULL + 1;
	pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + 3 * 4096, 4096);
	snprintf(path, sizeof path, "/tmp/z%d", (int)(seed % 16));
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	open("/proc", O_RDONLY);
	open(dir, O_RDONLY);
	open(path, O_RDWR | O_CREAT, 0644);
	socket(AF_UNIX, SOCK_DGRAM, 0);
	socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	open(in_dir(dir, "host/file"), O_RDONLY);
	struct rlimit lim = {2 << 20, 2 << 20};
	setrlimit(RLIMIT_FSIZE, &lim);
	signal(SIGXFSZ, SIG_IGN);
	fuzz(seconds);
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 3;
	unsigned long seed = argc > 3 ? strtoul(argv[3], NULL, 10) : (unsigned long)time(NULL);
	double end = now() + seconds;

	dir = argc > 1 ? argv[1] : ".";
	printf("seed %lu\n", seed);
	fflush(stdout);
	for (unsigned n = 0; now() < end; n++) { /* the processes lose themselves: started anew every second */
		for (int k = 0; k < 2; k++)
			if (fork() == 0) {
				alarm(20);
				one(1, seed + n * 2 + (unsigned)k);
				_exit(0);
			}
		int status;
		double stuck = now() + 5;
		for (int left = 2; left;) {
			if (waitpid(-1, &status, WNOHANG) > 0)
				left--;
			else if (now() > stuck) {
				kill(-1, SIGKILL); /* blocked in a call: fine */
				stuck = now() + 5;
			} else {
				usleep(2000);
			}
		}
	}
	return verdict();
}
