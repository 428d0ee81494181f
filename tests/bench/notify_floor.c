/* tests/bench/notify_floor.c - the floor that no supervisor by seccomp user notification gets below: notify_floor COMMAND [ARG...]
 *
 * Runs COMMAND with its commonest path calls trapped and each answered by CONTINUE at once: one receiver, synchronous wake-up. What such a
 * call, or a whole job, costs is the price of the mechanism; what the sandbox costs beyond it is bvisor's. Exit code: the command's. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1
#endif

static const unsigned trapped[] = {
	__NR_newfstatat, __NR_openat, __NR_statx, __NR_faccessat, __NR_faccessat2, __NR_readlinkat, __NR_unlinkat, __NR_mkdirat, __NR_utimensat,
	__NR_fchmodat, __NR_fchownat, __NR_fchmod, __NR_fchown, __NR_linkat, __NR_symlinkat, __NR_chdir, __NR_fsync, __NR_fdatasync, __NR_execve, __NR_clone,
#ifdef __NR_open
	__NR_open, __NR_stat, __NR_lstat, __NR_access, __NR_readlink, __NR_unlink, __NR_mkdir, __NR_rmdir, __NR_rename, __NR_link, __NR_symlink,
	__NR_chmod, __NR_chown,
#endif
};

static int install(void)
{
	enum { COUNT = sizeof(trapped) / sizeof(trapped[0]) };
	struct sock_filter code[COUNT + 3] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_fprog prog = { .len = COUNT + 3, .filter = code };
	for (unsigned i = 0; i < COUNT; i++)
		code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, trapped[i], (unsigned char)(COUNT - i), 0);
	code[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err(125, "no_new_privs");
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

static void send_fd(int sock, int fd)
{
	char byte = 0;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(sock, &msg, 0) != 1)
		err(125, "sendmsg");
}

static int receive_fd(int sock)
{
	char byte;
	int fd;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		errx(125, "the child installed no filter");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* Answers until the last process with the filter is gone (ENOENT for one that died while it waited is no reason to stop). */
static void serve(int listener)
{
	for (;;) {
		struct seccomp_notif req;
		struct seccomp_notif_resp resp;
		memset(&req, 0, sizeof(req));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req)) {
			struct pollfd p = { .fd = listener, .events = POLLIN };
			if (errno == ENOENT && poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP))
				continue;
			if (errno == EINTR)
				continue;
			return;
		}
		memset(&resp, 0, sizeof(resp));
		resp.id = req.id;
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
}

int main(int argc, char **argv)
{
	int pair[2], listener, status;
	pid_t pid;
	if (argc < 2)
		errx(125, "usage: notify_floor COMMAND [ARG...]");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(125, "socketpair");
	pid = fork();
	if (pid == 0) {
		listener = install();
		if (listener < 0)
			err(125, "seccomp");
		send_fd(pair[1], listener);
		close(listener);
		execvp(argv[1], argv + 1);
		err(127, "%s", argv[1]);
	}
	close(pair[1]);
	listener = receive_fd(pair[0]);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP))
		warn("no synchronous wake-up on this kernel: the floor is higher");
	serve(listener);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
