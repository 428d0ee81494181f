/* Threads with a descriptor table of their own, and threads that outlive their leader: calls on descriptors must mean the caller's. */
#include "attack.h"

#include <sys/inotify.h>

static int fd_of_leader;

static void check(const char *how)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/attack.own"};
	struct iovec iov = {(char *)"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int sv[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0) {
		won("%s: socketpair: %s", how, strerror(errno));
		return;
	}
	if (sendmsg(sv[0], &m, MSG_DONTWAIT) != 1 || recv(sv[1], &c, 1, MSG_DONTWAIT) != 1)
		won("%s: sendmsg: %s", how, strerror(errno));
	unlink(un.sun_path);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&un, sizeof un) < 0)
		won("%s: bind: %s", how, strerror(errno));
	int in = inotify_init1(0);
	if (inotify_add_watch(in, "/etc", IN_CREATE) < 0)
		won("%s: inotify_add_watch: %s", how, strerror(errno));
	close(in);
	close(s);
	close(sv[0]);
	close(sv[1]);
}

static void *own_table(void *arg)
{
	(void)arg;
	if (unshare(CLONE_FILES) == 0)
		check("own table");
	return NULL;
}

static void *orphan(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	usleep(50000);
	check("without a leader");
	exit(verdict());
}

int main(void)
{
	static pthread_t self;
	pthread_t t;

	pthread_create(&t, NULL, own_table, NULL);
	pthread_join(t, NULL);
	fd_of_leader = open("/etc/passwd", O_RDONLY);
	self = pthread_self();
	pthread_create(&t, NULL, orphan, &self);
	pthread_exit(NULL);
}
