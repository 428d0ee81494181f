/* sys_sync.c - fsync, fdatasync, sync, syncfs, msync: commit barriers (invariant 4). They wait for the disk, so they run on a worker. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"

int sys_fsync(Call *call)
{
	CLEAN_LOC CowLoc loc = {0};
	struct statx raw = {0};
	int r = ARG_FD(call, 0) < 0 ? -EBADF : guest_fd_loc(call, ARG_FD(call, 0), &loc, &raw);

	if (r == -EXDEV || r == -ENOENT) /* not of the view, or without a name: the kernel knows what to do with the bytes */
		return CALL_CONTINUE;
	if (r == 0)
		r = guest_fd_usable(call, ARG_FD(call, 0));
	if (r < 0)
		return r;
	if (loc.kind != COW_NODE || !(S_ISREG(raw.stx_mode) || S_ISDIR(raw.stx_mode)))
		return CALL_CONTINUE; /* untouched or foreign: nothing of ours; a FIFO or a device: the kernel says EINVAL */
	return cowfs_fsync(call->sup->fs, &call->req, &loc);
}

int sys_sync(Call *call)
{
	int r = cowfs_fsync(call->sup->fs, &call->req, NULL);

	return r == -EINPROGRESS ? r : 0; /* sync(2) cannot fail */
}

int sys_syncfs(Call *call)
{
	int r = guest_fd_usable(call, ARG_FD(call, 0));

	return r < 0 ? r : cowfs_fsync(call->sup->fs, &call->req, NULL);
}

/* MS_SYNC: names and metadata first, then the kernel writes the mapped pages. */
int sys_msync(Call *call)
{
	if (!call->req.may_block)
		return CALL_SLOW;
	int r = cowfs_commit(call->sup->fs, true);
	return r < 0 ? -EIO : CALL_CONTINUE;
}
