/* lib/hold.h - the snapshot that a sandbox fetches its files from stays as long as the sandbox needs it (snapshot/hold.h). */
#ifndef LIB_HOLD_H
#define LIB_HOLD_H

#include "lib/snapshots.h"

/* The name of this sandbox's hold, the caller's to free; NULL: out of memory. */
char *hold_name(const SandboxConfig *config);
/* From now on it needs this one. *held is false if the place cannot be written to by us, which is no error. */
int hold_take(const Snapshots *s, const SandboxConfig *config, const SnapId *id, bool *held, BvError **err) MUST_CHECK;
/* It needs none any more. Best effort. */
void hold_release(const Snapshots *s, const SandboxConfig *config);
/* The same for a sandbox that is about to be deleted, wherever its files come from. */
void hold_release_of(const BvSandbox *sb);

#endif
