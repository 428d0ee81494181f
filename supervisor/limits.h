/* supervisor/limits.h - what a sandbox may use: what was asked for, what enforces it here, and what was reached.
 *
 *   limit          enforced by
 *   memory         the memory controller of a control group (cgroup.h), and of messages that the supervisor sends for guests (sender.h); without one the supervisor (meter.h)
 *   cpus           binding guests to so many processors; a fraction takes the cpu controller in addition
 *   pids           the pids controller; without one the supervisor, which is asked for each new task (meter.h)
 *   io_read/write  the io (v1: blkio) controller
 *   disk, files    cowfs, and the supervisor for what is written natively (diskmeter.h)
 *   nofile         RLIMIT_NOFILE of each process
 *
 * A limit that nothing here can enforce is an error at the start, or with best_effort a warning. So is one above what the host has. */
#ifndef SUPERVISOR_LIMITS_H
#define SUPERVISOR_LIMITS_H

#include "base/util.h"

#include <cjson/cJSON.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

typedef struct Supervisor Supervisor;

typedef enum LimitKind { LIMIT_MEMORY, LIMIT_CPUS, LIMIT_PIDS, LIMIT_IO_READ, LIMIT_IO_WRITE, LIMIT_DISK, LIMIT_FILES, LIMIT_NOFILE, LIMIT_KINDS } LimitKind;

/* As in the start request; 0: none. cpus in thousandths of a processor; nofile for each process; io in bytes per second for each device. */
typedef struct Limits {
	uint64_t of[LIMIT_KINDS];
	bool best_effort;
} Limits;

/* How often each was reached since the start. */
typedef struct LimitHits {
	uint64_t of[LIMIT_KINDS];
} LimitHits;

/* -EINVAL: a value that no library of this version sends. */
int limits_read(const cJSON *start, Limits *out) MUST_CHECK;

/* Before init is forked and before capabilities are dropped: makes the control groups and changes what guests are to start with. *err names the limit, the reason and the way out. */
int limits_start(Supervisor *sup, const Limits *limits, const char *name, struct rlimit *nofile, char **err) MUST_CHECK;
/* When cowfs is there. */
int limits_start_view(Supervisor *sup, char **err) MUST_CHECK;
/* After every guest is dead. */
void limits_end(Supervisor *sup);

bool limits_any(const Supervisor *sup);
bool limits_of_disk(const Supervisor *sup); /* of bytes */
/* What could not be enforced (best_effort), one line each; NULL: everything is. The supervisor's. */
const char *limits_warning(const Supervisor *sup);
void limits_hits(Supervisor *sup, LimitHits *out);
/* What was reached since `before`, for people, one line each; the caller's to free, NULL: nothing. */
char *limits_remark(Supervisor *sup, const LimitHits *before) MUST_CHECK;
/* [{"name", "limit", "by", "peak", "hits"}...], hits since `before` (NULL: the start). */
cJSON *limits_json(Supervisor *sup, const LimitHits *before) MUST_CHECK;
/* The same for later, as limits.json in the sandbox's directory. */
void limits_save(Supervisor *sup);
/* Where guests enter their control groups (cgroup_doors); 0: there are none. */
int limits_doors(Supervisor *sup, int *fds) MUST_CHECK;
/* For each clone of a guest: see meter.h. */
int limits_may_clone(Supervisor *sup, bool may_block) MUST_CHECK;
void limits_note_spawn(Supervisor *sup);
/* Are messages that the supervisor sends for guests to be sent by limits_send, as the kernel would count their memory as the supervisor's? See sender_send. */
bool limits_count_sends(const Supervisor *sup);
ssize_t limits_send(Supervisor *sup, int sock, const struct msghdr *m, const int *passed, size_t n, int flags) MUST_CHECK;
/* Is this answer to a guest one of the disk limit? Then the call is made again when what was removed has gone (cowfs_quota_settle), and what is still so is noted. */
bool limits_retry(Supervisor *sup, int value);
void limits_note_full(Supervisor *sup);

#endif
