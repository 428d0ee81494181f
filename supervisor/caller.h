/* supervisor/caller.h - who asks: what cowfs hands through to the foreign file systems as CowReq.caller. */
#ifndef SUPERVISOR_CALLER_H
#define SUPERVISOR_CALLER_H

#include <sys/types.h>

struct Supervisor;

typedef struct SupCaller {
	pid_t tid;
	pid_t tgid; /* 0: not looked up yet; read it through caller_tgid() */
	struct Supervisor *sup;
} SupCaller;

/* The thread-group id of the caller, looked up at the first use. 0 if the caller is gone. */
pid_t caller_tgid(SupCaller *caller);

#endif
