/* ptrace.c - rewriting a call in flight (design section 5). The thread waits for our answer; it is seized, answered with an error, stops
 * before it returns to user space, gets new registers and arguments, and is let go: the call comes in again and is recognised.
 *
 * The arguments lie below the thread's stack pointer (also right under vfork, where the stack is the parent's: the space below sp is
 * free), or, when they are large, in a private mapping that the thread is made to create first.
 *
 * The same way delivers O_PATH descriptors, which SECCOMP_IOCTL_NOTIF_ADDFD refuses (it uses fget): a socket is added instead, and the stopped
 * thread receives the descriptor from it with recvmsg. Another thread may spoil that buffer; it only harms its own process. */
#include "base/fdpass.h"
#include "supervisor/call.h"
#include "supervisor/freeze.h"
#include "supervisor/kernel.h"
#include "supervisor/native_args.h"
#include "supervisor/regs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RED_ZONE 512	   /* below sp: leaf functions and signal frames of the interrupted code */
#define BELOW_STACK_MAX 3072 /* more goes to a mapping: the stack may end soon */

static int wait_stop(pid_t tid, int *status)
{
	for (;;) {
		if (waitpid(tid, status, __WALL) == tid)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (errno != EINTR)
			return bv_neg_errno();
	}
}

/* Lets a stopped thread run up to its next system call border. A signal met on the way is kept for the detach. */
static int step_syscall(pid_t tid, int *pending_sig)
{
	int status, r;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0)
			return bv_neg_errno();
		r = wait_stop(tid, &status);
		if (r < 0)
			return r;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		if ((status >> 16) == 0)
			*pending_sig = WSTOPSIG(status);
	}
}

/* Runs one system call in the stopped thread; the registers of the stop are left to the caller to put back. */
static int inject(pid_t tid, const Regs *at_stop, long nr, const uint64_t args[6], uint64_t *result, int *pending_sig)
{
	Regs r = *at_stop;
	int rc;

	regs_set_call(&r, nr, args);
	if (regs_put(tid, &r) < 0)
		return bv_neg_errno();
	rc = step_syscall(tid, pending_sig); /* entry */
	if (rc == 0)
		rc = step_syscall(tid, pending_sig); /* exit */
	if (rc < 0)
		return rc;
	if (regs_get(tid, &r) < 0)
		return bv_neg_errno();
	*result = regs_result(&r);
	return *result > (uint64_t)-4096 ? (int)(int64_t)*result : 0;
}

static int inject_mmap(pid_t tid, const Regs *at_stop, size_t len, uint64_t *addr, int *pending_sig)
{
	const uint64_t args[6] = {0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};

	return inject(tid, at_stop, SYS_mmap, args, addr, pending_sig);
}

/* Lets the thread go. One that was killed meanwhile can no longer be detached: it is reaped, as its parent (or the exec of another thread that
 * waits for its end) sees nothing of it while it is traced. */
void thread_detach(pid_t tid, int sig)
{
	int status;

	if (ptrace(PTRACE_DETACH, tid, 0, sig) == 0 || errno != ESRCH)
		return;
	while (waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status))
		if (ptrace(PTRACE_DETACH, tid, 0, sig) == 0)
			return;
}

/* After stop_thread. */
static void detach(Call *call, int sig)
{
	thread_detach(call->tid, sig);
	gate_leave(call->sup);
}

/* The data as it will lie at `base`. */
static char *relocated(const Rewrite *rw, uint64_t base)
{
	char *copy = malloc(rw->len);

	if (!copy)
		return NULL;
	memcpy(copy, rw->data, rw->len);
	for (size_t i = 0; i < rw->n_relocs; i++) {
		uint64_t word;
		memcpy(&word, copy + rw->relocs[i], sizeof word);
		word += base;
		memcpy(copy + rw->relocs[i], &word, sizeof word);
	}
	return copy;
}

static int place_data(Call *call, const Rewrite *rw, uint64_t base, char **placed)
{
	CLEAN_FREE char *copy = relocated(rw, base);

	if (!copy)
		return -ENOMEM;
	int r = mem_write(call, base, copy, rw->len);
	if (r == 0) {
		free(*placed);
		*placed = TAKE_PTR(copy);
	}
	return r;
}

static int rewrite_stopped(Call *call, const Rewrite *rw, int *pending_sig)
{
	CLEAN_FREE char *placed = NULL;
	uint64_t base, args[6];
	Regs regs;
	int r;

	if (regs_get(call->tid, &regs) < 0)
		return bv_neg_errno();
	if (rw->len <= BELOW_STACK_MAX) {
		base = (regs_sp(&regs) - RED_ZONE - rw->len) & ~15ULL;
		r = place_data(call, rw, base, &placed);
	} else {
		r = -EFAULT;
	}
	if (r == -EFAULT) {
		r = inject_mmap(call->tid, &regs, rw->len, &base, pending_sig);
		if (r == 0)
			r = place_data(call, rw, base, &placed);
	}
	if (r < 0)
		return r;
	for (int i = 0; i < 6; i++)
		args[i] = rw->args[i] + ((rw->arg_offsets >> i) & 1 ? base : 0);
	task_expect(call, rw->nr, args, base, placed, rw->len);
	regs_set_call(&regs, rw->nr, args);
	return regs_put(call->tid, &regs) < 0 ? bv_neg_errno() : 0;
}

/* Is it one of those that a freeze (freeze.h) has seized and not let go yet, as it waits for our answer? */
static bool is_frozen(const Call *call)
{
	static const char key[] = "\nTracerPid:";
	CLEAN_FREE char *text = NULL;
	char path[40];

	snprintf(path, sizeof path, "%d/status", (int)call->tid);
	if (bv_read_file_at(call->sup->proc_fd, path, 65536, &text) < 0)
		return false;
	const char *at = strstr(text, key);
	long tracer = at ? strtol(at + strlen(key), NULL, 10) : 0;
	snprintf(path, sizeof path, "self/task/%ld", tracer);
	return tracer > 0 && faccessat(call->sup->proc_fd, path, F_OK, 0) == 0;
}

/* Seizes the thread while it waits for our answer; then stop_seized follows. 0, CALL_REPLIED, or a negative errno to answer with. One that is still frozen makes the call
 * again: it was interrupted, so that it stops with our answer, and the kernel looks at that one before it goes on. */
static int seize_thread(Call *call)
{
	int r = 0;

	gate_enter(call->sup);
	if (ptrace(PTRACE_SEIZE, call->tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		r = errno == ESRCH ? -ESRCH : -EACCES;
	if (r == -EACCES && is_frozen(call)) {
		call_answer(call, -ERESTARTSYS);
		r = CALL_REPLIED;
	}
	if (r != 0)
		gate_leave(call->sup);
	return r;
}

/* Answers with `value`, and has the thread stopped before it returns to user space. 0, CALL_REPLIED when it died meanwhile, or a negative errno to answer with. */
static int stop_seized(Call *call, int value)
{
	Regs regs;
	int status;

	if (ptrace(PTRACE_INTERRUPT, call->tid, 0, 0) < 0) { /* it is dying */
		detach(call, 0);
		return -EACCES;
	}
	atomic_store(&call->seized, true);
	bool there = call_answer(call, value);
	if (wait_stop(call->tid, &status) < 0) {
		gate_leave(call->sup);
		return CALL_REPLIED;
	}
	/* Without WAIT_KILLABLE_RECV the interruption takes it out of the call by itself; but a signal may have done so before. */
	if (there || (regs_get(call->tid, &regs) == 0 && regs_in_call(&regs, call->nr, call->ip, call->args)))
		return 0;
	detach(call, (status >> 16) == 0 ? WSTOPSIG(status) : 0);
	return CALL_REPLIED; /* it makes it again after the handler */
}

static int stop_thread(Call *call, int value)
{
	int r = seize_thread(call);

	return r == 0 ? stop_seized(call, value) : r;
}

int call_rewrite(Call *call, const Rewrite *rw)
{
	int pending_sig = 0;
	int r = stop_thread(call, -ENOSYS);

	if (r < 0)
		return r;
	r = rewrite_stopped(call, rw, &pending_sig);
	if (r < 0) { /* the call returns this error instead of ENOSYS */
		Regs regs;
		if (regs_get(call->tid, &regs) == 0) {
			regs_set_result(&regs, r);
			regs_put(call->tid, &regs);
		}
	}
	detach(call, pending_sig);
	return CALL_REPLIED;
}

/* ERESTARTSYS is meant for the kernel, which looks at it only on its way through signal delivery. A signal for the process may be another thread's,
 * and then the guest would see the number: the trap sends the thread that way in any case, and without a signal the call is made again. */
int call_restart(Call *call)
{
	int r = stop_thread(call, -ERESTARTSYS);

	if (r == 0)
		detach(call, 0);
	return r < 0 ? r : CALL_REPLIED;
}

/* ---- a duplicate of a guest's descriptor without pidfd_getfd ---- */

struct Held {
	Regs regs;
	int pending_sig;
	int channel;   /* the guest's end of a socket pair, its number there */
	int our_end;
};

typedef struct RightsMessage {
	struct msghdr hdr;
	struct iovec iov;
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
} RightsMessage;

/* The stopped thread sends its descriptor through `channel`, a socket that it was just given. Whatever its other threads do to that message
 * meanwhile, what arrives is a descriptor of the guest's own. */
static int send_fd_from(Call *call, int guest_fd)
{
	RightsMessage m = {.hdr = {.msg_iovlen = 1, .msg_controllen = sizeof m.control}, .iov = {.iov_len = 1}};
	struct cmsghdr *c = (struct cmsghdr *)(void *)m.control;
	uint64_t base = (regs_sp(&call->held->regs) - RED_ZONE - sizeof m) & ~15ULL, result;

	m.hdr.msg_iov = (void *)(uintptr_t)(base + offsetof(RightsMessage, iov));
	m.hdr.msg_control = (void *)(uintptr_t)(base + offsetof(RightsMessage, control));
	m.iov.iov_base = (void *)(uintptr_t)(base + offsetof(RightsMessage, byte));
	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(c), &guest_fd, sizeof guest_fd);
	int r = mem_write(call, base, &m, sizeof m);
	if (r < 0)
		return r;
	const uint64_t args[6] = {(uint64_t)call->held->channel, base, MSG_NOSIGNAL | MSG_DONTWAIT};
	task_expect(call, SYS_sendmsg, args, base, &m, sizeof m);
	return inject(call->tid, &call->held->regs, SYS_sendmsg, args, &result, &call->held->pending_sig);
}

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int fd;

	if (recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -EBADF;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd))
		return -EBADF;
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static int hold(Call *call)
{
	CLEAN_FREE struct Held *held = calloc(1, sizeof *held);
	CLEAN_FD int ours = -1;
	CLEAN_FD int theirs = -1;
	int sv[2];

	if (!held)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return bv_neg_errno();
	ours = sv[0];
	theirs = sv[1];
	int r = seize_thread(call);
	if (r < 0)
		return r;
	held->channel = call_give_fd(call, theirs, true);
	r = stop_seized(call, held->channel < 0 ? held->channel : -ENOSYS); /* answers the notification, so only now may call->held be set */
	if (r == 0 && (held->channel < 0 || regs_get(call->tid, &held->regs) < 0)) {
		detach(call, 0);
		r = CALL_REPLIED;
	}
	if (r < 0)
		return r;
	held->our_end = TAKE_FD(ours);
	call->held = TAKE_PTR(held);
	return 0;
}

int call_take_fd(Call *call, int guest_fd)
{
	if (!call->req.may_block) /* the message passes the filter: another thread must be there to let it */
		return CALL_SLOW;
	int r = call->held ? 0 : hold(call);
	if (r == 0) /* the channel's number is none that the guest has */
		r = guest_fd == call->held->channel ? -EBADF : send_fd_from(call, guest_fd);
	return r < 0 ? r : receive_fd(call->held->our_end);
}

/* Lets the held thread go with this result; the channel in it is closed or in use otherwise. */
static void end_hold(Call *call, int64_t value)
{
	regs_set_result(&call->held->regs, value);
	regs_put(call->tid, &call->held->regs);
	detach(call, call->held->pending_sig);
	close(call->held->our_end);
	free(call->held);
	call->held = NULL;
}

void call_release_held(Call *call, int64_t value)
{
	const uint64_t args[6] = {(uint64_t)call->held->channel};
	uint64_t result;

	IGNORE_RESULT(inject(call->tid, &call->held->regs, SYS_close, args, &result, &call->held->pending_sig)); /* fails only with the thread */
	end_hold(call, value);
}

/* ---- descriptors that ADDFD does not take ---- */

/* What the guest's recvmsg works on, as it lies in its memory. */
struct GuestMessage {
	struct msghdr msg;
	struct iovec io;
	char byte[8];
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
};

/* A socket from which the guest can receive `fd`. */
static int mail_fd(int fd, int patience)
{
	CLEAN_FD int near = -1;
	CLEAN_FD int far = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_neg_errno();
	near = pair[0];
	far = pair[1];
	int r = bv_send_fds(near, "", 1, &fd, 1, patience);
	return r < 0 ? r : TAKE_FD(far);
}

/* Lets the stopped thread receive the descriptor; its number, or a negative errno. */
static int receive_stopped(Call *call, const Regs *at_stop, int sock, bool cloexec, int *pending_sig)
{
	struct GuestMessage m = {.msg = {.msg_iovlen = 1, .msg_controllen = sizeof m.control}, .io = {.iov_len = 1}};
	uint64_t base = (regs_sp(at_stop) - RED_ZONE - sizeof m) & ~15ULL, n;
	int fd = -1;

	m.msg.msg_iov = (void *)(uintptr_t)(base + offsetof(struct GuestMessage, io));
	m.msg.msg_control = (void *)(uintptr_t)(base + offsetof(struct GuestMessage, control));
	m.io.iov_base = (void *)(uintptr_t)(base + offsetof(struct GuestMessage, byte));
	int r = mem_write(call, base, &m, sizeof m);
	const uint64_t args[6] = {(uint64_t)sock, base, RECV_NATIVE | (cloexec ? MSG_CMSG_CLOEXEC : 0), 0, 0, 0};
	if (r == 0)
		r = inject(call->tid, at_stop, SYS_recvmsg, args, &n, pending_sig);
	if (r == 0)
		r = mem_read(call, base, &m, sizeof m);
	if (r < 0)
		return r;
	if (m.msg.msg_controllen < CMSG_LEN(sizeof fd) || m.control.head.cmsg_type != SCM_RIGHTS)
		return -EMFILE; /* the limit left room for one descriptor, the socket's */
	memcpy(&fd, CMSG_DATA(&m.control.head), sizeof fd);
	return fd;
}

/* The socket took the lowest free number, which is the one that the guest must see: the descriptor moves there. */
static int64_t deliver_stopped(Call *call, const Regs *at_stop, int sock, bool cloexec, int *pending_sig)
{
	uint64_t n;
	int fd = receive_stopped(call, at_stop, sock, cloexec, pending_sig);

	if (fd >= 0) {
		const uint64_t move[6] = {(uint64_t)fd, (uint64_t)sock, cloexec ? O_CLOEXEC : 0, 0, 0, 0};
		int r = inject(call->tid, at_stop, SYS_dup3, move, &n, pending_sig);
		const uint64_t surplus[6] = {(uint64_t)fd, 0, 0, 0, 0, 0};
		int closed = inject(call->tid, at_stop, SYS_close, surplus, &n, pending_sig);
		return r < 0 ? r : closed < 0 ? closed : sock;
	}
	const uint64_t surplus[6] = {(uint64_t)sock, 0, 0, 0, 0, 0};
	(void)!inject(call->tid, at_stop, SYS_close, surplus, &n, pending_sig);
	return fd;
}

/* The notification was answered when the thread was held, so nothing can be added to it: the descriptor goes through the channel, and takes its number. */
int call_reply_held_fd(Call *call, int fd, bool cloexec)
{
	int64_t value = bv_send_fds(call->held->our_end, "", 1, &fd, 1, FDPASS_PATIENCE);

	if (value < 0) {
		call_release_held(call, value);
		return CALL_REPLIED;
	}
	value = deliver_stopped(call, &call->held->regs, call->held->channel, cloexec, &call->held->pending_sig);
	end_hold(call, value);
	return CALL_REPLIED;
}

int call_reply_path_fd(Call *call, int fd, bool cloexec)
{
	if (call->held)
		return call_reply_held_fd(call, fd, cloexec);
	CLEAN_FD int mail = mail_fd(fd, call->req.may_block ? FDPASS_PATIENCE : 0);
	int pending_sig = 0;
	Regs at_stop;

	if (mail < 0)
		return mail == -ETOOMANYREFS && !call->req.may_block ? CALL_SLOW : mail;
	int r = seize_thread(call); /* first, as what it was given would stay if it made the call again */
	if (r < 0)
		return r;
	int sock = call_give_fd(call, mail, true);
	r = stop_seized(call, sock < 0 ? sock : -ENOSYS);
	if (r != 0)
		return r;
	if (sock >= 0 && regs_get(call->tid, &at_stop) == 0) {
		int64_t value = deliver_stopped(call, &at_stop, sock, cloexec, &pending_sig);
		regs_set_result(&at_stop, value);
		regs_put(call->tid, &at_stop);
	}
	detach(call, pending_sig);
	return CALL_REPLIED;
}
