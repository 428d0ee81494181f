/* ptrace.c - rewriting a call in flight (design section 5). The thread waits for our answer; it is seized, answered with an error, stops
 * before it returns to user space, gets new registers and arguments, and is let go: the call comes in again and is recognised.
 *
 * The arguments lie below the thread's stack pointer (also right under vfork, where the stack is the parent's: the space below sp is
 * free), or, when they are large, in a private mapping that the thread is made to create first. */
#include "supervisor/call.h"
#include "supervisor/regs.h"

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

static int place_data(Call *call, const Rewrite *rw, uint64_t base)
{
	CLEAN_FREE char *copy = malloc(rw->len);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, rw->data, rw->len);
	for (size_t i = 0; i < rw->n_relocs; i++) {
		uint64_t word;
		memcpy(&word, copy + rw->relocs[i], sizeof word);
		word += base;
		memcpy(copy + rw->relocs[i], &word, sizeof word);
	}
	return mem_write(call, base, copy, rw->len);
}

static int rewrite_stopped(Call *call, const Rewrite *rw, int *pending_sig)
{
	uint64_t base, args[6];
	Regs regs;
	int r;

	if (regs_get(call->tid, &regs) < 0)
		return bv_neg_errno();
	if (rw->len <= BELOW_STACK_MAX) {
		base = (regs_sp(&regs) - RED_ZONE - rw->len) & ~15ULL;
		r = place_data(call, rw, base);
	} else {
		r = -EFAULT;
	}
	if (r == -EFAULT) {
		r = inject_mmap(call->tid, &regs, rw->len, &base, pending_sig);
		if (r == 0)
			r = place_data(call, rw, base);
	}
	if (r < 0)
		return r;
	for (int i = 0; i < 6; i++)
		args[i] = rw->args[i] + ((rw->arg_offsets >> i) & 1 ? base : 0);
	task_expect(call, rw->nr, args);
	regs_set_call(&regs, rw->nr, args);
	return regs_put(call->tid, &regs) < 0 ? bv_neg_errno() : 0;
}

/* Seizes the thread while it waits for our answer, answers, and has it stopped before it returns to user space. 0, CALL_REPLIED when it died
 * meanwhile, or a negative errno to answer with. */
static int stop_thread(Call *call)
{
	int status;

	if (ptrace(PTRACE_SEIZE, call->tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		return errno == ESRCH ? -ESRCH : -EACCES;
	if (ptrace(PTRACE_INTERRUPT, call->tid, 0, 0) < 0) {
		ptrace(PTRACE_DETACH, call->tid, 0, 0);
		return -EACCES;
	}
	call_answer(call, -ENOSYS); /* also when the guest is gone: then the wait says so */
	return wait_stop(call->tid, &status) < 0 ? CALL_REPLIED : 0;
}

int call_rewrite(Call *call, const Rewrite *rw)
{
	int pending_sig = 0;
	int r = stop_thread(call);

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
	ptrace(PTRACE_DETACH, call->tid, 0, pending_sig);
	return CALL_REPLIED;
}

/* ---- a duplicate of a guest's descriptor without pidfd_getfd ---- */

struct Held {
	Regs regs;
	int pending_sig;
};

typedef struct RightsMessage {
	struct msghdr hdr;
	struct iovec iov;
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
} RightsMessage;

/* The stopped thread sends its descriptor through `channel`, a socket that it was just given. Whatever its other threads do to that message
 * meanwhile, what arrives is a descriptor of the guest's own. */
static int send_fd_from(Call *call, int channel, int guest_fd)
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
	const uint64_t send_args[6] = {(uint64_t)channel, base, MSG_NOSIGNAL | MSG_DONTWAIT};
	const uint64_t close_args[6] = {(uint64_t)channel};
	task_expect(call, SYS_sendmsg, send_args);
	r = inject(call->tid, &call->held->regs, SYS_sendmsg, send_args, &result, &call->held->pending_sig);
	int closed = inject(call->tid, &call->held->regs, SYS_close, close_args, &result, &call->held->pending_sig);
	return r < 0 ? r : closed;
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

int call_take_fd(Call *call, int guest_fd)
{
	int sv[2];

	if (!call->req.may_block) /* the message passes the filter: another thread must be there to let it */
		return CALL_SLOW;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return bv_neg_errno();
	int channel = call_give_fd(call, sv[1]);
	close(sv[1]);
	int r = channel;
	if (r >= 0 && !call->held) {
		call->held = calloc(1, sizeof *call->held);
		r = call->held ? stop_thread(call) : -ENOMEM;
		if (r == 0 && regs_get(call->tid, &call->held->regs) < 0)
			r = CALL_REPLIED;
		if (r < 0) {
			free(call->held);
			call->held = NULL;
		}
	}
	if (r >= 0)
		r = send_fd_from(call, channel, guest_fd);
	if (r >= 0 || r == -EBADF)
		r = receive_fd(sv[0]);
	close(sv[0]);
	return r;
}

void call_release_held(Call *call, int64_t value)
{
	regs_set_result(&call->held->regs, value);
	regs_put(call->tid, &call->held->regs);
	ptrace(PTRACE_DETACH, call->tid, 0, call->held->pending_sig);
	free(call->held);
	call->held = NULL;
}
