/* supervisor/server.h - the supervisor's main thread: control connections, init's events, listeners that ended, ticks. */
#ifndef SUPERVISOR_SERVER_H
#define SUPERVISOR_SERVER_H

#include "supervisor/supervisor.h"

/* A `stop` that waits for its answer; client is -1 when there is none. */
typedef struct StopRequest {
	int client;
	double seq;
} StopRequest;

/* Serves until told to stop, or until no client and no command is left; all guests are dead then. first_fd is the first control connection, where
 * "start" was answered already; it is taken over. SANDBOXDIR/control.sock is made after the first request. */
void server_run(Supervisor *sup, int first_fd, StopRequest *stop);
/* result: 0 or a negative errno of what was done since. */
void server_answer_stop(const StopRequest *stop, int result);

#endif
