/* supervisor/init.h - the sandbox's init: a single-threaded child of the supervisor and the ancestor of every guest.
 *
 * It is forked before the supervisor has threads. It is the child subreaper, without a filter, without capabilities; it forks each command,
 * hands the command's listener to the supervisor, reaps, and kills every guest when its socket to the supervisor closes (the supervisor
 * died) or when told to. If init itself dies, the supervisor, a subreaper too, inherits the guests and kills them. */
#ifndef SUPERVISOR_INIT_H
#define SUPERVISOR_INIT_H

#include "base/util.h"

#include <linux/filter.h>
#include <sched.h>
#include <sys/resource.h>

typedef struct Init {
	pid_t pid;
	int sock; /* SOCK_SEQPACKET; poll it and call init_receive */
} Init;

typedef struct InitConfig {
	const struct sock_filter *filter;
	unsigned short filter_len;
	bool killable;
	int landlock_abi;	 /* 0: no Landlock floor */
	struct rlimit nofile;	 /* what guests get */
	const cpu_set_t *cpus;	 /* that guests are bound to; NULL: all */
	int doors[4];		 /* of the control groups that each command enters (cgroup.h); init_start leaves them open */
	int n_doors;
} InitConfig;

/* Forks it. 0 or negative errno. */
int init_start(const InitConfig *config, Init *out) MUST_CHECK;

enum {
	SPAWN_TTY = 1,
	SPAWN_CLOSED = 2, /* << i: descriptor i (0, 1, 2) is closed in the command, whatever fds says */
	SPAWN_BUILTIN = 16, /* argv is no program but one of builtin.h. Whoever stops such a process ends it: somebody waits for it */
};
typedef struct InitSpawn {
	unsigned id, flags; /* SPAWN_* */
	mode_t mask;
	uint64_t ignored; /* bit N-1: signal N is ignored; every other one has its default action */
	char *const *argv, *const *env; /* NULL-terminated */
	int fds[4]; /* stdin, stdout, stderr, cwd */
} InitSpawn;
/* Asks for a command. The answers come as events. */
int init_spawn(Init *init, const InitSpawn *spawn) MUST_CHECK;
/* Kills every guest; EVENT_ALL_DEAD follows. */
int init_kill_all(Init *init) MUST_CHECK;

typedef enum InitEventKind { EVENT_LISTENER = 1, EVENT_STARTED, EVENT_EXITED, EVENT_ALL_DEAD, EVENT_GONE } InitEventKind;
typedef struct InitEvent {
	InitEventKind kind;
	unsigned id; /* LISTENER, STARTED */
	pid_t pid;   /* STARTED, EXITED */
	int error;   /* STARTED: 0 or the errno of the exec */
	int status;  /* EXITED: wait status */
	int fd;	     /* LISTENER: the seccomp listener, the receiver's to close; else -1 */
} InitEvent;
/* One event. EVENT_GONE when init has ended. */
int init_receive(Init *init, InitEvent *out) MUST_CHECK;

/* Ends init itself, when nothing is left for it to kill. */
void init_end(Init *init);

/* Kills every descendant of the calling process (which must be a subreaper) and reaps them. */
void kill_descendants(void);

#endif
