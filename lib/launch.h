/* lib/launch.h - starting the supervisor process of a sandbox, and reaching one that runs. */
#ifndef LIB_LAUNCH_H
#define LIB_LAUNCH_H

#include "lib/conn.h"

/* Connects to SANDBOXDIR/control.sock. -ESRCH: nobody serves it. */
int launch_connect(int dirfd, Conn **out) MUST_CHECK;
/* Starts a supervisor for the sandbox and sends `start`. -EAGAIN: another one has it already (connect instead); -ENOENT: the program is
 * not found; else what the supervisor said. */
int launch_supervisor(BvSandbox *sb, Conn **out, BvError **err) MUST_CHECK;
/* Starts a program of bvisor's in the background, no child of ours, with one more variable of the environment, its output in `log`, and `fd` (-1: none) as LAUNCH_FD. -ENOENT: it is not found. */
#define LAUNCH_FD 3
int launch_program(const char *name, const char *const *argv, const char *variable, const char *log, int fd, BvError **err) MUST_CHECK;

#endif
