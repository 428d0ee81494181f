/* supervisor/pidns.h - the sandbox in a pid namespace of its own (--pidns), where one may be made.
 *
 * The supervisor itself is process 1 of it: so all numbers of processes that it gets, gives and looks at are those of guests, and its end is the end of all of them. */
#ifndef SUPERVISOR_PIDNS_H
#define SUPERVISOR_PIDNS_H

#include "supervisor/supervisor.h"

#include <cjson/cJSON.h>

/* Goes on in a new pid namespace if the request for the start asks for one; else, or if it cannot be had and need not (sup->pidns_warning), as it is. There are no threads yet, and nothing of the
 * request's that a fork would wipe (base/secret.h). Sets sup->pid and sup->host_proc. -EPERM, and those of pidns_enter, with *err. */
int pidns_start(Supervisor *sup, const cJSON *request, char **err) MUST_CHECK;

#endif
