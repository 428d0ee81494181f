/* tests/escape/victim.c - a process of the host that attempts are aimed at. It counts what happens to it, and says on request what it is like: one
 * line for each line that it reads. Its working directory is the hidden one; a secret is in its memory, environment and a descriptor. */
#include "escape.h"

#include <linux/keyctl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define SECRET_FD 100
#define SHARED_PORTS 200 /* so that who may share them gets one soon */

typedef struct Victim {
	int stream, dgram, abstract_stream, abstract_dgram, tcp, udp;
	char shared_ports[SHARED_PORTS * 6 + 2];
	int lock, range, shm, msg, sem, key;
	mqd_t mq;
	char mq_name[64];
	char *shared;
	unsigned connections, datagrams, denied_locks, denied_opens;
} Victim;

static volatile unsigned signals;
static volatile uint64_t word = 0x600d600d;
static char secret[64];

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static void catch_all(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa, NULL);
}

static int listener(int type, const struct sockaddr_un *un, socklen_t len)
{
	int s = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	NEED(s >= 0 && bind(s, (const struct sockaddr *)un, len) == 0 && (type == SOCK_DGRAM || listen(s, 64) == 0));
	return s;
}

static void open_sockets(Victim *v, const char *nonce)
{
	struct sockaddr_un un = unix_addr("host/sock"); /* relative: the tree's path may be too long */
	char name[64];
	socklen_t len;

	v->stream = listener(SOCK_STREAM, &un, sizeof un);
	un = unix_addr("host/dsock");
	v->dgram = listener(SOCK_DGRAM, &un, sizeof un);
	snprintf(name, sizeof name, "escape-%.20s", nonce);
	un = abstract_addr(name, &len);
	v->abstract_stream = listener(SOCK_STREAM, &un, len);
	snprintf(name, sizeof name, "escape-%.20s-d", nonce);
	un = abstract_addr(name, &len);
	v->abstract_dgram = listener(SOCK_DGRAM, &un, len);
}

/* At every address; the port is the kernel's choice. */
static int network_socket(int type, struct sockaddr_in *at)
{
	int s = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof *at;

	NEED(s >= 0 && (bind(s, (struct sockaddr *)at, len) == 0 || errno == EADDRINUSE) && getsockname(s, (struct sockaddr *)at, &len) == 0);
	return s;
}

static in_port_t open_network(Victim *v)
{
	struct sockaddr_in at = {0};

	for (bool same = false; !same;) { /* one port for both */
		at = (struct sockaddr_in){.sin_family = AF_INET};
		v->tcp = network_socket(SOCK_STREAM, &at);
		in_port_t port = at.sin_port;
		v->udp = network_socket(SOCK_DGRAM, &at);
		same = at.sin_port == port;
		if (!same) {
			close(v->tcp);
			close(v->udp);
		}
	}
	NEED(listen(v->tcp, 64) == 0);
	return ntohs(at.sin_port);
}

/* ",PORT,PORT,...," of services that share their ports with whoever wants to. */
static void open_shared(Victim *v)
{
	const int on = 1;
	char *text = v->shared_ports;

	*text++ = ',';
	for (int i = 0; i < SHARED_PORTS; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET};
		int s = network_socket(SOCK_DGRAM, &at);
		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
		text += snprintf(text, 7, "%u,", ntohs(at.sin_port));
	}
}

static void open_ipc(Victim *v, const char *nonce)
{
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64};

	v->shm = shmget(IPC_PRIVATE, 4096, 0666);
	v->msg = msgget(IPC_PRIVATE, 0666);
	v->sem = semget(IPC_PRIVATE, 1, 0666);
	v->shared = v->shm < 0 ? MAP_FAILED : shmat(v->shm, NULL, 0);
	snprintf(v->mq_name, sizeof v->mq_name, "/escape-%.20s", nonce);
	v->mq = mq_open(v->mq_name, O_CREAT | O_RDWR | O_NONBLOCK | O_CLOEXEC, 0666, &attr);
	v->key = (int)syscall(SYS_add_key, "user", v->mq_name, secret, strlen(secret), KEY_SPEC_USER_KEYRING);
}

static void close_ipc(Victim *v)
{
	shmctl(v->shm, IPC_RMID, NULL);
	msgctl(v->msg, IPC_RMID, NULL);
	semctl(v->sem, 0, IPC_RMID);
	mq_unlink(v->mq_name);
	syscall(SYS_keyctl, KEYCTL_UNLINK, v->key, KEY_SPEC_USER_KEYRING);
}

/* Whoever connects is given a descriptor of host/file for writing. */
static void serve(Victim *v, int listening)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int s = accept4(listening, NULL, NULL, SOCK_CLOEXEC), fd = openat(AT_FDCWD, "../host/file", O_RDWR | O_CLOEXEC);

	if (s < 0)
		return;
	v->connections++;
	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	sendmsg(s, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	close(s);
}

/* What others take of it: locks on a file that it locks now and then, and one that it opens for writing. */
static void need_files(Victim *v)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (flock(v->lock, LOCK_EX | LOCK_NB) < 0)
		v->denied_locks++;
	flock(v->lock, LOCK_UN);
	if (fcntl(v->range, F_OFD_SETLK, &range) < 0)
		v->denied_locks++;
	range.l_type = F_UNLCK;
	fcntl(v->range, F_OFD_SETLK, &range);
	int fd = open("../host/leased", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		v->denied_opens++;
	else
		close(fd);
}

static void report(const Victim *v)
{
	struct rlimit files;
	struct msqid_ds queue = {0};
	struct mq_attr attr = {0};
	struct sched_param param = {0};
	cpu_set_t cpus;
	char text[512] = "", *adj = text;
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	if (read(fd, text, sizeof text - 1) > 0)
		adj[strcspn(adj, "\n")] = 0;
	close(fd);
	getrlimit(RLIMIT_NOFILE, &files);
	sched_getaffinity(0, sizeof cpus, &cpus);
	sched_getparam(0, &param);
	printf("signals=%u word=%llx connections=%u datagrams=%u locks=%s opens=%s nice=%d io=%ld policy=%d cpus=%d files=%llu oom=%s slack=%d pgid=%d "
	       "shm=%d messages=%d,%d sem=%d mq=%ld\n",
	       signals, (unsigned long long)word, v->connections, v->datagrams, v->denied_locks ? "denied" : "had", v->denied_opens ? "denied" : "had",
	       getpriority(PRIO_PROCESS, 0), syscall(SYS_ioprio_get, 1, 0), sched_getscheduler(0), CPU_COUNT(&cpus), (unsigned long long)files.rlim_cur, adj,
	       prctl(PR_GET_TIMERSLACK), getpgid(0), v->shared == MAP_FAILED ? -1 : v->shared[0], v->msg, msgctl(v->msg, IPC_STAT, &queue) < 0 ? -1 : (int)queue.msg_qnum,
	       semctl(v->sem, 0, GETVAL), mq_getattr(v->mq, &attr) < 0 ? -1 : attr.mq_curmsgs);
	fflush(stdout);
}

static bool one_round(Victim *v)
{
	struct pollfd p[] = {{0, POLLIN, 0}, {v->stream, POLLIN, 0}, {v->dgram, POLLIN, 0}, {v->abstract_stream, POLLIN, 0}, {v->abstract_dgram, POLLIN, 0},
			     {v->tcp, POLLIN, 0}, {v->udp, POLLIN, 0}};
	char buf[256];

	need_files(v);
	if (poll(p, 7, 20) < 0)
		return true;
	for (int i = 1; i < 7; i++) {
		if ((p[i].revents & POLLIN) && i % 2)
			serve(v, p[i].fd);
		else if ((p[i].revents & POLLIN) && recv(p[i].fd, buf, sizeof buf, MSG_DONTWAIT) >= 0)
			v->datagrams++;
	}
	if (!p[0].revents)
		return true;
	if (read(0, buf, sizeof buf) <= 0)
		return false;
	report(v);
	return true;
}

int victim_main(const char *dir, const char *nonce)
{
	Victim v = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	snprintf(secret, sizeof secret, "SECRET %s", nonce);
	setpgid(0, 0);
	catch_all();
	NEED(chdir(dir) == 0);
	open_sockets(&v, nonce);
	in_port_t port = open_network(&v);
	open_ipc(&v, nonce);
	NEED(chdir("hidden") == 0);
	v.lock = open("../host/locked", O_RDONLY | O_CLOEXEC);
	v.range = open("../host/locked", O_RDWR | O_CLOEXEC);
	int fd = open("key", O_RDONLY | O_CLOEXEC);
	NEED(v.lock >= 0 && v.range >= 0 && fd >= 0 && dup3(fd, SECRET_FD, O_CLOEXEC) == SECRET_FD);
	open_shared(&v);
	printf("VICTIM=%d WORD=%#llx SECRET_AT=%#llx SHM=%d MSG=%d SEM=%d KEY=%d MQ=%s ABSTRACT=escape-%.20s PORT=%u SHARED=%s\n", getpid(),
	       (unsigned long long)(uintptr_t)&word, (unsigned long long)(uintptr_t)secret, v.shm, v.msg, v.sem, v.key, v.mq_name, nonce, port, v.shared_ports);
	fflush(stdout);
	while (one_round(&v))
		;
	close_ipc(&v);
	return 0;
}
