/* supervisor/run.h - the whole life of a supervisor process.
 *
 * It is a program of its own (main.c), or a fork of `bvisor`, which saves the time that an exec, the dynamic linker and the C library's look at
 * the processor take. Either way it starts with the control connection as descriptor 3, /dev/null or a log as 0 to 2, nothing else open,
 * no signal blocked, one thread, and a session of its own. */
#ifndef SUPERVISOR_RUN_H
#define SUPERVISOR_RUN_H

/* Serves one sandbox, then exits. */
_Noreturn void supervisor_run(void);

#endif
