/* supervisor/title.h - what ps(1) shows of this process: a name instead of the command line of the program that it is a fork of.
 *
 * init and what it forks are, until an exec, that program to whoever looks: other guests find its arguments and environment in /proc/PID/cmdline and environ. So
 * init takes the pages of both for its title, which overwrites them. No locking: for a process with one thread. */
#ifndef SUPERVISOR_TITLE_H
#define SUPERVISOR_TITLE_H

/* Wipes both. From now on they are not to be used: `environ` is empty. */
void title_take(void);
/* Sets the title, cut to what the arguments had room for, and the name of the thread (at most 15 bytes). Async-signal-safe. */
void title_set(const char *title);

#endif
