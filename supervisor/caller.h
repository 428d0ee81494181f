/* supervisor/caller.h - who made the call: what req->caller points at in every request that the supervisor gives to cowfs.
 *
 * The struct lives on the handler's stack for the time of one call; nobody keeps it. */
#ifndef SUPERVISOR_CALLER_H
#define SUPERVISOR_CALLER_H

#include <sys/types.h>

struct Supervisor;

typedef struct SupCaller {
	pid_t tid, tgid;
	struct Supervisor *sup;
} SupCaller;

#endif
