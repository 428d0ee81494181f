/* supervisor/notify_internal.h - shared by notify.c and workers.c. */
#ifndef SUPERVISOR_NOTIFY_INTERNAL_H
#define SUPERVISOR_NOTIFY_INTERNAL_H

#include "supervisor/call.h"
#include "supervisor/notify.h"

struct Listener {
	Supervisor *sup;
	int fd;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint in_flight; /* calls handed to workers; listener_stop waits for them */
	FILE *trace;
	/* Only of the receiver thread: who called last, how often in a row, and for how many calls it has been bound to a processor (0: it is not). */
	pid_t caller;
	unsigned in_a_row, bound_calls;
};

/* Runs the handler and answers. May be called on a worker (call->req.may_block). */
void call_run(Call *call);
/* The line of the call in the trace, if there is one. */
void call_trace(const Call *call, int64_t value);
/* Queues a copy of the call. 0, or negative errno (then answer with that). */
int workers_submit(WorkerPool *pool, const Call *call);
/* Only without WAIT_KILLABLE_RECV: a signal has ended an earlier call of the thread, and a worker still waits in its place. The new call is
 * to be submitted; it is handled when the other has ended, so that the thread does not meet itself in a FIFO. */
bool workers_has_stale(WorkerPool *pool, const Call *call);

#endif
