/* supervisor/notify.h - receiving notifications and answering each exactly once (invariant 8). */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include "supervisor/supervisor.h"

/* Takes the listener descriptor over and starts its receiver thread. `trace` (may be NULL) belongs to the caller and outlives the listener. */
int listener_start(Supervisor *sup, int fd, FILE *trace, Listener **out) MUST_CHECK;
/* The descriptor, to be polled for POLLHUP: then no guest uses this filter any more. */
int listener_fd(const Listener *listener);
/* Stops the thread and closes the descriptor: guests that are left get ENOSYS from now on. NULL is allowed. */
void listener_stop(Listener *listener);

/* Threads for calls that may wait. */
int workers_new(Supervisor *sup, WorkerPool **out) MUST_CHECK;
/* Interrupts calls whose guest is gone or has a signal to take. Returns how many calls are being worked on; call every few ms while > 0. */
size_t workers_tick(WorkerPool *pool);
/* Does this thread of a guest wait in a call that a worker has, or is to have? */
bool workers_has_thread(WorkerPool *pool, pid_t tid);
/* Readable when calls began to wait (the time to tick often), or a guest whose call waits has ended: time for a tick. */
int workers_event(const WorkerPool *pool);
/* Interrupts everything and joins. NULL is allowed. */
void workers_free(WorkerPool *pool);

#endif
