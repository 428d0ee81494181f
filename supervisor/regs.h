/* supervisor/regs.h - the registers of a stopped guest thread, for the two architectures. */
#ifndef SUPERVISOR_REGS_H
#define SUPERVISOR_REGS_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__)
typedef struct user_regs_struct Regs;
#define SYSCALL_INSN_LEN 2
static inline uint64_t regs_sp(const Regs *r)
{
	return r->rsp;
}
static inline uint64_t regs_result(const Regs *r)
{
	return r->rax;
}
static inline void regs_set_result(Regs *r, int64_t value)
{
	r->rax = (unsigned long)value;
}
/* Makes the thread execute its system call instruction again with these arguments. */
static inline void regs_set_call(Regs *r, long nr, const uint64_t a[6])
{
	r->rip -= SYSCALL_INSN_LEN;
	r->rax = (unsigned long)nr;
	r->orig_rax = (unsigned long)-1; /* no restart logic of the interrupted call */
	r->rdi = a[0];
	r->rsi = a[1];
	r->rdx = a[2];
	r->r10 = a[3];
	r->r8 = a[4];
	r->r9 = a[5];
}
/* Did the thread stop in, or on its way out of, this call? */
static inline bool regs_in_call(const Regs *r, int nr, uint64_t ip, const uint64_t a[6])
{
	return (int)r->orig_rax == nr && r->rip == ip && r->rdi == a[0] && r->rsi == a[1] && r->rdx == a[2] && r->r10 == a[3] && r->r8 == a[4] && r->r9 == a[5];
}
#elif defined(__aarch64__)
typedef struct user_regs_struct Regs;
#define SYSCALL_INSN_LEN 4
static inline uint64_t regs_sp(const Regs *r)
{
	return r->sp;
}
static inline uint64_t regs_result(const Regs *r)
{
	return r->regs[0];
}
static inline void regs_set_result(Regs *r, int64_t value)
{
	r->regs[0] = (uint64_t)value;
}
static inline void regs_set_call(Regs *r, long nr, const uint64_t a[6])
{
	r->pc -= SYSCALL_INSN_LEN;
	r->regs[8] = (uint64_t)nr;
	for (int i = 0; i < 6; i++)
		r->regs[i] = a[i];
}
static inline bool regs_in_call(const Regs *r, int nr, uint64_t ip, const uint64_t a[6])
{
	for (int i = 1; i < 6; i++) /* the first is the result by now */
		if (r->regs[i] != a[i])
			return false;
	return (int)r->regs[8] == nr && r->pc == ip;
}
#else
#error "bvisor supports x86_64 and aarch64"
#endif

static inline int regs_get(pid_t tid, Regs *r)
{
	struct iovec io = {r, sizeof *r};
	return ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &io) < 0 ? -1 : 0;
}
static inline int regs_put(pid_t tid, const Regs *r)
{
	struct iovec io = {(void *)(uintptr_t)r, sizeof *r};
	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &io) < 0 ? -1 : 0;
}

#endif
