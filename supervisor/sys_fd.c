/* sys_fd.c - what of fcntl and ioctl the filter does not let through, and inotify_add_watch (whose events: cowfs/watch.c). */
#include "supervisor/handlers.h"
#include "supervisor/proctree.h"
#include "supervisor/sysargs.h"

#include <asm/ioctls.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

/* Judged by its values alone: what it is done on is the kernel's business. Modes that make holes, or move what is there, take no room. */
int sys_fallocate(Call *call)
{
	int mode = ARG_INT(call, 1);
	int64_t len = (int64_t)call->args[3];

	if (len <= 0 || (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)))
		return CALL_CONTINUE;
	int r = cowfs_quota_promise(call->sup->fs, (uint64_t)len);
	return r < 0 ? r : CALL_CONTINUE;
}

/* F_SETOWN: signals may go to guests only. Negative: a process group; positive: a process. */
int sys_fcntl(Call *call)
{
	int cmd = ARG_INT(call, 1);
	pid_t who = (pid_t)call->args[2];

	switch (cmd) {
	case F_SETOWN:
		if (who == 0)
			return CALL_CONTINUE;
		return who > 0 && proctree_is_guest(call->sup->tree, who) ? CALL_CONTINUE : -ESRCH;
	case F_SETSIG:
		return CALL_CONTINUE;
	case F_SETLEASE:
		return call->args[2] == F_UNLCK ? CALL_CONTINUE : -EACCES; /* would stall the host's writers */
	case F_NOTIFY:
		return -ENOTDIR;
	default:
		return -EINVAL;
	}
}

/* The other side of a terminal: opening it is refused to guests by Landlock, as it has no path that a rule could name. O_NOCTTY, or
 * it could become the terminal of this process; guests take it with TIOCSCTTY. */
static int open_terminal_peer(Call *call)
{
	CLEAN_FD int master = guest_fd_dup(call, ARG_FD(call, 0));
	int flags = ARG_INT(call, 2);

	if (master < 0)
		return master;
	CLEAN_FD int peer = ioctl(master, TIOCGPTPEER, flags | O_NOCTTY | O_CLOEXEC);
	return peer < 0 ? bv_neg_errno() : call_reply_fd(call, &peer, flags & O_CLOEXEC);
}

/* Refused requests in the words of the kernel: what no driver knows is ENOTTY. */
int sys_ioctl(Call *call)
{
	struct statx st;
	int r = guest_fd_statx(call, ARG_FD(call, 0), STATX_TYPE, &st);

	if (ARG_FD(call, 0) < 0 || r == -EBADF)
		return -EBADF;
	switch ((unsigned)call->args[1]) {
	case TIOCSTI:
	case TIOCLINUX:
	case TIOCCONS:
	case TIOCSETD:
	case FS_IOC_SETFLAGS:
	case FS_IOC_FSSETXATTR:
		return S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode) ? -EOPNOTSUPP : -EPERM;
	case TIOCGPTPEER:
		return S_ISCHR(st.stx_mode) ? open_terminal_peer(call) : -ENOTTY;
	case FIDEDUPERANGE:
		return -EOPNOTSUPP;
	default:
		return -ENOTTY;
	}
}

/* A real watch on the host object that stands for the watched one; the guest's own inotify descriptor gets it. */
int sys_inotify_add_watch(Call *call)
{
	CLEAN_PATH PathArg p = {0};
	CLEAN_LOC CowLoc loc = {0};
	CLEAN_FD int inotify = -1;
	CLEAN_FD int target = -1;
	char link[64];
	uint32_t mask = (uint32_t)call->args[2];

	int r = patharg_get(call, AT_FDCWD, call->args[1], false, &p);
	if (r == 0)
		r = cowfs_resolve(call->sup->fs, &call->req, patharg_at(&p), p.path,
				  ((mask & IN_DONT_FOLLOW) ? COW_NOFOLLOW : 0) | ((mask & IN_ONLYDIR) ? COW_DIRECTORY : 0), 0, &loc);
	if (r == 0)
		r = cowfs_access(call->sup->fs, &call->req, &loc, "", COW_EMPTY_PATH, R_OK);
	if (r < 0)
		return r;
	inotify = guest_fd_dup(call, ARG_FD(call, 0));
	if (inotify < 0)
		return inotify;
	r = cowfs_watch_place(call->sup->fs, &call->req, &loc, mask, &target);
	if (r < 0)
		return r;
	snprintf(link, sizeof link, "/proc/self/fd/%d", target);
	r = inotify_add_watch(inotify, link, mask & ~(uint32_t)IN_DONT_FOLLOW);
	return r < 0 ? bv_neg_errno() : r;
}
