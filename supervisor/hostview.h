/* supervisor/hostview.h - what of the machine the sandbox was given, in one place: its processors, memory, names, and since when it runs. Whatever
 * shows guests something of the machine (uname and sysinfo in sys_host.c, texts in procfs_host.c and sysfs_cpu.c, control groups in cgroupfs.c) asks here,
 * so that all of them agree.
 *
 * Processors keep their numbers of the host: guests learn those also from rseq and the getcpu of the vDSO, without a system call, and a number
 * that is shown must be one that sched_setaffinity takes. A processor that the sandbox was not given does not exist.
 * Uptime counts from the start of the supervisor, in whole seconds of the host's clock: times of processes are moved by the same seconds. */
#ifndef SUPERVISOR_HOSTVIEW_H
#define SUPERVISOR_HOSTVIEW_H

#include "supervisor/proctree.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/utsname.h>

#define HOSTVIEW_NAME 65 /* as in struct utsname */
#define HOSTVIEW_LOAD_BITS 11 /* of fixed-point load averages */

/* What the sandbox's processes use, of one moment. */
typedef struct HostUsage {
	uint64_t user, system; /* clock ticks of all its processes so far, also of those that have ended */
	unsigned processes, threads, running;
	pid_t newest;
	uint64_t memory;	 /* bytes that are its processes' own */
	unsigned long loads[3]; /* fixed point, as in the kernel: how many processors it kept busy, over 1, 5 and 15 minutes */
} HostUsage;

typedef struct HostView {
	cpu_set_t cpus;
	bool all_cpus;	 /* all that the host has, or it cannot be told: texts of the host are right */
	uint64_t memory; /* bytes; 0: the host's. This and the next two: ask hostview_bounds first */
	double quota;	 /* processors' worth of time; 0: all of them */
	uint64_t pids;	 /* 0: no bound */
	atomic_bool bounds_known;
	char host_name[HOSTVIEW_NAME], release[HOSTVIEW_NAME]; /* "": the host's */
	uint64_t start;	 /* seconds of CLOCK_BOOTTIME */
	atomic_uint_fast64_t forks; /* processes and threads made so far */
	pthread_mutex_t lock; /* protects all below */
	char boot_id[40];     /* "": not made yet */
	uint64_t sampled, load_at; /* nanoseconds; sampled 0: never */
	uint64_t load_ticks;
	HostUsage usage;
} HostView;

/* `host_name`, `release`: NULL or "" for the host's. `cpus`: NULL if it cannot be told. -EINVAL: a name that is too long. */
int hostview_init(HostView *v, const cpu_set_t *cpus, const char *host_name, const char *release) MUST_CHECK;

/* memory, quota and pids as they are when the groups that bvisor itself runs in have been looked at, which is done once, when somebody asks. Returns `v`. */
const HostView *hostview_bounds(HostView *v);
void hostgroup_read(HostView *v); /* hostgroup.c: takes the bounds of those groups over where they are lower */
/* A list as the kernel prints it: "0-3,8". */
void hostview_read_cpus(const char *text, cpu_set_t *out);
bool hostview_has_cpu(const HostView *v, unsigned cpu);
unsigned hostview_cpu_count(const HostView *v);
unsigned hostview_last_cpu(const HostView *v); /* the highest number; only if not all_cpus */

/* At most `max_age` nanoseconds old. -EINPROGRESS: it would have to be made, which takes milliseconds on a host with many processes, and may_block is
 * false. */
int hostview_usage(HostView *v, ProcTree *tree, uint64_t max_age, bool may_block, HostUsage *out) MUST_CHECK;
double hostview_uptime(const HostView *v);
/* uname(2) as the sandbox has it. */
int hostview_uname(const HostView *v, struct utsname *out) MUST_CHECK;
void hostview_boot_id(HostView *v, char out[40]);

static inline void hostview_note_fork(HostView *v)
{
	atomic_fetch_add_explicit(&v->forks, 1, memory_order_relaxed);
}

#endif
