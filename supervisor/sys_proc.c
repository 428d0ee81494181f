/* sys_proc.c - processes: who may be signalled, asked or changed; clone, prctl, seccomp, personality, unshare.
 * A process outside the sandbox does not exist for a guest: ESRCH. Targets are values, so what was checked is CONTINUEd. */
#include "supervisor/call.h"
#include "supervisor/handlers.h"
#include "supervisor/hostview.h"
#include "supervisor/kernel.h"
#include "supervisor/proctree.h"
#include "supervisor/sysargs.h"

#include <linux/magic.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)
#define IOPRIO_WHO_USER 3

static bool ours(Call *call, pid_t pid)
{
	return pid > 0 && proctree_is_guest(call->sup->tree, pid);
}

int sys_check_pid(Call *call)
{
	pid_t pid = (pid_t)call->args[0];

	return pid < 0 || ours(call, pid) ? CALL_CONTINUE : -ESRCH;
}

/* A negative clock is that of a process or thread, or (3 in the low bits) of a descriptor: include/linux/posix-timers.h. One of nobody is EINVAL. */
int sys_cpu_clock(Call *call)
{
	int id = (int)call->args[0];

	return id >= 0 || (id & 7) == 3 || ours(call, ~(id >> 3)) ? CALL_CONTINUE : -EINVAL;
}

/* RLIMIT_CORE. The kernel's is 1 (init.c): with 0 it would still start the host's program that takes dumps, if core_pattern names one. Guests see
 * and may set 0. */
static int core_limit(Call *call, uint64_t new, uint64_t old)
{
	struct rlimit want = {0, 0};
	const struct rlimit have = {0, 0};
	int r = new ? mem_read(call, new, &want, sizeof want) : 0;

	if (r < 0)
		return r;
	if (want.rlim_cur > want.rlim_max)
		return -EINVAL;
	if (want.rlim_max > 0)
		return -EPERM;
	return old ? mem_write(call, old, &have, sizeof have) : 0;
}

int sys_rlimit(Call *call)
{
	bool get = call->nr == __NR_getrlimit;

	if ((unsigned)call->args[0] != RLIMIT_CORE)
		return CALL_CONTINUE; /* no resource: EINVAL */
	return core_limit(call, get ? 0 : call->args[1], get ? call->args[1] : 0);
}

int sys_prlimit(Call *call)
{
	pid_t pid = (pid_t)call->args[0];

	if (pid != 0 && !ours(call, pid))
		return -ESRCH;
	return (unsigned)call->args[1] == RLIMIT_CORE ? core_limit(call, call->args[2], call->args[3]) : CALL_CONTINUE;
}

/* Asked by us, as no guest is bound to a processor for a moment (notify.c) while its receiver is here. */
int sys_getaffinity(Call *call)
{
	pid_t pid = (pid_t)call->args[0];
	unsigned long cpus[128]; /* 8,192 processors, the most that Linux can be built for */
	size_t len = (unsigned)call->args[1];

	if (pid < 0 || len % sizeof cpus[0])
		return CALL_CONTINUE; /* an error */
	len = MIN(len, sizeof cpus);
	long r = syscall(SYS_sched_getaffinity, ours(call, pid) ? pid : -1, len, cpus);
	if (r < 0)
		return errno == EINVAL ? CALL_CONTINUE : -ESRCH;
	int rc = mem_write(call, call->args[2], cpus, (size_t)r);
	return rc < 0 ? rc : (int)r;
}

/* As the kernel has it where a cpuset leaves out processors: those that the sandbox was not given are not in the mask, and one without any other is
 * EINVAL. */
static int set_given_affinity(Call *call, pid_t pid)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	int r = mem_read(call, call->args[2], &cpus, MIN((unsigned)call->args[1], sizeof cpus));
	if (r < 0)
		return r;
	if (pid != call->tid && !ours(call, pid))
		return -ESRCH;
	CPU_AND(&cpus, &cpus, &call->sup->view->cpus);
	return sched_setaffinity(pid, sizeof cpus, &cpus) < 0 ? bv_neg_errno() : 0;
}

/* From now on guests are no longer bound to a processor for a moment, which would undo what they set. */
int sys_setaffinity(Call *call)
{
	pid_t pid = (pid_t)call->args[0];

	atomic_store(&call->sup->affinity_used, true);
	if (!call->sup->view->all_cpus && pid >= 0)
		return set_given_affinity(call, pid ? pid : call->tid);
	return pid == 0 ? CALL_CONTINUE : sys_check_pid(call);
}

int sys_tkill(Call *call)
{
	pid_t pid = (pid_t)call->args[0];

	return pid <= 0 ? -EINVAL : ours(call, pid) ? CALL_CONTINUE : -ESRCH;
}

int sys_tgkill(Call *call)
{
	pid_t tgid = (pid_t)call->args[0], tid = (pid_t)call->args[1];

	if (tgid <= 0 || tid <= 0)
		return -EINVAL;
	return ours(call, tgid) && ours(call, tid) ? CALL_CONTINUE : -ESRCH;
}

typedef struct KillAll {
	pid_t self, pgid; /* pgid 0: everybody but self */
	int sig;
	int found, sent, error;
} KillAll;

static int kill_one(void *ctx, pid_t pid)
{
	KillAll *k = ctx;

	if (k->pgid ? getpgid(pid) != k->pgid : pid == k->self)
		return 0;
	k->found++;
	if (k->pgid)
		return 1; /* only asked whether there is one */
	if (kill(pid, k->sig) == 0)
		k->sent++;
	else
		k->error = bv_neg_errno();
	return 0;
}

/* kill(2): a group of guests holds guests only (their sessions are their own), so one member of ours is enough to CONTINUE. */
int sys_kill(Call *call)
{
	pid_t pid = (pid_t)call->args[0];
	KillAll k = {.sig = (int)call->args[1]};

	if (pid > 0)
		return ours(call, pid) ? CALL_CONTINUE : -ESRCH;
	if (pid == 0)
		return CALL_CONTINUE;
	if (pid == -1) {
		if (k.sig < 0 || k.sig > SIGRTMAX)
			return -EINVAL;
		k.self = caller_tgid(&call->caller);
		IGNORE_RESULT(proctree_list(call->sup->tree, kill_one, &k));
		return k.sent ? 0 : k.found ? k.error : -ESRCH;
	}
	if (pid == INT32_MIN)
		return -ESRCH;
	k.pgid = -pid;
	IGNORE_RESULT(proctree_list(call->sup->tree, kill_one, &k));
	return k.found ? CALL_CONTINUE : -ESRCH;
}

/* Of a directory of /proc. 0: it is no such one; -ESRCH: it is one of another pid namespace, where numbers mean others. */
static pid_t pid_of_proc_dir(Call *call, int fd)
{
	char link[48], path[PATH_MAX];
	struct stat st, ours;
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return 0;
	if (fstat(fd, &st) < 0 || fstat(call->sup->proc_fd, &ours) < 0 || st.st_dev != ours.st_dev)
		return -ESRCH;
	snprintf(link, sizeof link, "self/fd/%d", fd);
	ssize_t n = readlinkat(call->sup->proc_fd, link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = 0;
	const char *name = strrchr(path, '/');
	return name ? (pid_t)strtol(name + 1, NULL, 10) : 0;
}

/* The process that our descriptor stands for, a pidfd or a directory of /proc. 0: none of these, as the kernel will say. -EBADF, -ESRCH. */
static pid_t pid_of_fd(Call *call, int fd)
{
	CLEAN_FREE char *text = NULL;
	char path[48];

	snprintf(path, sizeof path, "self/fdinfo/%d", fd);
	if (bv_read_file_at(call->sup->proc_fd, path, 65536, &text) < 0)
		return -EBADF;
	const char *at = strstr(text, "\nPid:");
	return at ? (pid_t)strtol(at + 5, NULL, 10) : pid_of_proc_dir(call, fd);
}

/* A pidfd of a stranger comes from a unix socket (SO_PEERPIDFD, SCM_PIDFD): who connects and sends is the supervisor. Or the caller has passed
 * one on, or a directory of the host's /proc. Where another thread could put such a one in the place of what was checked, the signal is sent through our
 * duplicate. */
int sys_pidfd_send_signal(Call *call)
{
	CLEAN_FD int fd = guest_fd_dup(call, ARG_FD(call, 0));
	siginfo_t info;

	if (fd < 0)
		return fd;
	pid_t pid = pid_of_fd(call, fd);
	if (pid != 0 && !ours(call, pid))
		return pid == -EBADF ? -EBADF : -ESRCH;
	if (!atomic_load(&call->sup->files_shared) && !call->held)
		return CALL_CONTINUE;
	if (call->args[2] && mem_read(call, call->args[2], &info, sizeof info) < 0)
		return -EFAULT;
	long r = syscall(SYS_pidfd_send_signal, fd, ARG_INT(call, 1), call->args[2] ? &info : NULL, (unsigned)call->args[3]);
	return r < 0 ? bv_neg_errno() : 0;
}

/* getpriority, setpriority, ioprio_get, ioprio_set: (which, who, ...). "All processes of a user" would reach the host's. */
int sys_priority(Call *call)
{
	int which = ARG_INT(call, 0);
	pid_t who = (pid_t)call->args[1];
	bool io = call->nr == __NR_ioprio_get || call->nr == __NR_ioprio_set;
	int user = io ? IOPRIO_WHO_USER : PRIO_USER;
	int group = io ? 2 : PRIO_PGRP;
	KillAll k = {.pgid = who};

	if (which == user)
		return -EPERM;
	if (who == 0 || which < 0 || which > user)
		return CALL_CONTINUE;
	if (which == group) {
		IGNORE_RESULT(proctree_list(call->sup->tree, kill_one, &k));
		return k.found ? CALL_CONTINUE : -ESRCH;
	}
	return ours(call, who) ? CALL_CONTINUE : -ESRCH;
}

/* Trapped so that a fork bomb ends with its supervisor: without one it gets ENOSYS. */
int sys_fork(Call *call)
{
	int r = limits_may_clone(call->sup, call->req.may_block);

	if (r < 0)
		return r;
	hostview_note_fork(call->sup->view);
	return CALL_CONTINUE;
}

int sys_clone(Call *call)
{
	uint64_t flags = call->args[0];

	if (flags & NEW_NAMESPACES)
		return -EPERM;
	if (flags & CLONE_UNTRACED)
		return -EPERM;
	if (flags & CLONE_FILES)
		atomic_store(&call->sup->files_shared, true);
	if ((flags & CLONE_FS) && !(flags & CLONE_THREAD))
		atomic_store(&call->sup->umask_shared, true);
	return sys_fork(call);
}

int sys_unshare(Call *call)
{
	uint64_t flags = call->args[0];

	return (flags & ~(uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM)) ? -EPERM : CALL_CONTINUE;
}

/* A guest stays readable: "not dumpable" is remembered by nobody and granted to nobody. */
int sys_prctl(Call *call)
{
	switch ((int)call->args[0]) {
	case PR_SET_DUMPABLE:
		return call->args[1] > 1 ? -EINVAL : 0;
	case PR_SET_KEEPCAPS:
		return sys_keepcaps(call);
	case PR_SET_PTRACER:
		return 0; /* ptrace is refused anyway */
	case PR_SET_SECCOMP:
		return CALL_CONTINUE; /* cannot ask for a listener */
	case PR_CAPBSET_DROP:
	case PR_SET_SECUREBITS:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int sys_seccomp(Call *call)
{
	if (call->args[0] == SECCOMP_SET_MODE_FILTER && (call->args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return -EBUSY;
	return CALL_CONTINUE;
}

int sys_personality(Call *call)
{
	return ((unsigned)call->args[0] & ~(unsigned)(ADDR_NO_RANDOMIZE | UNAME26)) ? -EPERM : CALL_CONTINUE;
}
