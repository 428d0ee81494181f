/* supervisor/vcred.h - virtual credentials of guests whose sandbox was started by root, or has a fake root.
 *
 * Such guests hold no capability, so the kernel refuses setuid(2) and its kin, on which programs that drop privileges rest (apt, redis, postgres).
 * A fake root is an ordinary user whose guests begin with the virtual credentials of root; what he is on the host shows as root's (cowfs/closed.c).
 * The calls are emulated: what a process claims to be decides on the sandbox's own metadata (who owns a new file, who may chmod), and on nothing else.
 * It is no boundary: a guest may forge it and gains what every guest has.
 *
 * The kernel carries it: the set's number is the soft RLIMIT_RTTIME (it limits real-time threads, which guests cannot have), which fork and exec
 * inherit; so nothing goes stale. Sets are interned and live as long as the supervisor. */
#ifndef SUPERVISOR_VCRED_H
#define SUPERVISOR_VCRED_H

#include "cowfs/cowfs.h"

#define VCRED_LIMIT_BASE 0x62760000u /* soft limits from here on are numbers of sets */
#define VCRED_MAX 4096		     /* different sets in one sandbox; more is EAGAIN */

struct Call;
struct Supervisor;

typedef struct VcredTable VcredTable;

/* -ENOMEM */
int vcred_new(const CowCred *start, VcredTable **out) MUST_CHECK;
void vcred_free(VcredTable *table);
/* Has any guest ever changed its credentials? Until then every guest is what the supervisor is. */
bool vcred_in_use(const VcredTable *table);
/* What PR_SET_KEEPCAPS has kept ends here. */
void vcred_before_exec(struct Call *call);

typedef struct VcredIds { /* as the lines of /proc/PID/status */
	unsigned uid[4], gid[4]; /* real, effective, saved, of file access */
	const CowCred *access;
} VcredIds;
/* What the process has; valid as long as the table. */
void vcred_ids(VcredTable *table, pid_t tid, VcredIds *out);
/* The credentials for file access (fsuid, fsgid, groups) of the process; valid as long as the table. */
const CowCred *vcred_of(VcredTable *table, pid_t tid);

#endif
