/* lib/spool.h - what a snapshot holds of the bodies that are here, so that they may go when room is needed and come again (cowfs/spool.c). */
#ifndef LIB_SPOOL_H
#define LIB_SPOOL_H

#include "lib/snapshot_moment.h"
#include "lib/snapshots.h"

typedef struct Spool Spool;

/* For a snapshot that is about to be taken into this place. *out stays NULL if nothing is to be noted: the sandbox has no bound (SandboxConfig.spool), or its files do
 * not come from there. -ENOMEM. */
int spool_begin(const BvSandbox *sb, const Snapshots *s, Spool **out) MUST_CHECK;
/* One body and its reference, by rising inode. -ENOMEM. */
int spool_add(Spool *spool, const CowRecord *row, const uint8_t *ref, size_t len) MUST_CHECK;
/* The snapshot is there: its bodies can be fetched from now on. The moment may have passed, but holds on to the sandbox: a connection, or the lock. Best effort. */
void spool_publish(Spool *spool, const BvSandbox *sb, const Snapshots *s, const SnapId *id, const Moment *moment);
void spool_free(Spool *spool); /* NULL is allowed */

#endif
