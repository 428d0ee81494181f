/* supervisor/freeze.h - all guests stand still for a moment, so that what they write natively into several files is kept as of one moment.
 *
 * Each guest thread is seized with ptrace and interrupted; none has to be told anything, and what it waits for is restarted by the kernel. A thread that waits
 * for our answer cannot be stopped, so no call is answered meanwhile (the gate). Where ptrace is refused, guests go on, and the caller is told. */
#ifndef SUPERVISOR_FREEZE_H
#define SUPERVISOR_FREEZE_H

#include "supervisor/supervisor.h"

typedef struct Frozen {
	pid_t *tids;
	int *stops; /* of each: -1, or its stop was collected: the signal that it met on the way, or 0 */
	size_t count, room;
} Frozen;

/* Stops them. True: nothing of theirs runs until guests_go. False: some may. guests_go follows in any case, soon, on the same thread. */
bool guests_stop(Supervisor *sup, Frozen *f);
/* Lets them go. Threads that could not be stopped yet stay in f: guests_collect from time to time until it says 0. */
void guests_go(Supervisor *sup, Frozen *f);
size_t guests_collect(Frozen *f);
void frozen_release(Frozen *f);

/* ---- the gate: around what lets a guest go on, and around each stop of a thread by a handler. May be nested. ---- */
void gate_enter(Supervisor *sup);
void gate_leave(Supervisor *sup);

#endif
