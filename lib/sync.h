/* lib/sync.h - sandboxes that go to their place all the time (SandboxConfig.continuous).
 *
 * Another process, `bvisor sync --follow`, takes a snapshot of the running sandbox whenever something has changed, and once more when its last command has ended: then the supervisor
 * waits for it. The states have a name of their own, SANDBOX.sync, of which only the newest are kept. */
#ifndef LIB_SYNC_H
#define LIB_SYNC_H

#include "lib/conn.h"

#define SYNC_SUFFIX ".sync"

/* The sandbox runs: sees to it that somebody follows it. -ENOENT: the program bvisor is not found. */
int sync_launch(const BvSandbox *sb, BvError **err) MUST_CHECK;
/* It is about to be deleted: whoever follows it ends now. */
void sync_stop(const BvSandbox *sb);
/* Whether a user may not give this name to a snapshot, as states of it are removed. */
bool sync_is_name(const char *name);

#endif
