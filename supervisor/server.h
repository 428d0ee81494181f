/* supervisor/server.h - the supervisor's main thread: control connections, init's events, listeners that ended, ticks. */
#ifndef SUPERVISOR_SERVER_H
#define SUPERVISOR_SERVER_H

#include "supervisor/supervisor.h"

/* Serves until told to stop, or until no client and no command is left. first_fd is the first control connection, where "start" was
 * answered already; listen_fd the socket of SANDBOXDIR/control.sock. Both are taken over. */
int server_run(Supervisor *sup, int first_fd, int listen_fd) MUST_CHECK;

#endif
