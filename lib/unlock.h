/* lib/unlock.h - the key of the place that a sandbox's files come from, for whoever fetches them. */
#ifndef LIB_UNLOCK_H
#define LIB_UNLOCK_H

#include "lib/snapshots.h"
#include "snapshot/fetcher.h"

/* What the handle was told (bv_sandbox_set_key), else the environment says, when it is needed. The handle outlives it. */
SnapKeyring unlock_keyring(const BvSandbox *sb);
/* For the supervisor, about to start, of a sandbox with files elsewhere (view_is_remote): a pipe with the key in it, the caller's; -1: none is needed. -ENOKEY, and errors of the place. */
int unlock_for_start(const BvSandbox *sb, int *fd, BvError **err) MUST_CHECK;
void unlock_release(BvSandbox *sb); /* what the handle was told */

#endif
