/* lib/process.h - what starts processes in a sandbox: commands (process.c), and bvisor's own (files.c, watch.c). */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include "lib/internal.h"

/* What is asked of the supervisor; it may be asked for more than once. */
typedef struct ProcessAsk {
	cJSON *(*request)(const BvSandbox *sb, const void *ctx); /* NULL: out of memory */
	const void *ctx;
	const int *fds; /* the caller's */
	size_t n_fds;
} ProcessAsk;

/* Asks, of a supervisor that is started if none runs. *out is the caller's to close. Errors of bv_sandbox_spawn. */
int process_begin(BvSandbox *sb, const ProcessAsk *ask, BvProcess **out, BvError **err) MUST_CHECK;
/* As bv_process_wait, from now on: a process that nobody asks for is remembered by the supervisor as long as the handle is open. */
int process_ask_end(BvProcess *process) MUST_CHECK;

/* The caller's umask, without changing it for a moment, which another thread might see. */
mode_t own_umask(void);

#endif
