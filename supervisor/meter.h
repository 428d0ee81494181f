/* supervisor/meter.h - memory and tasks of the guests, counted by the supervisor where no control group does it.
 *
 * Tasks: each clone is asked for before it happens. It may, as long as an upper bound (the last count and what was allowed since) is below the limit; then tasks
 * are counted again. A clone that was allowed and has not happened yet cannot be counted, so what was allowed within RECENT_NS is added, and who would be refused for that alone waits.
 *
 * Memory: a thread looks again and again, the sooner the less is left, and kills the largest processes when together they have more. Counted is what is anonymous or
 * shared memory, each page once (Pss), with what is in swap, and memfds that nobody has mapped; not what can be dropped (files).
 * So unlike a control group it acts some milliseconds late: who allocates with 4 GB/s has some 20 MiB more for that moment. */
#ifndef SUPERVISOR_METER_H
#define SUPERVISOR_METER_H

#include "base/util.h"

typedef struct Supervisor Supervisor;
typedef struct Meter Meter;

/* 0: not to be counted. */
int meter_new(Supervisor *sup, uint64_t memory, uint64_t pids, Meter **out) MUST_CHECK;
void meter_free(Meter *meter); /* NULL is allowed */

/* May a guest make a task more? 0, -EAGAIN; -EINPROGRESS (not with may_block): to be asked where it may wait. Any thread; NULL: yes. */
int meter_may_clone(Meter *meter, bool may_block) MUST_CHECK;
void meter_note_spawn(Meter *meter); /* a task has come without being asked for; NULL is allowed */
/* Looks at the memory once. In how many milliseconds it is to be done again. */
unsigned meter_look(Meter *meter);

typedef struct MeterCounts {
	uint64_t memory_peak, memory_hits; /* bytes that were seen; processes that were killed */
	uint64_t pids_peak, pids_hits;	   /* hits: clones that were refused */
} MeterCounts;
void meter_counts(Meter *meter, MeterCounts *out);

#endif
