/* supervisor/title.h - what ps(1) and bv_sandbox_ps show of this process: a name instead of the command line of the program that it is a fork of.
 *
 * init and what it forks are, until an exec, that program to whoever looks, with its arguments and its environment, in which there may be keys. Guests are not shown such a process in /proc (ProcRef.forked);
 * these wipe both all the same, and take the room of the arguments for a title. No locking: for a process with one thread. */
#ifndef SUPERVISOR_TITLE_H
#define SUPERVISOR_TITLE_H

/* Wipes both. From now on they are not to be used: `environ` is empty. */
void title_take(void);
/* Sets the title, cut to what the arguments had room for, and the name of the thread (at most 15 bytes). Async-signal-safe. */
void title_set(const char *title);

#endif
