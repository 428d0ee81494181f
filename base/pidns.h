/* base/pidns.h - a pid namespace without a user namespace, for who may make one (CAP_SYS_ADMIN). */
#ifndef BASE_PIDNS_H
#define BASE_PIDNS_H

#include "base/util.h"

typedef struct Pidns {
	pid_t outside; /* our number in the namespace that we come from */
	int proc;      /* O_PATH on the /proc of that one, for looking at its processes; the caller's */
} Pidns;

/* Goes on as process 1 of a new pid namespace, in a session of its own and in a mount namespace of its own, where /proc shows the new namespace; the process that called ends, and has no other child to wait for.
 * Mounts that the host makes come into the new mount namespace where it hands them on (shared propagation), none goes out. The caller has one thread. Calls what may be called after a fork alone.
 * On failure it goes on as the process that it is, and *what says what could not be done: -EPERM, -EACCES (an LSM), -ENOSPC (as many as there may be), -EINVAL (the kernel has none), -ENOENT (no /proc). */
int pidns_enter(Pidns *out, const char **what) MUST_CHECK;

#endif
