/* addon.h - libbvisor for JavaScript: one asynchronous function, `call(op, handle, json, bytes)`, behind which every operation of the library is a row of a table.
 *
 *	JavaScript thread                          thread of this addon
 *	call ── job_submit ──► queue ──────────►   op->run(job): calls the library, fills in the results
 *	promise ◄── job_deliver ◄── environment_finish ◄──┘
 *
 * Why threads of our own, and not libuv's four: calls of the library may take as long as a network does (a snapshot to a bucket), or wait for the end of a command, and the four
 * are what every file system call and name look-up of the program needs. Operations that are soon done share at most POOL_THREADS; each of the others has a thread while it lasts. A sandbox
 * has three processes, so one sleeping thread beside them (some 20 KiB) is not what bounds their number; and unlike a pidfd, bv_process_wait cannot mistake a
 * process id that was used again, and works where the supervisor is in another pid namespace.
 *
 * Only Node-API is used, nothing of libuv or V8: one binary is right for every Node from 18 on.
 *
 * Arguments and results are JSON, because both sides have a parser for it, and bytes where contents are meant. Text that is no UTF-8 becomes U+FFFD in JavaScript, as in node:fs.
 *
 * Lock order: SandboxRef.mu, Child.use, Environment.mu; the pool's lock is taken with no other. */
#ifndef BVISOR_ADDON_H
#define BVISOR_ADDON_H

#include "base/util.h"
#include "include/bvisor/bvisor.h"

#define NAPI_VERSION 8
#include <cjson/cJSON.h>
#include <node_api.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- one JavaScript environment: the main thread, or a worker (environment.c) ---- */

/* Counted: by its JavaScript side, and by each job until its result is delivered or dropped. */
typedef struct Environment Environment;
typedef struct Job Job;

Environment *environment_new(napi_env env); /* NULL: an exception is pending */
Environment *environment_get(Environment *e);
void environment_put(Environment *e);
/* On its own thread only. As long as something is held, the event loop goes on. */
void environment_hold(Environment *e, napi_env env);
void environment_release(Environment *e, napi_env env);
/* From any thread: has job_deliver called on the environment's thread; or job_free here, if that has ended. */
void environment_finish(Environment *e, Job *job);

/* ---- handles (handle.c) ---- */

/* A sandbox. It can be used between sandbox_enter and sandbox_leave; sandbox_shut waits until nobody does. */
typedef struct SandboxRef {
	atomic_uint refs;
	pthread_mutex_t mu; /* protects what follows */
	pthread_cond_t left;
	BvSandbox *handle; /* NULL: it is closed */
	unsigned inside;
	bool closing;
	struct Child *children;
} SandboxRef;

/* A command or a watch of a sandbox. */
typedef struct Child {
	struct Child *next;   /* protected by sandbox->mu */
	unsigned refs;	      /* protected by sandbox->mu */
	SandboxRef *sandbox;  /* counted */
	pthread_mutex_t use;  /* protects what follows; held for short calls only */
	BvProcess *process;   /* NULL: it has ended, or was closed */
	BvWatch *watch;
	int wake;     /* eventfd: ends a wait for events of the watch; -1 */
	int terminal; /* the master of the command's terminal; -1 */
} Child;

SandboxRef *sandbox_new(BvSandbox *handle); /* takes the handle over; NULL: out of memory */
SandboxRef *sandbox_get(SandboxRef *s);
void sandbox_put(SandboxRef *s);
/* false: it is being closed. */
bool sandbox_enter(SandboxRef *s);
void sandbox_leave(SandboxRef *s);
/* Ends its commands and watches, waits until nobody is in it, closes the handle. A second one waits for the first. */
void sandbox_shut(SandboxRef *s);
/* A child of `s`, with one reference. What it is given is taken over, also on failure. NULL: out of memory, or the sandbox is being closed. */
Child *child_new(SandboxRef *s, BvProcess *process, BvWatch *watch, int wake, int terminal);
void child_get(Child *c);
void child_put(Child *c);
/* Closes the library's object, which nobody uses any more but by functions that hold `use`. */
void child_close(Child *c);

/* ---- jobs (job.c, pool.c) ---- */

enum {
	OP_OWN_THREAD = 1, /* may take long */
	OP_SANDBOX = 2,	   /* its handle is a sandbox */
	OP_CHILD = 4,	   /* its handle is a command or watch */
	OP_SHUTS = 8,	   /* does not enter the sandbox */
	OP_UNHELD = 16,	   /* does not keep the event loop going */
};
typedef struct Op {
	const char *name;
	unsigned flags;
	int (*run)(Job *job); /* 0 or a negative errno, with job->err */
} Op;

struct Job {
	Job *next; /* of the pool's queue */
	const Op *op;
	Environment *environment; /* counted; NULL: nobody waits for the result */
	napi_deferred deferred;
	bool held; /* it keeps the event loop going */
	SandboxRef *sandbox; /* counted, and entered unless OP_SHUTS */
	Child *child;	     /* counted */
	cJSON *in;	     /* never NULL while it runs */
	void *data;	     /* bytes that came along */
	size_t len;
	/* results */
	int code;
	BvError *err;
	cJSON *out;
	char *bytes;
	size_t n_bytes;
	SandboxRef *made; /* one reference each */
	Child *born;
	int fds[3]; /* handed over to JavaScript, which owns them from then on; -1 */
};

/* call(op, handle, json, bytes): a promise of {json, bytes, handle, fds}; it is rejected with {errno, message, stage}. */
napi_value job_submit(napi_env env, napi_callback_info info);
void job_deliver(napi_env env, Job *job);
void job_free(Job *job);
/* sandbox_shut on a thread of its own, for a finalizer, which must not wait. Takes a reference over. */
void job_shut_later(SandboxRef *s);
/* Takes the job over and has it run and finished. */
void pool_run(Job *job);

/* ---- operations ---- */

extern const Op sandbox_ops[], process_ops[], file_ops[], snapshot_ops[]; /* each ends with a row without a name */

/* Access to arguments: the default where there is no such member, or one of another type. The texts live as long as the job. */
const char *arg_text(const Job *job, const char *name); /* NULL */
double arg_number(const Job *job, const char *name, double otherwise);
bool arg_flag(const Job *job, const char *name);
/* NULL-terminated list of texts, whose memory is the caller's; NULL: no such member. -ENOMEM makes it NULL, too, and is told by *failed. */
const char **arg_list(const Job *job, const char *name, bool *failed);
#define CLEAN_LIST __attribute__((cleanup(bv_free_ptr)))
/* Keys of snapshots in `keyFile` and `passphraseFile`. NULL: none are given. */
const BvKeyOptions *arg_key(const Job *job, BvKeyOptions *key);
void arg_limits(const Job *job, BvLimits *limits);

/* Results. cJSON counts a failure as a missing member; a missing job->out is -ENOMEM for job_finish. */
/* The result is a sandbox and what it is; the handle is taken over. */
int sandbox_result(Job *job, BvSandbox *handle);
cJSON *out_object(Job *job);
cJSON *out_list(Job *job);
cJSON *add_object(cJSON *list);
void add_text(cJSON *o, const char *name, const char *text); /* NULL: null */
void add_number(cJSON *o, const char *name, double number);
void add_flag(cJSON *o, const char *name, bool flag);
void add_texts(cJSON *o, const char *name, const char *const *list); /* NULL: empty */
void add_time(cJSON *o, const char *name, int64_t seconds, long nanoseconds);
void add_limit(cJSON *list, const BvLimitInfo *info);
int add_entry(void *list, const BvEntry *entry);

#endif
