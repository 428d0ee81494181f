/* lib/probe.h - probes that need a child process: it changes itself (filter, no_new_privs) or is looked at. */
#ifndef LIB_PROBE_H
#define LIB_PROBE_H

#include "lib/internal.h"

typedef struct ProbeContext {
	const char *store;
} ProbeContext;

/* Each: 0 or a negative errno; *remark may get a malloc'ed text. */
int probe_no_new_privs(const ProbeContext *ctx, char **remark);
int probe_notify(const ProbeContext *ctx, char **remark);	 /* installs a filter, receives one notification, answers it */
int probe_addfd(const ProbeContext *ctx, char **remark);	 /* answers one with a descriptor, which the child must be able to use */
int probe_sync_wakeup(const ProbeContext *ctx, char **remark);
int probe_wait_killable(const ProbeContext *ctx, char **remark);
int probe_proc_mem(const ProbeContext *ctx, char **remark);	 /* reads a child's memory through /proc/PID/mem */
int probe_ptrace(const ProbeContext *ctx, char **remark);	 /* seizes and stops a child */
int probe_pidfd_getfd(const ProbeContext *ctx, char **remark);
int probe_pidns(const ProbeContext *ctx, char **remark);

#endif
