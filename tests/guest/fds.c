/* tests/guest/fds.c - descriptors of sandbox files are ordinary ones: dup, fork, exec, passing through a socket, limits.
 * COVERS: dup dup2 dup3 fcntl close close_range sendmsg recvmsg socketpair pidfd_open pidfd_getfd */
#include "guest.h"

#include <sys/resource.h>
#include <sys/socket.h>

static void numbers(void)
{
	int lower = open("file", O_RDONLY), fresh = open("fresh", O_RDWR | O_CREAT, 0644), dir = open("dir", O_RDONLY);

	printf("lowest numbers: %d %d %d\n", lower, fresh, dir);
	close(lower);
	printf("reused: %d\n", open("fresh", O_RDONLY));
	VAL(fcntl(fresh, F_DUPFD, 100));
	VAL(fcntl(fresh, F_DUPFD_CLOEXEC, 200));
	VAL(fcntl(200, F_GETFD));
	VAL(dup2(fresh, 50));
	VAL(dup3(fresh, 51, O_CLOEXEC));
	VAL(fcntl(51, F_GETFD));
	ERR(dup3(fresh, fresh, 0));
	ERR(dup2(999, 60));
	int cloexec = open("file", O_RDONLY | O_CLOEXEC);
	VAL(fcntl(cloexec, F_GETFD));
	VAL(fcntl(fresh, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	VAL(write(50, "via dup", 7));
	VAL(lseek(fresh, 0, SEEK_CUR));
	ERR(fcntl(fresh, F_SETFL, O_APPEND));
	VAL(lseek(100, 0, SEEK_SET));
	VAL(write(100, "+", 1));
	show("fresh");
	ERR(close_range(50, 300, 0));
	ERR(fcntl(100, F_GETFD));
}

static int shared_fd;

static void child_writes(void)
{
	VAL(write(shared_fd, "child", 5));
}

static void inherited(void)
{
	shared_fd = FD(open("inherit", O_RDWR | O_CREAT, 0644));
	in_child("child", child_writes);
	VAL(lseek(shared_fd, 0, SEEK_CUR));
	VAL(write(shared_fd, "parent", 6));
	show("inherit");
	pid_t pid = fork();
	if (pid == 0) {
		char arg[16];

		snprintf(arg, sizeof(arg), "%d", shared_fd);
		execl("/bin/sh", "sh", "-c", "echo from sh >&$0; cat dir/a", arg, NULL);
		_exit(99);
	}
	int status;
	waitpid(pid, &status, 0);
	print_status("sh", status);
	show("inherit");
}

static bool send_fds(int sock, const int *fds, int count)
{
	char control[CMSG_SPACE(sizeof(int) * 8)] = "", byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
	for (int tries = 0; sendmsg(sock, &m, 0) != 1; tries++) {
		if (errno != ETOOMANYREFS || tries == 2000) /* the user's processes share how many may be on their way */
			return false;
		usleep(1000);
	}
	return true;
}

static int receive_fds(int sock, int *fds, int max)
{
	char control[CMSG_SPACE(sizeof(int) * 8)], byte;
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	if (recvmsg(sock, &m, 0) != 1)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int count = c ? (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
	memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)(count < max ? count : max));
	return count;
}

static void passed(void)
{
	int pair[2], fds[4], got[4];

	ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ERR(mkdir("passdir", 0755));
	ERR(put("passdir/inside", "inside\n"));
	fds[0] = open("fresh", O_RDWR);
	fds[1] = open("passdir", O_RDONLY);
	fds[2] = open("dir", O_PATH);
	fds[3] = open("file", O_RDONLY);
	pid_t pid = fork();
	if (pid == 0) {
		printf("received %d\n", receive_fds(pair[1], got, 4));
		VAL(write(got[0], "PASSED", 6));
		ERR(openat(got[1], "inside", O_RDONLY));
		ERR(openat(got[1], "made-by-receiver", O_CREAT | O_WRONLY, 0600));
		ERR(openat(got[2], "a", O_RDWR));
		ERR(fchdir(got[1]));
		show("inside");
		ERR(fchmod(got[3], 0640));
		exit(0);
	}
	bool sent = send_fds(pair[0], fds, 4);
	int status;
	waitpid(pid, &status, 0);
	TRUTH(sent);
	print_status("receiver", status);
	show("fresh");
	list("passdir");
	look("file");
}

static ssize_t send_credentials(int sock, struct ucred cred, size_t len)
{
	char control[CMSG_SPACE(sizeof(cred))] = "", byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	return sendmsg(sock, &m, 0);
}

/* Which number the receiver gets differs; that of the process in a sandbox is not known to the kernel. */
static void credentials(void)
{
	char control[CMSG_SPACE(sizeof(struct ucred))], byte;
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct ucred own = {getpid(), geteuid(), getegid()}, got = {0}, peer = {0};
	socklen_t len = sizeof(peer);
	int pair[2];

	ERR(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	ERR(getsockopt(pair[1], SOL_SOCKET, SO_PEERCRED, &peer, &len));
	VAL(send_credentials(pair[0], own, sizeof(own)));
	ERR(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int))); /* after it was sent: it is in the message only if it was given */
	VAL(recvmsg(pair[1], &m, 0));
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	TRUTH(c && c->cmsg_type == SCM_CREDENTIALS);
	if (c)
		memcpy(&got, CMSG_DATA(c), sizeof(got));
	TRUTH(got.pid > 0);
	TRUTH(got.uid == peer.uid && got.gid == peer.gid);
	VAL(send_credentials(pair[0], own, sizeof(own) - 1));
	VAL(send_credentials(pair[0], (struct ucred){getpid(), (uid_t)-1, getgid()}, sizeof(own)));
	VAL(send_credentials(pair[0], (struct ucred){getpid(), getuid(), (gid_t)-1}, sizeof(own)));
}

static void limits(void)
{
	struct rlimit r = {40, 40};
	int n = 0;

	ERR(setrlimit(RLIMIT_NOFILE, &r));
	while (open("fresh", O_RDONLY) >= 0)
		n++;
	printf("stopped after some: %s %s\n", n > 10 ? "yes" : "no", errname(errno));
	ERR(open("fresh", O_RDONLY));
	ERR(open("must-not-be", O_CREAT | O_EXCL | O_WRONLY, 0600));
	look("must-not-be");
	ERR(open("file", O_WRONLY | O_TRUNC)); /* before anything is done to the file */
	ERR(open("big", O_RDWR | O_CREAT | O_TRUNC, 0600));
	ERR(creat("hard1", 0600));
	ERR(open("nothing/x", O_WRONLY | O_TRUNC));
	close(20);
	ERR(open("big", O_WRONLY | O_TRUNC) >= 0);
	ERR(open("file", O_WRONLY | O_TRUNC));
	look("file");
	look("big");
	look("hard1");
}

int main(void)
{
	numbers();
	inherited();
	passed();
	credentials();
	in_child("limits", limits);
	return 0;
}
