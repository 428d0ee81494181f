/* supervisor/sysargs.h - decoding shared by the handlers: a path argument with what it is relative to. */
#ifndef SUPERVISOR_SYSARGS_H
#define SUPERVISOR_SYSARGS_H

#include "supervisor/call.h"

#include <fcntl.h>
#include <limits.h>

#define ARG_FD(call, i) ((int)(call)->args[i])
#define ARG_INT(call, i) ((int)(call)->args[i])
#define ARG_MODE(call, i) ((mode_t)(call)->args[i])

/* A decoded (dirfd, path) pair. Use as `CLEAN_PATH PathArg p;`. */
typedef struct PathArg {
	CowLoc at;
	char path[PATH_MAX];
} PathArg;

static inline void patharg_release(PathArg *p)
{
	cowloc_release(&p->at);
}
#define CLEAN_PATH __attribute__((cleanup(patharg_release)))

/* Copies the path in and finds its start. empty_ok: AT_EMPTY_PATH was given. -EFAULT, -ENAMETOOLONG, -EBADF, -ENOTDIR; -EXDEV when the
 * path is empty and the descriptor is no object of the view (a pipe, a socket, a memfd). */
static inline MUST_CHECK int patharg_get(Call *call, int fd, uint64_t addr, bool empty_ok, PathArg *p)
{
	int r = mem_read_path(call, addr, p->path);

	if (r < 0)
		return r;
	if (p->path[0] == 0 && !empty_ok)
		return -ENOENT;
	return guest_at(call, fd, p->path, empty_ok, &p->at);
}

static inline const CowLoc *patharg_at(const PathArg *p)
{
	return p->at.kind == COW_NONE ? NULL : &p->at;
}

/* AT_* of the guest to COW_* of cowfs. */
static inline unsigned walk_flags(int at_flags)
{
	return ((at_flags & AT_SYMLINK_NOFOLLOW) ? COW_NOFOLLOW : 0) | ((at_flags & AT_EMPTY_PATH) ? COW_EMPTY_PATH : 0);
}

#endif
