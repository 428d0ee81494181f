/* ptrace.c - rewriting a call in flight (design section 5). The thread waits for our answer; it is seized, answered with an error, stops
 * before it returns to user space, gets new registers and arguments, and is let go: the call comes in again and is recognised.
 *
 * The arguments lie below the thread's stack pointer (also right under vfork, where the stack is the parent's: the space below sp is
 * free), or, when they are large, in a private mapping that the thread is made to create first. */
#include "supervisor/call.h"
#include "supervisor/regs.h"

#include <sys/mman.h>
#include <sys/ptrace.h>
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

/* Runs one mmap in the stopped thread; regs are those of the stop and are left as they were. */
static int inject_mmap(pid_t tid, const Regs *at_stop, size_t len, uint64_t *addr, int *pending_sig)
{
	const uint64_t args[6] = {0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
	Regs r = *at_stop;
	int rc;

	regs_set_call(&r, SYS_mmap, args);
	if (regs_put(tid, &r) < 0)
		return bv_neg_errno();
	rc = step_syscall(tid, pending_sig); /* entry */
	if (rc == 0)
		rc = step_syscall(tid, pending_sig); /* exit */
	if (rc < 0)
		return rc;
	if (regs_get(tid, &r) < 0)
		return bv_neg_errno();
	uint64_t result = regs_result(&r);
	if (result > (uint64_t)-4096)
		return -(int)(-(int64_t)result);
	*addr = result;
	return 0;
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
	task_expect(call->sup, call->tid, rw->nr, args[0], NULL);
	regs_set_call(&regs, rw->nr, args);
	return regs_put(call->tid, &regs) < 0 ? bv_neg_errno() : 0;
}

int call_rewrite(Call *call, const Rewrite *rw)
{
	int status, pending_sig = 0;
	pid_t tid = call->tid;

	if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		return errno == ESRCH ? -ESRCH : -EACCES;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) {
		ptrace(PTRACE_DETACH, tid, 0, 0);
		return -EACCES;
	}
	call_answer(call, -ENOSYS); /* also when the guest is gone: then the wait below says so */
	if (wait_stop(tid, &status) < 0)
		return CALL_REPLIED;
	int r = rewrite_stopped(call, rw, &pending_sig);
	if (r < 0) { /* the call returns this error instead of ENOSYS */
		Regs regs;
		if (regs_get(tid, &regs) == 0) {
#if defined(__x86_64__)
			regs.rax = (unsigned long)(long)r;
#else
			regs.regs[0] = (uint64_t)(int64_t)r;
#endif
			regs_put(tid, &regs);
		}
	}
	ptrace(PTRACE_DETACH, tid, 0, pending_sig);
	return CALL_REPLIED;
}
