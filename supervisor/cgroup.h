/* supervisor/cgroup.h - the control groups of a sandbox: a leaf directory for each hierarchy that is needed (v1 has one hierarchy for each controller, v2 one for all).
 *
 * Where: v1 below the group that we are in. v2 below the nearest group from ours upwards that we may write to and that hands the controllers on; ours
 * does not if processes are in it. A limit of a group that is left that way is copied into the leaf.
 *
 * Who is in it: each command enters by itself, right after init has forked it, through descriptors that are opened here; its children are born there. The
 * supervisor and init stay outside, so no limit of guests stops what ends them. A guest cannot leave: it cannot open these files.
 *
 * Its end: the supervisor removes the leaf. Should it be killed, a process that waits for its end (the keeper) does, and should that be killed, too, the next
 * supervisor that makes a leaf in the same place: a leaf whose lock (flock) nobody has is left over. */
#ifndef SUPERVISOR_CGROUP_H
#define SUPERVISOR_CGROUP_H

#include "base/util.h"
#include "supervisor/sender.h"

typedef enum CgroupKind { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_IO, CGROUP_KINDS } CgroupKind;

typedef struct CgroupLeaf {
	bool v2;
	int parent, dir; /* of the place; of the leaf, which holds the lock */
	char name[112];
	char *path; /* of the leaf on the host */
} CgroupLeaf;

typedef struct Cgroup {
	CgroupLeaf leaves[CGROUP_KINDS];
	size_t count;
	const CgroupLeaf *of[CGROUP_KINDS]; /* NULL: not asked for, or not to be had: */
	char *why[CGROUP_KINDS];	    /* then the reason */
	uint64_t ceiling[CGROUP_KINDS];	    /* bytes or tasks that the groups above allow, thousandths of a processor; UINT64_MAX: no bound */
	int alive; /* while it is open the keeper waits, and takes requests for a sender; -1 */
} Cgroup;

/* What the kernel says of us; of other files for tests. */
typedef struct CgroupSource {
	const char *mountinfo, *membership;
} CgroupSource;
#define CGROUP_SOURCE_SELF {"/proc/self/mountinfo", "/proc/self/cgroup"}

/* Where a leaf would be: the directory of the host; found without changing anything. */
typedef struct CgroupPlace {
	bool v2;
	char *mount, *own; /* where the hierarchy is mounted; our own group */
} CgroupPlace;
void cgroup_place_release(CgroupPlace *place);
/* -ENOENT: no hierarchy with this controller is mounted. */
int cgroup_find(const CgroupSource *source, CgroupKind kind, CgroupPlace *out) MUST_CHECK;
const char *cgroup_word(CgroupKind kind, bool v2); /* the controller's name */

/* Makes leaves with the controllers in `kinds` (1 << CgroupKind), as far as they can be had. `name`: the sandbox's. -ENOMEM. */
int cgroup_make(const CgroupSource *source, unsigned kinds, const char *name, Cgroup *out) MUST_CHECK;
/* Starts the keeper, which makes processes for `sender` (may be NULL) in the leaf of memory. Before there are threads. */
int cgroup_keep(Cgroup *group, const Sender *sender) MUST_CHECK;
/* Descriptors of cgroup.procs, one for each leaf, the caller's: who writes "0" to each is in. Their number, or negative errno. */
int cgroup_doors(const Cgroup *group, int fds[CGROUP_KINDS]) MUST_CHECK;
/* Kills what is left in the leaves and removes them. */
void cgroup_remove(Cgroup *group);

/* Files of a controller's leaf. */
int cgroup_write(const CgroupLeaf *leaf, const char *file, const char *text) MUST_CHECK;
int cgroup_write_number(const CgroupLeaf *leaf, const char *file, uint64_t value) MUST_CHECK;
/* The file's number, or, with a key, that in the line "KEY NUMBER"; `otherwise` where there is none. */
uint64_t cgroup_number(const CgroupLeaf *leaf, const char *file, const char *key, uint64_t otherwise);

#endif
