/* cowfs/owned.c - reading a host object that is ours, but whose mode denies us reading: a file of mode 0222 that is to be copied up, a directory of
 * mode 0 that must be seen empty before it is removed. Natively neither is read; its owner could chmod it, but the host is not to be changed.
 *
 * A short-lived process enters a user namespace in which nobody but this process's own user and group is known: there it has the
 * capability to read what belongs to both. It opens the object that was found here, with the host's checks on the way, and sends the
 * descriptor back. It does nothing but system calls: it is forked from a program with threads. Where no user namespace can be had, the
 * host's EACCES stands. */
#include "internal.h"
#include "base/fdpass.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

typedef union Control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
} Control;

static int receive_fd(int sock)
{
	char byte;
	struct iovec io = {&byte, 1};
	Control c;
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	int fd;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != 1 || m.msg_controllen < CMSG_LEN(sizeof fd) || c.head.cmsg_type != SCM_RIGHTS)
		return -EACCES; /* the process ended without a descriptor */
	memcpy(&fd, CMSG_DATA(&c.head), sizeof fd);
	return fd;
}

static bool put(const char *path, const char *text)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool enter_namespace(void)
{
	char uids[40], gids[40];

	snprintf(uids, sizeof uids, "0 %u 1", (unsigned)geteuid());
	snprintf(gids, sizeof gids, "0 %u 1", (unsigned)getegid());
	return unshare(CLONE_NEWUSER) == 0 && put("/proc/self/uid_map", uids) && put("/proc/self/setgroups", "deny") && put("/proc/self/gid_map", gids);
}

static int open_in_child(int object, int flags, int sock)
{
	char link[40];

	if (!enter_namespace())
		return 1;
	snprintf(link, sizeof link, "/proc/self/fd/%d", object);
	int fd = open(link, flags | O_CLOEXEC);
	return fd < 0 || bv_send_fds(sock, "", 1, &fd, 1, FDPASS_PATIENCE) < 0;
}

static bool is_ours(int object)
{
	struct stat st;

	return geteuid() != 0 && fstat(object, &st) == 0 && st.st_uid == geteuid() && st.st_gid == getegid() && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

int lower_open_owned(Cowfs *fs, const char *path, int flags)
{
	CLEAN_FD int object = lower_open(fs, path, O_PATH | O_NOFOLLOW, 0);
	CLEAN_FD int near = -1;
	CLEAN_FD int far = -1;
	int pair[2], fd;

	if (object < 0)
		return object;
	if (!is_ours(object))
		return -EACCES;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_neg_errno();
	near = pair[0];
	far = pair[1];
	pid_t pid = _Fork();
	if (pid < 0)
		return bv_neg_errno();
	if (pid == 0)
		_exit(open_in_child(object, flags & ~O_NOFOLLOW, far));
	bv_close_fd(&far);
	fd = receive_fd(near);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return fd;
}
