/* supervisor/diskmeter.h - the part of the disk limit that cowfs cannot enforce: guests write to bodies through descriptors of their own.
 *
 * When the layer has more than it may, the process that writes to a growing body (it has it open for writing, or mapped shared, and has written something just now; all such, if none has) gets SIGXFSZ, as the
 * kernel sends it for a file that grows beyond RLIMIT_FSIZE; if it goes on for some milliseconds, SIGKILL. How much more there is then is what can be written in some milliseconds. */
#ifndef SUPERVISOR_DISKMETER_H
#define SUPERVISOR_DISKMETER_H

#include "base/util.h"

typedef struct Supervisor Supervisor;
typedef struct DiskMeter DiskMeter;

int diskmeter_new(Supervisor *sup, uint64_t limit, DiskMeter **out) MUST_CHECK;
void diskmeter_free(DiskMeter *meter); /* NULL is allowed */
/* Looks once. In how many milliseconds it is to be done again. One thread. */
unsigned diskmeter_look(DiskMeter *meter);
uint64_t diskmeter_stopped(DiskMeter *meter); /* how many processes were sent a signal; any thread */

#endif
