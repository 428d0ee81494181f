/* snapshot/hold.h - snapshots that sandboxes elsewhere still need: a sandbox that fetches its files when they are opened names the snapshot that they come from, so that no
 * collector takes it when its own name is removed.
 *
 * A hold is a ref (docs/SNAPSHOT_FORMAT.md) with a name of its own. It is renewed by who uses it, and of one that was not for SNAP_HOLD_AGE nobody is left. */
#ifndef SNAPSHOT_HOLD_H
#define SNAPSHOT_HOLD_H

#include "snapshot/snapshot.h"

#define SNAP_HOLD_PREFIX "held."
#define SNAP_HOLD_AGE (90 * 24 * 3600) /* seconds */

/* Names that nobody else may give. */
static inline bool snap_hold_is(const char *name)
{
	return strncmp(name, SNAP_HOLD_PREFIX, sizeof SNAP_HOLD_PREFIX - 1) == 0;
}

/* From now on `name` holds this snapshot, and no other one. Errors of snap_ref_append; where nothing may be written -EACCES or -EROFS. */
int snap_hold_take(SnapStore *s, const char *name, const SnapId *id, char **err) MUST_CHECK;
/* The same in two steps: first this one, too; then, when nobody needs what was held before, no other. */
int snap_hold_add(SnapStore *s, const char *name, const SnapId *id, uint64_t *number, char **err) MUST_CHECK;
void snap_hold_only(SnapStore *s, const char *name, uint64_t number); /* best effort */
/* By who uses it. Asks the store, and writes about once a day. 0: the snapshot is held; else errors of snap_hold_take, -ESTALE among them: it was not, and will go. */
int snap_hold_renew(SnapStore *s, const char *name, const SnapId *id, char **err) MUST_CHECK;
/* Success if there is none. */
int snap_hold_release(SnapStore *s, const char *name, char **err) MUST_CHECK;
/* Releases those that nobody has renewed for so many seconds, by the store's clock. */
int snap_hold_expire(SnapStore *s, int64_t older, char **err) MUST_CHECK;

#endif
