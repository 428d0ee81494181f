/* supervisor/supervisor.h - the supervisor of one sandbox: its parts and how they hold together.
 *
 *   server.c    requests of the library (start, spawn, kill ...)      one thread, poll loop
 *   init.c      the sandbox's init process: forks guests, reaps, kills everything when its pipe closes
 *   notify.c    one receiver thread per listener (one listener per spawned command); workers.c for what may wait
 *   table.c     every system call: policy and handler in one row; filter.c derives the seccomp filter from it
 *   sys_*.c     handlers: decode, one call into cowfs, encode
 *   task.c      what little is remembered of a guest thread (umask, exec in flight)
 *   hostview.c  what guests see of the machine; foreign.h says where
 *   freeze.c    all guests stand still for a moment (snapshots)
 *   limits.c    what the sandbox may use: cgroup.c, meter.c
 *   pidns.c     a pid namespace of its own
 *   mem.c       guest memory; ptrace.c rewriting of a call in flight; features.c what this kernel can do
 *
 * Locks (outermost first; none is held while a guest is waited for):
 *   TaskTable.lock      task entries
 *   (inside cowfs: its namespace lock) */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "base/util.h"
#include "cowfs/cowfs.h"
#include "supervisor/caller.h"
#include "supervisor/features.h"
#include "supervisor/limits.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

typedef struct Supervisor Supervisor;
typedef struct Listener Listener;
typedef struct TaskTable TaskTable;
typedef struct WorkerPool WorkerPool;
typedef struct Foreign Foreign;
typedef struct ProcTree ProcTree;
typedef struct Init Init;
typedef struct Net Net;
typedef struct HostView HostView;
typedef struct LimitState LimitState;

#define STORE_PATH_MAX 3072 /* leaves room for names below it in a PATH_MAX */

struct Supervisor {
	char dir[STORE_PATH_MAX];	 /* the sandbox's directory in the store */
	char run_dir[STORE_PATH_MAX];	 /* markers, sockets and exec links of this run */
	char mark_dir[STORE_PATH_MAX]; /* run_dir/m */
	char watch_dir[PATH_MAX];      /* beside the blobs, as hard links of them are made in it */
	char exec_dir[STORE_PATH_MAX]; /* run_dir/x */
	int proc_fd;		 /* O_PATH on /proc */
	pid_t pid;		 /* our own as the host has it; in a pid namespace of the sandbox's own (pidns.h) getpid gives 1 */
	int host_proc;		 /* then O_PATH on the host's /proc, else -1 */
	char *pidns_warning;	 /* why there is none, if one was wished for; else NULL */
	Features features;
	Cowfs *fs;
	CowCred cred;
	struct VcredTable *vcreds;
	TaskTable *tasks;
	WorkerPool *workers;
	Foreign *foreign;
	HostView *view; /* hostview.h */
	ProcTree *tree;
	Init *init;
	Net *net;
	struct sock_filter *filter;
	unsigned short filter_len;
	struct Command *commands; /* of the server thread alone, as next_id */
	unsigned next_id;
	uint64_t denied_told; /* of the server thread: see net_remark */
	atomic_uint_fast64_t *counts; /* per table row: refused or unknown calls answered */
	atomic_uint_fast64_t unknown[1024]; /* calls without a row, by number */
	atomic_bool files_shared; /* some guest had threads (CLONE_FILES): a descriptor may be replaced between check and use */
	cpu_set_t cpus;	     /* what guests may run on at their start */
	bool cpus_known;     /* more than one, and asked for successfully */
	atomic_bool affinity_used; /* a guest has set an affinity */
	atomic_bool umask_shared;	    /* some guest used CLONE_FS across processes: umask caching is off */
	atomic_uint gate_inside; /* see freeze.h */
	atomic_bool gate_closed;
	atomic_bool stopping;
	LimitState *limits; /* limits.h; NULL: none */
	bool cpus_limited; /* cpus is not all that there are */
	bool discards; /* the sandbox is deleted at the end: nothing needs to be kept */
	bool deletes;  /* ... and this is its end: no handle is left, or one has said so */
	bool emulates_ids; /* vcred.h: it is root's, or has a fake root */
	bool fake_root; /* guests see themselves as root (vcred.h) */
};

/* One command spawned by the library. */
typedef struct Command {
	struct Command *next;
	unsigned id;
	pid_t pid;
	int status;	/* wait status, valid once ended */
	bool ended;
	bool tied;
	bool builtin; /* builtin.h: bvisor's own, of which people are told nothing */
	bool watches; /* ... and goes on as long as somebody listens */
	int client;	/* control connection that spawned it, -1 once that is gone */
	int waiter;	/* connection that waits, -1 if none */
	double wait_seq;
	bool waiting;
	Listener *listener;
	FILE *trace;
	char *remark; /* what its client is told with its end; or NULL */
	LimitHits hits; /* at its start */
} Command;

/* Takes these paths of the host out of the view, at the start or while guests run (run.c). *err names the one that failed. */
int hide_paths(Supervisor *sup, char *const *paths, char **err) MUST_CHECK;

/* Of the network rules those that name sockets of the host, which are a matter of the view: for cowfs_pin_sockets (run.c). */
int find_sockets(Supervisor *sup, char *const *allow, CowSockets **out, char **err) MUST_CHECK;

#endif
