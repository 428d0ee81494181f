/* supervisor/table.h - every system call of Linux, one row each: what happens to it and why. The seccomp filter, the dispatch, the names in
 * the trace, the list in the docs and the test "every row has a guest test" derive from these rows. A call without a row is
 * answered with ENOSYS and counted (invariant 7). */
#ifndef SUPERVISOR_TABLE_H
#define SUPERVISOR_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct Call;

/* Kinds of sandboxes. */
enum {
	FILTER_ROOT = 1, /* the supervisor is root, or guests see themselves as root (virtual credentials) */
	FILTER_NET = 2,	 /* the network is closed */
	FILTER_DISK = 4, /* the layer has a bound of bytes */
	FILTER_ALL = 7,
};

typedef enum CallPolicy {
	POLICY_NATIVE,	/* the kernel does it, unseen: no path in it, nothing outside the guest changes */
	POLICY_EMULATE, /* the handler answers (it may CONTINUE what it has checked by value) */
	POLICY_REFUSE,	/* always `error`, counted */
} CallPolicy;

/* Of an emulated call, those with (argument & mask) equal to one of the values stay native: the filter itself decides, by value. If there is an `also`,
 * that must hold, too; such a one has one value, within the low 32 bits. Where it does not hold, an `otherwise` may. */
typedef struct ArgNative {
	unsigned arg;
	uint64_t mask;
	unsigned count;
	const uint64_t *values;
	const struct ArgNative *also, *otherwise;
} ArgNative;

enum {
	ONCE = 1,	   /* the arguments alone */
	ONCE_ADDRESS = 2,  /* the socket address at args[1] of args[2] bytes */
	ONCE_POSITION = 4, /* the position of the descriptor args[0] */
#define ONCE_STRING(i) (0x100U << (i)) /* the string at args[i] */
};

typedef struct Syscall {
	int nr;
	const char *name;
	CallPolicy policy;
	int error; /* POLICY_REFUSE */
	int (*handler)(struct Call *call);
	const ArgNative *native; /* NULL: every call is emulated */
	const char *reason; /* one clause: for the docs, the trace and the reader */
	unsigned where; /* emulated in sandboxes of this kind (FILTER_*) only, native elsewhere; 0: in all */
	unsigned once; /* ONCE*: an emulated call that must not be done twice, see task_note_late(); what tells two calls with equal arguments apart */
} Syscall;

extern const Syscall syscall_table[];
extern const size_t syscall_count;
/* NULL if there is no row. O(1) after the first use. */
const Syscall *syscall_find(int nr);

#endif
