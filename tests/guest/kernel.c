/* tests/guest/kernel.c - calls that the kernel answers without the supervisor: the filter must let each through, with every argument whole.
 * COVERS: pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
 * COVERS: timerfd_create timerfd_settime timerfd_gettime timer_create timer_settime timer_gettime timer_getoverrun timer_delete getitimer
 * COVERS: nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time adjtimex clock_adjtime getrandom uname sysinfo
 * COVERS: brk mincore mlock mlock2 munlock mlockall munlockall mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages
 * COVERS: pkey_alloc pkey_free pkey_mprotect mseal map_shadow_stack remap_file_pages memfd_secret futex futex_waitv futex_wake futex_wait futex_requeue
 * COVERS: getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
 * COVERS: capget capset readv preadv preadv2 tee vmsplice fadvise64 readahead cachestat io_setup io_destroy io_submit io_getevents io_pgetevents io_cancel
 * COVERS: socket setsockopt getsockopt shutdown recvmmsg set_thread_area get_thread_area */
#include "guest.h"

#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static void waiting(void)
{
	int pipes[2], event = FD(eventfd(3, 0)), ep = FD(epoll_create1(0));
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = 5}, got[4];
	struct pollfd p = {event, POLLIN, 0};
	struct timespec none = {0, 0};
	uint64_t count;
	fd_set set;

	ERR(pipe2(pipes, O_NONBLOCK));
	FD_ZERO(&set);
	FD_SET(event, &set);
	VAL(poll(&p, 1, 0));
	VAL(ppoll(&p, 1, &none, NULL));
	VAL(pselect(event + 1, &set, NULL, NULL, &none, NULL));
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, event, &e));
	VAL(epoll_wait(ep, got, 4, 0));
	VAL(epoll_pwait(ep, got, 4, 0, NULL));
	VAL(syscall(__NR_epoll_pwait2, ep, got, 4, &none, NULL, 8));
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, open("file", O_RDONLY), &e));
	VAL(read(event, &count, sizeof(count)));
	VAL(count);
	VAL(read(pipes[0], &count, 1));
	VAL(write(pipes[1], "abc", 3));
	int second[2];
	ERR(pipe(second));
	VAL(tee(pipes[0], second[1], 2, 0));
	struct iovec io = {(char *)"vm", 2};
	VAL(vmsplice(second[1], &io, 1, 0));
#ifdef __NR_select
	struct timeval no_time = {0, 0};
	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	VAL(syscall(__NR_select, pipes[0] + 1, &set, NULL, NULL, &no_time));
	VAL(syscall(__NR_poll, &p, 1, 0));
	ERR(syscall(__NR_pipe, second));
	ERR(syscall(__NR_epoll_create, 1));
	ERR(syscall(__NR_epoll_create, 0));
	VAL(syscall(__NR_epoll_wait, ep, got, 4, 0));
	ERR(syscall(__NR_eventfd, 1));
#endif
}

#define CPU_CLOCK(pid) ((clockid_t)(~(unsigned)(pid) << 3 | 2))

static void *clock_of_me(void *cpu_clock)
{
	return (void *)(intptr_t)pthread_getcpuclockid(pthread_self(), cpu_clock);
}

/* Of processes and threads: of the caller, by 0 and by number, of a child, of one that has ended. */
static void cpu_clocks(void)
{
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	struct timespec t;
	clockid_t thread;
	timer_t timer;
	pthread_t p;
	void *r;

	for (int low = 0; low < 8; low++) {
		ERR(syscall(__NR_clock_gettime, (int)(~0U << 3 | (unsigned)low), &t));
		ERR(syscall(__NR_clock_getres, (int)(~(unsigned)getpid() << 3 | (unsigned)low), &t));
		ERR(syscall(__NR_clock_gettime, (int)(~(unsigned)getpid() << 3 | (unsigned)low), &t));
	}
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	ERR(clock_gettime(CPU_CLOCK(child), &t));
	ERR(timer_create(CPU_CLOCK(child), &none, &timer));
	ERR(timer_delete(timer));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ERR(syscall(__NR_clock_gettime, CPU_CLOCK(child), &t));
	ERR(syscall(__NR_timer_create, CPU_CLOCK(child), &none, &timer));
	VAL(pthread_create(&p, NULL, clock_of_me, &thread));
	pthread_join(p, &r);
	ERR((int)(intptr_t)r);
	ERR(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t));
	ERR(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
}

static void clocks(void)
{
	struct itimerspec soon = {{0, 0}, {0, 1000000}}, left;
	struct timespec t, ms = {0, 1000000};
	struct timeval tv;
	struct itimerval it;
	struct timex tx = {0};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	timer_t timer;
	uint64_t n;

	int fd = FD(timerfd_create(CLOCK_MONOTONIC, 0));
	ERR(timerfd_settime(fd, 0, &soon, NULL));
	VAL(read(fd, &n, sizeof(n)));
	ERR(timerfd_gettime(fd, &left));
	ERR(timer_create(CLOCK_MONOTONIC, &none, &timer));
	ERR(timer_settime(timer, 0, &soon, NULL));
	ERR(timer_gettime(timer, &left));
	VAL(timer_getoverrun(timer));
	ERR(timer_delete(timer));
	ERR(nanosleep(&ms, NULL));
	VAL(clock_nanosleep(CLOCK_MONOTONIC, 0, &ms, NULL));
	ERR(syscall(__NR_clock_gettime, CLOCK_REALTIME, &t));
	ERR(syscall(__NR_clock_gettime, 77, &t));
	ERR(syscall(__NR_clock_getres, CLOCK_MONOTONIC, &t));
	ERR(syscall(__NR_gettimeofday, &tv, NULL));
#ifdef __NR_time
	TRUTH(syscall(__NR_time, NULL) > 1500000000);
#endif
	ERR(getitimer(ITIMER_REAL, &it));
	TRUTH(adjtimex(&tx) >= 0);
	TRUTH(syscall(__NR_clock_adjtime, CLOCK_REALTIME, &tx) >= 0);
}

static void facts(void)
{
	struct utsname u;
	struct sysinfo s;
	char buf[16];

	ERR(uname(&u));
	TRUTH(strcmp(u.sysname, "Linux") == 0);
	ERR(sysinfo(&s));
	TRUTH(s.totalram > 0);
	VAL(getrandom(buf, sizeof(buf), 0));
	VAL(getrandom(buf, sizeof(buf), 99));
}

static void memory(void)
{
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char vec[2];
	int status, policy;
	void *pages[1] = {m};

	TRUTH(sbrk(4096) != (void *)-1);
	m[0] = 1;
	ERR(mincore(m, 8192, vec));
	ERR(mlock(m, 4096));
	ERR(syscall(__NR_mlock2, m, 4096, 0));
	ERR(munlock(m, 4096));
	ERR(mlockall(99));
	ERR(munlockall());
	ERR(syscall(__NR_get_mempolicy, &policy, NULL, 0, NULL, 0));
	ERR(syscall(__NR_set_mempolicy, 0, NULL, 0));
	ERR(syscall(__NR_mbind, m, 4096, 0, NULL, 0, 0));
	ERR(syscall(__NR_mbind, m, 4096, 99, NULL, 0, 0));
	ERR(syscall(450, m, 4096, 99, 0)); /* set_mempolicy_home_node */
	ERR(syscall(__NR_move_pages, 0, 1, pages, NULL, &status, 0));
	ERR(syscall(__NR_migrate_pages, 0, 0, NULL, NULL));
	int key = (int)syscall(__NR_pkey_alloc, 0, 0);
	VAL(key > 0 || errno == ENOSPC || errno == EINVAL || errno == EOPNOTSUPP);
	ERR(syscall(__NR_pkey_mprotect, m, 4096, PROT_READ, -1));
	ERR(syscall(__NR_pkey_free, 99));
	ERR(syscall(453, 0, 0, 0xff)); /* map_shadow_stack */
	ERR(syscall(__NR_remap_file_pages, m, 4096, 0, 0, 0));
	ERR(syscall(__NR_memfd_secret, 0xff00));
	ERR(syscall(462, m, 4096, 1)); /* mseal with unknown flags */
	ERR(syscall(462, m, 4096, 0));
	ERR(mprotect(m, 4096, PROT_NONE));
}

static void futexes(void)
{
	uint32_t word = 1;
	struct timespec none = {0, 0};

	ERR(syscall(__NR_futex, &word, 0, 0, &none, NULL, 0));
	ERR(syscall(__NR_futex, &word, 0, 1, &none, NULL, 0));
	VAL(syscall(__NR_futex, &word, 1, 1, NULL, NULL, 0));
	ERR(syscall(__NR_futex_waitv, NULL, 0, 0, NULL, 0));
	ERR(syscall(454, &word, 1, 1, 0xff)); /* futex_wake */
	ERR(syscall(455, &word, 0, 1, 0xff, NULL, 0)); /* futex_wait */
	ERR(syscall(456, NULL, 0, 0, 0)); /* futex_requeue */
}

/* Setting what is already so is allowed to everyone. */
static void credentials(void)
{
	uid_t r, e, s;
	gid_t groups[64];
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	TRUTH(getuid() == geteuid() && getgid() == getegid());
	printf("   uid %d gid %d\n", (int)getuid(), (int)getgid());
	ERR(getresuid(&r, &e, &s));
	TRUTH(r == e && e == s);
	ERR(getresgid(&r, &e, &s));
	VAL(getgroups(64, groups));
	ERR(syscall(__NR_setuid, getuid()));
	ERR(syscall(__NR_setgid, getgid()));
	ERR(syscall(__NR_setreuid, -1, getuid()));
	ERR(syscall(__NR_setregid, -1, getgid()));
	ERR(syscall(__NR_setresuid, -1, -1, getuid()));
	ERR(syscall(__NR_setresgid, -1, -1, getgid()));
	VAL(syscall(__NR_setfsuid, getuid()));
	VAL(syscall(__NR_setfsgid, getgid()));
	TRUTH(syscall(__NR_setgroups, -1, NULL) < 0); /* which errno depends on a capability */
	ERR(syscall(__NR_capget, &head, data));
	data[0].effective = data[1].effective = 0;
	ERR(syscall(__NR_capset, &head, data));
}

static void file_data(void)
{
	char a[4], b[4];
	struct iovec io[2] = {{a, 4}, {b, 4}};
	struct {
		uint64_t off, len;
	} range = {0, 0};
	uint64_t stats[5];
	int fd = FD(open("file2", O_RDWR));

	VAL(readv(fd, io, 2));
	VAL(preadv(fd, io, 2, 3));
	VAL(preadv2(fd, io, 2, 3, 0));
	VAL(preadv2(fd, io, 2, 3, 0x1000));
	print_bytes(a, 4);
	print_bytes(b, 4);
	printf("\n");
	VAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	ERR(readahead(fd, 0, 100));
	ERR(syscall(451, fd, &range, stats, 0)); /* cachestat */
	aio_context_t ctx = 0;
	struct iocb cb = {.aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)a, .aio_nbytes = 4}, *cbs[1] = {&cb};
	struct io_event event;
	ERR(syscall(__NR_io_setup, 4, &ctx));
	VAL(syscall(__NR_io_submit, ctx, 1, cbs));
	VAL(syscall(__NR_io_getevents, ctx, 1, 1, &event, NULL));
	VAL(event.res);
	VAL(syscall(__NR_io_pgetevents, ctx, 0, 1, &event, NULL, NULL));
	ERR(syscall(__NR_io_cancel, ctx, &cb, &event));
	ERR(syscall(__NR_io_destroy, ctx));
}

static void sockets(void)
{
	int pair[2], value = 0;
	socklen_t len = sizeof(value);
	char buf[8];
	struct iovec io = {buf, sizeof(buf)};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1}};

	ERR(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	ERR(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	ERR(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &len));
	VAL(value);
	VAL(send(pair[0], "dgram", 5, 0));
	VAL(recvmmsg(pair[1], &m, 1, MSG_DONTWAIT, NULL));
	VAL(m.msg_len);
	ERR(shutdown(pair[0], SHUT_WR));
	VAL(send(pair[0], "x", 1, MSG_NOSIGNAL));
	ERR(socket(AF_INET, SOCK_STREAM, 0));
	ERR(socket(12345, SOCK_STREAM, 0));
	ERR(socketpair(AF_INET, SOCK_STREAM, 0, pair));
}

int main(void)
{
	waiting();
	clocks();
	cpu_clocks();
	facts();
	memory();
	futexes();
	credentials();
	file_data();
	sockets();
#ifdef __NR_set_thread_area
	ERR(syscall(__NR_set_thread_area, NULL));
	ERR(syscall(__NR_get_thread_area, NULL));
#endif
	return 0;
}
