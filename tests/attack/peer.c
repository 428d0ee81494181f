/* The peer of a unix socket is who called connect or sendmsg. That is the supervisor: its pidfd, its number, and signals to it.
 * MASK: landlock */
#include "attack.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#define SCM_PIDFD_TYPE 4

static void try_signal(int pidfd, const char *how)
{
	char path[64], text[512] = "", *p;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	int fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && (p = strstr(text, "\nPid:")))
		pid = atoi(p + 5);
	close(fd);
	if (pid == getpid())
		return;
	for (int sig = 0; sig <= SIGCONT; sig += SIGCONT)
		if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0)
			won("%s: signal %d to process %d, which is not ours", how, sig, pid);
}

static void try_number(pid_t pid, const char *how)
{
	if (pid > 0 && pid != getpid() && (kill(pid, 0) == 0 || syscall(SYS_tkill, pid, 0) == 0 || syscall(SYS_pidfd_open, pid, 0) >= 0))
		won("%s: process %d can be reached", how, pid);
}

int main(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/attack.sock"};
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), one = 1, pidfd = -1;
	struct ucred cred = {0};
	socklen_t len = sizeof cred;

	unlink(un.sun_path);
	NEED(bind(l, (struct sockaddr *)&un, sizeof un) == 0 && listen(l, 1) == 0);
	NEED(connect(c, (struct sockaddr *)&un, sizeof un) == 0);
	int s = accept(l, NULL, NULL);
	NEED(s >= 0);
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		try_number(cred.pid, "SO_PEERCRED");
	len = sizeof pidfd;
	if (getsockopt(s, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		try_signal(pidfd, "SO_PEERPIDFD");

	char byte = 0, control[512];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	setsockopt(s, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	setsockopt(s, SOL_SOCKET, SO_PASSPIDFD, &one, sizeof one);
	NEED(sendmsg(c, &m, 0) == 1);
	m.msg_control = control;
	m.msg_controllen = sizeof control;
	NEED(recvmsg(s, &m, 0) == 1);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_type == SCM_CREDENTIALS)
			try_number(((struct ucred *)(void *)CMSG_DATA(h))->pid, "SCM_CREDENTIALS");
		if (h->cmsg_type == SCM_PIDFD_TYPE)
			try_signal(*(int *)(void *)CMSG_DATA(h), "SCM_PIDFD");
	}
	return verdict();
}
