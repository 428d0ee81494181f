/* tests/guest/accept.c - accept that asks who it is: who waits, who was killed waiting, and who has no number for the connection. None is lost.
 * COVERS: accept accept4 */
#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static union {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
} where;
static socklen_t where_len;

static int listener(int family, int type)
{
	int s = socket(family, type, 0);

	memset(&where, 0, sizeof(where));
	where.any.sa_family = (sa_family_t)family;
	if (family == AF_UNIX) {
		snprintf(where.un.sun_path, sizeof(where.un.sun_path), "listener");
		unlink("listener");
	} else {
		where.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	where_len = family == AF_UNIX ? sizeof(where.un) : sizeof(where.in);
	if (bind(s, &where.any, where_len) < 0 || listen(s, 16) < 0)
		printf("no listener: %s\n", errname(errno));
	if (family != AF_UNIX)
		getsockname(s, &where.any, &where_len);
	return s;
}

static int asking(int s)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return accept(s, (struct sockaddr *)&peer, &len);
}

static int caller(int type)
{
	int s = socket(where.any.sa_family, type, 0);

	if (connect(s, &where.any, where_len) < 0)
		printf("no connection: %s\n", errname(errno));
	return s;
}

static pid_t server(int s)
{
	pid_t pid = fork();

	if (pid == 0) {
		int c = asking(s);
		_exit(c >= 0 && write(c, "x", 1) == 1 ? 0 : 1);
	}
	return pid;
}

/* Is what was connected answered before long? */
static bool answered(int c)
{
	struct timeval most = {10 * slower(), 0};
	char byte = 0;

	setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
	bool good = read(c, &byte, 1) == 1 && byte == 'x';
	close(c);
	return good;
}

static void pause_ms(int ms)
{
	usleep((useconds_t)(ms * slower()) * 1000);
}

static void ended(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status)))
		printf("a server failed: %#x\n", (unsigned)status);
}

/* Who comes right after a server was killed is the next one's. */
static void killed(int family, int type)
{
	int s = listener(family, type), lost = 0;

	for (int i = 0; i < 20; i++) {
		pid_t first = server(s);
		pause_ms(i % 4 * 10);
		kill(first, SIGKILL);
		ended(first);
		int c = caller(type);
		pid_t next = server(s);
		if (!answered(c)) {
			lost++;
			kill(next, SIGKILL);
		}
		ended(next);
	}
	printf("after a kill, family %d type %d: %d lost\n", family, type, lost);
	close(s);
}

/* Many wait for one listener: each connection is somebody's, and one that is killed takes none. */
static void crowd(int family, int type)
{
	int s = listener(family, type), lost = 0;
	pid_t pids[12];

	for (size_t i = 0; i < COUNT(pids); i++)
		pids[i] = server(s);
	pause_ms(50);
	kill(pids[0], SIGKILL);
	kill(pids[5], SIGKILL);
	ended(pids[0]);
	ended(pids[5]);
	for (size_t i = 2; i < COUNT(pids); i++)
		lost += !answered(caller(type));
	for (size_t i = 1; i < COUNT(pids) && !lost; i++)
		if (i != 5)
			ended(pids[i]);
	for (size_t i = 1; i < COUNT(pids) && lost; i++)
		kill(pids[i], SIGKILL);
	printf("a crowd, family %d type %d: %d lost\n", family, type, lost);
	close(s);
}

static void no_number(int family, int type, int flags)
{
	int s = listener(family, type), spare = open("/dev/null", O_RDONLY), top = spare;
	struct rlimit all, few;
	int c = caller(type);

	while (top < 40)
		top = dup(spare);
	getrlimit(RLIMIT_NOFILE, &all);
	few = (struct rlimit){41, all.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	fcntl(s, F_SETFL, flags);
	ERR(asking(s));
	ERR(asking(s));
	few.rlim_cur = (rlim_t)spare; /* all below it are in use, and many above */
	setrlimit(RLIMIT_NOFILE, &few);
	ERR(asking(s));
	few.rlim_cur = 41;
	setrlimit(RLIMIT_NOFILE, &few);
	for (int fd = top - 2; fd <= top; fd++) /* without pidfd_getfd the call takes some for itself meanwhile */
		close(fd);
	int got = asking(s);
	TRUTH(got > top - 3 && got <= top);
	TRUTH(write(got, "x", 1) == 1);
	TRUTH(answered(c));
	setrlimit(RLIMIT_NOFILE, &all);
	for (int fd = spare; fd <= top; fd++)
		close(fd);
	close(s);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void timeouts(int family, int type)
{
	struct timeval soon = {0, 100000};
	int s = listener(family, type);

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	int64_t began = now_ms();
	ERR(asking(s));
	TRUTH(now_ms() - began >= 90);
	int c = caller(type), got = asking(s);
	TRUTH(got >= 0);
	close(got);
	close(c);
	fcntl(s, F_SETFL, O_NONBLOCK);
	ERR(asking(s));
	TRUTH((fcntl(s, F_GETFL) & O_NONBLOCK) != 0);
	fcntl(s, F_SETFL, 0);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 0}, sizeof(soon));
	pid_t pid = server(s);
	pause_ms(20);
	TRUTH((fcntl(s, F_GETFL) & O_NONBLOCK) == 0);
	TRUTH(answered(caller(type)));
	ended(pid);
	close(s);
}

static void *shut(void *arg)
{
	pause_ms(50);
	shutdown(*(int *)arg, SHUT_RD);
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void errors(int family, int type)
{
	struct sigaction act = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_value = {0, 50000}};
	int s = listener(family, type), plain = socket(family, type, 0);
	int c = caller(type), got = asking(s);
	pthread_t t;

	ERR(asking(plain)); /* it does not listen */
	ERR(asking(c));
	ERR(asking(got));
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	ERR(asking(s));
	pthread_create(&t, NULL, shut, &s);
	ERR(asking(s));
	pthread_join(t, NULL);
	ERR(asking(s));
	close(s);
	close(plain);
	close(c);
	close(got);
}

int main(void)
{
	const struct {
		int family, type;
	} kinds[] = {{AF_INET, SOCK_STREAM}, {AF_UNIX, SOCK_STREAM}, {AF_UNIX, SOCK_SEQPACKET}};

	for (size_t i = 0; i < COUNT(kinds); i++) {
		killed(kinds[i].family, kinds[i].type);
		crowd(kinds[i].family, kinds[i].type);
		no_number(kinds[i].family, kinds[i].type, 0);
		no_number(kinds[i].family, kinds[i].type, O_NONBLOCK);
		timeouts(kinds[i].family, kinds[i].type);
		errors(kinds[i].family, kinds[i].type);
	}
	int udp = socket(AF_INET, SOCK_DGRAM, 0), pipes[2];
	ERR(asking(udp));
	ERR(asking(pipe(pipes) == 0 ? pipes[0] : -1));
	ERR(asking(-1));
	ERR(asking(99));
	return 0;
}
