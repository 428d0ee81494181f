/* lib/probe.c - see probe.h.
 *
 * Children are made with fork(2) by the raw system call: the host program may have threads, so a child calls only what is
 * async-signal-safe (system calls), and leaves with _exit. It dies with its parent, and the parent kills it on every way out. */
#include "lib/probe.h"
#include "base/fdpass.h"
#include "base/pidns.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Debian 12's headers are older than these. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

#define PROBE_MS 3000
#define SENTINEL 0x62766973 /* what the child asks with, and what is read of its memory */

typedef struct Child {
	pid_t pid;
	int sock; /* to the child */
} Child;

static void child_end(Child *child)
{
	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	bv_close_fd(&child->sock);
}
#define CLEAN_CHILD __attribute__((cleanup(child_end)))

/* Starts `body(its end of a socket, arg)` in a child. */
static int child_start(Child *child, void (*body)(int sock, unsigned long arg), unsigned long arg)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_neg_errno();
	child->pid = fork();
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(pair[1], arg);
		_exit(0);
	}
	close(pair[1]);
	child->sock = pair[0];
	return child->pid < 0 ? bv_neg_errno() : 0;
}

static int wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = poll(&p, 1, PROBE_MS);

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : bv_neg_errno();
}

/* The child reports with one int: 0, or a negative errno. */
static int child_result(const Child *child)
{
	int result, r = wait_readable(child->sock);

	if (r < 0)
		return r;
	return recv(child->sock, &result, sizeof(result), 0) == (ssize_t)sizeof(result) ? result : -ECHILD;
}

static void tell(int sock, int result)
{
	if (send(sock, &result, sizeof(result), MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* ---- filters ---- */

/* Notifies getppid(SENTINEL), allows everything else. */
static int install_filter(unsigned long flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SENTINEL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &program);
	return fd < 0 ? -errno : (int)fd;
}

static void send_listener(int sock, int listener)
{
	if (bv_send_fds(sock, &listener, sizeof(listener), &listener, listener >= 0, FDPASS_PATIENCE) < 0)
		_exit(1);
}

static int receive_listener(const Child *child)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	int result = 0, fd = -1, r = wait_readable(child->sock);
	struct iovec iov = {&result, sizeof(result)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};

	if (r < 0)
		return r;
	if (recvmsg(child->sock, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(result))
		return -ECHILD;
	if (result < 0)
		return result;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Installs the filter, hands the listener over, makes the call that is notified, reports what it returned. */
static void notified_child(int sock, unsigned long flags)
{
	int listener = install_filter(flags);
	long answer;

	send_listener(sock, listener);
	if (listener < 0)
		return;
	close(listener);
	answer = syscall(__NR_getppid, SENTINEL);
	tell(sock, answer < 0 ? -errno : (int)answer);
}

static int start_notified(Child *child, unsigned long flags, int *listener)
{
	int r = child_start(child, notified_child, flags);

	if (r == 0)
		r = receive_listener(child);
	if (r < 0)
		return r;
	*listener = r;
	return 0;
}

static int receive_notification(int listener, uint64_t *id)
{
	struct seccomp_notif req = {0};
	int r = wait_readable(listener);

	if (r < 0)
		return r;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
		return bv_neg_errno();
	*id = req.id;
	return req.data.nr == __NR_getppid ? 0 : -EPROTO;
}

static int answer_notification(const Child *child, int listener)
{
	struct seccomp_notif_resp resp = {.val = 4711};
	uint64_t id = 0;
	int r = receive_notification(listener, &id);

	if (r < 0)
		return r;
	resp.id = id;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0)
		return bv_neg_errno();
	r = child_result(child);
	return r == 4711 ? 0 : r < 0 ? r : -EPROTO;
}

static int notify_with(unsigned long filter_flags, unsigned long fd_flags)
{
	CLEAN_CHILD Child child = {.sock = -1};
	CLEAN_FD int listener = -1;
	int r = start_notified(&child, filter_flags, &listener);

	if (r == 0 && fd_flags && ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, fd_flags) < 0)
		r = bv_neg_errno();
	return r < 0 ? r : answer_notification(&child, listener);
}

int probe_notify(const ProbeContext *ctx, char **remark)
{
	(void)ctx;
	(void)remark;
	return notify_with(0, 0);
}

int probe_sync_wakeup(const ProbeContext *ctx, char **remark)
{
	(void)ctx;
	(void)remark;
	return notify_with(0, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

int probe_wait_killable(const ProbeContext *ctx, char **remark)
{
	(void)ctx;
	(void)remark;
	return notify_with(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0);
}

/* The child's answer is the number of a descriptor; it must be open on the object that was sent. */
int probe_addfd(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	CLEAN_FD int listener = -1;
	CLEAN_FD int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t id = 0;
	int r = file < 0 ? bv_neg_errno() : start_notified(&child, 0, &listener);

	(void)ctx;
	(void)remark;
	if (r == 0)
		r = receive_notification(listener, &id);
	if (r < 0)
		return r;
	struct seccomp_notif_addfd add = {.id = id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (unsigned)file, .newfd_flags = O_CLOEXEC};
	int sent = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	if (sent < 0)
		return bv_neg_errno();
	r = child_result(&child);
	return r == sent ? 0 : r < 0 ? r : -EPROTO;
}

static void no_new_privs_child(int sock, unsigned long arg)
{
	(void)arg;
	tell(sock, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0);
}

int probe_no_new_privs(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	int r = child_start(&child, no_new_privs_child, 0);

	(void)ctx;
	(void)remark;
	return r < 0 ? r : child_result(&child);
}

/* Tells from inside of the namespace, which ends with it. */
static void pidns_child(int sock, unsigned long arg)
{
	const char *what = NULL;
	Pidns ns;

	(void)arg;
	tell(sock, pidns_enter(&ns, &what));
}

int probe_pidns(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	int r = child_start(&child, pidns_child, 0);

	(void)ctx;
	(void)remark;
	return r < 0 ? r : child_result(&child);
}

/* ---- looking at a child ---- */

/* Says that it is there, then waits to be killed. */
static void sleeping_child(int sock, unsigned long arg)
{
	(void)arg;
	tell(sock, 0);
	for (;;)
		pause();
}

static int start_sleeping(Child *child)
{
	int r = child_start(child, sleeping_child, 0);

	return r < 0 ? r : child_result(child);
}

static volatile const uint32_t sentinel = SENTINEL; /* at the same address in the child */

int probe_proc_mem(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	int r = start_sleeping(&child);
	char path[64];
	uint32_t seen = 0;

	(void)ctx;
	(void)remark;
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)child.pid);
	CLEAN_FD int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	if (pread(fd, &seen, sizeof(seen), (off_t)(uintptr_t)&sentinel) != (ssize_t)sizeof(seen))
		return bv_neg_errno();
	return seen == SENTINEL ? 0 : -EIO;
}

int probe_ptrace(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	int status, r = start_sleeping(&child);

	(void)ctx;
	(void)remark;
	if (r < 0)
		return r;
	if (ptrace(PTRACE_SEIZE, child.pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, child.pid, 0, 0) < 0)
		return bv_neg_errno();
	while ((r = waitpid(child.pid, &status, __WALL)) < 0 && errno == EINTR)
		;
	if (r < 0)
		return bv_neg_errno();
	if (!WIFSTOPPED(status))
		return -EPROTO;
	return ptrace(PTRACE_DETACH, child.pid, 0, 0) < 0 ? bv_neg_errno() : 0;
}

int probe_pidfd_getfd(const ProbeContext *ctx, char **remark)
{
	CLEAN_CHILD Child child = {.sock = -1};
	int r = start_sleeping(&child);

	(void)ctx;
	(void)remark;
	if (r < 0)
		return r;
	CLEAN_FD int pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	if (pidfd < 0)
		return bv_neg_errno();
	CLEAN_FD int fd = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	return fd < 0 ? bv_neg_errno() : 0;
}
