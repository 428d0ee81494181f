/* supervisor/proctree.h - which processes belong to the sandbox: those whose chain of parents ends at the sandbox's init.
 *
 * init is the child subreaper, so a guest cannot leave: an orphan becomes a child of init (or of another guest). Init and the
 * supervisor themselves do not belong. The kernel is the truth; kept is only a small cache of checked processes.
 *
 * A ProcRef holds a descriptor of /proc/<pid>. The kernel binds it to the process, not to the number: once the process is
 * gone every look-up through it fails, also when the number is in use again. So a process is checked once, and then used only
 * through its ProcRef. Thread-safe. */
#ifndef SUPERVISOR_PROCTREE_H
#define SUPERVISOR_PROCTREE_H

#include "base/util.h"

typedef struct ProcTree ProcTree;

typedef struct ProcRef {
	pid_t pid;	/* as asked for: a process or one of its threads */
	pid_t tgid;	/* its process */
	int fd;		/* directory /proc/<pid>, O_RDONLY */
	bool forked;	/* still runs the supervisor's program (between fork and exec of a spawn): its memory is not a guest's */
	unsigned refs;	/* protected by the tree's lock */
} ProcRef;

int proctree_new(pid_t init_pid, ProcTree **out) MUST_CHECK; /* -ESRCH, -ENOMEM */
void proctree_free(ProcTree *tree);
pid_t proctree_init_pid(const ProcTree *tree);

/* The process or thread `pid` if it belongs to the sandbox, with one reference. -ESRCH if it does not exist or does not belong,
 * -EMFILE, -ENOMEM. */
int proctree_get(ProcTree *tree, pid_t pid, ProcRef **out) MUST_CHECK;
void proctree_put(ProcTree *tree, ProcRef *ref); /* NULL is allowed */

bool proctree_is_guest(ProcTree *tree, pid_t pid);
/* The process of a thread, anywhere on the host; -ESRCH. */
pid_t proctree_tgid(pid_t tid);
/* Calls visit for every process of the sandbox (no threads), by rising pid. The list is of one moment: what visit does with a pid
 * must check it again. Non-zero from visit stops and is returned. */
int proctree_list(ProcTree *tree, int (*visit)(void *ctx, pid_t pid), void *ctx) MUST_CHECK;
/* Calls visit for every descriptor of a process of the sandbox that is a socket, with its inode number; of processes as proctree_list does. Non-zero from visit stops and is returned. */
int proctree_sockets(ProcTree *tree, int (*visit)(void *ctx, pid_t pid, int fd, uint64_t ino), void *ctx) MUST_CHECK;
bool procref_socket(const ProcRef *ref, int fd, uint64_t *ino); /* is this descriptor one? */
/* kill(2) that cannot hit another process: -ESRCH if `pid` does not belong. */
int proctree_kill(ProcTree *tree, pid_t pid, int sig) MUST_CHECK;

#endif
