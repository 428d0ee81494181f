/* lib/hold.h - the snapshot that a sandbox fetches its files from stays as long as the sandbox needs it (snapshot/hold.h). */
#ifndef LIB_HOLD_H
#define LIB_HOLD_H

#include "lib/snapshots.h"

/* The name of this sandbox's hold, the caller's to free; NULL: out of memory. */
char *hold_name(const SandboxConfig *config);
/* From now on it needs this one, too. *number is for hold_only, and 0 if the place cannot be written to by us, which is no error. */
int hold_add(const Snapshots *s, const SandboxConfig *config, const SnapId *id, uint64_t *number, BvError **err) MUST_CHECK;
/* And nothing that it needed before. Best effort. */
void hold_only(const Snapshots *s, const SandboxConfig *config, uint64_t number);
/* It needs none any more. Best effort. */
void hold_release(const Snapshots *s, const SandboxConfig *config);
/* The same for a sandbox that is about to be deleted, wherever its files come from. */
void hold_release_of(const BvSandbox *sb);

#endif
