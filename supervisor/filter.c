/* filter.c - the filter as a binary search over the call numbers: a list of breakpoints "from this number on: this action".
 *
 * Written out by ourselves because building the same program with libseccomp takes 2.3 ms at each start, half of what a start may cost;
 * tests/unit/test_filter.c builds it with libseccomp too and compares the verdicts of both for every number and argument. */
#include "supervisor/filter.h"
#include "supervisor/kernel.h"
#include "supervisor/table.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif
#define X32_BIT 0x40000000u /* x86_64: the third calling convention; no row has such a number */
#define MAX_NR 1024
#define MAX_INSNS 4096 /* BPF_MAXINSNS */

typedef struct Program {
	struct sock_filter insn[MAX_INSNS];
	unsigned n;
	bool overflow;
} Program;

/* From `nr` on: NULL is notify, else the row (native, or native under its argument condition). */
typedef struct Break {
	unsigned nr;
	const Syscall *row;
} Break;

static unsigned emit(Program *p, unsigned code, uint32_t k, unsigned jt, unsigned jf)
{
	if (p->n == MAX_INSNS) {
		p->overflow = true;
		return 0;
	}
	p->insn[p->n] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
	return p->n++;
}

static void emit_ret(Program *p, uint32_t action)
{
	emit(p, BPF_RET | BPF_K, action, 0, 0);
}

static void emit_load(Program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Jumps to what follows an alternative that does not hold. */
typedef struct Misses {
	unsigned at[8], n;
} Misses;

/* Little endian: the low word comes first. */
static void emit_word_equal(Program *p, unsigned arg, unsigned word, uint32_t mask, uint32_t value, Misses *m)
{
	emit_load(p, offsetof(struct seccomp_data, args) + 8 * arg + 4 * word);
	if (mask != UINT32_MAX)
		emit(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
	if (m->n == ARRAY_LEN(m->at))
		p->overflow = true;
	else
		m->at[m->n++] = emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
}

static void emit_alternative(Program *p, const ArgNative *a, Misses *m)
{
	for (; a->also; a = a->also)
		emit_word_equal(p, a->arg, 0, (uint32_t)a->mask, (uint32_t)a->values[0], m);
	if (a->mask >> 32) { /* a 64-bit comparison with one value: both words must agree */
		emit_word_equal(p, a->arg, 1, (uint32_t)(a->mask >> 32), (uint32_t)(a->values[0] >> 32), m);
		emit_word_equal(p, a->arg, 0, (uint32_t)a->mask, (uint32_t)a->values[0], m);
		emit_ret(p, SECCOMP_RET_ALLOW);
		return;
	}
	emit_load(p, offsetof(struct seccomp_data, args) + 8 * a->arg);
	if (a->mask != UINT32_MAX)
		emit(p, BPF_ALU | BPF_AND | BPF_K, (uint32_t)a->mask, 0, 0);
	for (unsigned i = 0; i < a->count; i++) {
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)a->values[i], 0, 1);
		emit_ret(p, SECCOMP_RET_ALLOW);
	}
}

static void emit_condition(Program *p, const ArgNative *a)
{
	for (; a; a = a->otherwise) {
		Misses m = {.n = 0};
		emit_alternative(p, a, &m);
		for (unsigned i = 0; i < m.n; i++)
			p->insn[m.at[i]].k = p->n - m.at[i] - 1;
	}
	emit_ret(p, SECCOMP_RET_USER_NOTIF);
}

static void emit_action(Program *p, const Syscall *row)
{
	if (!row)
		emit_ret(p, SECCOMP_RET_USER_NOTIF);
	else if (!row->native)
		emit_ret(p, SECCOMP_RET_ALLOW);
	else
		emit_condition(p, row->native);
}

static void emit_tree(Program *p, const Break *b, unsigned from, unsigned to)
{
	if (to - from == 1) {
		emit_action(p, b[from].row);
		return;
	}
	unsigned mid = from + (to - from) / 2;
	emit(p, BPF_JMP | BPF_JGE | BPF_K, b[mid].nr, 0, 1);
	unsigned jump = emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_tree(p, b, from, mid);
	p->insn[jump].k = p->n - jump - 1;
	emit_tree(p, b, mid, to);
}

static bool same_action(const Syscall *a, const Syscall *b)
{
	return a == b || (a && b && !a->native && !b->native);
}

/* What the filter decides about a number by itself; NULL: notify. */
static const Syscall *filter_row(int nr, unsigned flags)
{
	static const Syscall native = {.policy = POLICY_NATIVE};
	const Syscall *row = syscall_find(nr);

	if (!row)
		return NULL;
	if (row->policy == POLICY_NATIVE || (row->where && !(flags & row->where)))
		return &native;
	return row->native ? row : NULL;
}

static unsigned collect_breaks(Break *b, unsigned flags)
{
	unsigned n = 0;

	for (unsigned nr = 0; nr < MAX_NR; nr++) {
		const Syscall *row = filter_row((int)nr, flags);
		if (n == 0 || !same_action(b[n - 1].row, row))
			b[n++] = (Break){nr, row};
	}
	return n;
}

int filter_build(unsigned flags, struct sock_filter **out, unsigned short *len)
{
	CLEAN_FREE Program *p = calloc(1, sizeof *p);
	CLEAN_FREE Break *breaks = calloc(MAX_NR, sizeof *breaks);
	CLEAN_FREE struct sock_filter *copy = NULL;

	if (!p || !breaks)
		return -ENOMEM;
	unsigned n = collect_breaks(breaks, flags);
	emit_load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
	emit_ret(p, SECCOMP_RET_ERRNO | ENOSYS);
	emit_load(p, offsetof(struct seccomp_data, nr));
	emit(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	emit_ret(p, SECCOMP_RET_ERRNO | ENOSYS);
	emit_tree(p, breaks, 0, n);
	if (p->overflow)
		return -E2BIG;
	copy = malloc(p->n * sizeof *copy);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p->insn, p->n * sizeof *copy);
	*len = (unsigned short)p->n;
	*out = TAKE_PTR(copy);
	return 0;
}
