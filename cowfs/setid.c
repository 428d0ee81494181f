/* cowfs/setid.c - writing takes the set-ID bits off a file, unless root writes. Guests write natively to the blob, whose inode never has these bits
 * (it is the host's); so a body with such a record is watched: N_SETID says that node->mtime is the blob's mtime from before, and a
 * later one that the file was written, and that the bits are gone. Whoever changes the blob's times settles that first.
 *
 * The blob's times are its own (node->have lacks OV_MTIME), so node->mtime is free. A kernel before 6.13 counts time in ticks: a write
 * within the tick of the chmod is not seen. */
#include "internal.h"

static mode_t lost_by_writing(mode_t mode)
{
	if (!S_ISREG(mode))
		return 0;
	return (mode & S_ISUID) | ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ? S_ISGID : 0);
}

static bool was_written(const CowNode *node, const struct statx *blob)
{
	return (node->flags & N_SETID) && (node->mtime.tv_sec != blob->stx_mtime.tv_sec || (uint32_t)node->mtime.tv_nsec != blob->stx_mtime.tv_nsec);
}

mode_t setid_mode(const CowNode *node, const struct statx *blob)
{
	return was_written(node, blob) ? node->mode & ~lost_by_writing(node->mode) : node->mode;
}

void setid_watch(Cowfs *fs, const CowReq *req, CowNode *node)
{
	struct statx st;

	if (!lost_by_writing(node->mode) || (node->flags & N_SETID) || !node->blob || (node->have & OV_MTIME) || req->cred->uid == 0)
		return;
	if (blob_statx(fs->blobs, node->blob, STATX_MTIME, &st) < 0)
		return;
	node->mtime = (struct timespec){st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec};
	node->flags |= N_SETID;
}

void setid_written(Cowfs *fs, const CowReq *req, CowNode *node)
{
	mode_t lost = lost_by_writing(node->mode);

	if (!lost || req->cred->uid == 0)
		return;
	node->mode &= ~lost;
	node->flags &= ~(unsigned)N_SETID;
	node->have |= OV_MODE;
	node_dirty(fs, node);
}

void setid_settle(Cowfs *fs, CowNode *node)
{
	struct statx st;

	if (!(node->flags & N_SETID) || blob_statx(fs->blobs, node->blob, STATX_MTIME, &st) < 0)
		return;
	if (was_written(node, &st)) {
		node->mode = setid_mode(node, &st);
		node_dirty(fs, node);
	}
	node->flags &= ~(unsigned)N_SETID;
}

void setid_settle_all(Cowfs *fs)
{
	fs_wrlock(fs);
	HMAP_FOREACH_SAFE (&fs->nodes, h, next)
		setid_settle(fs, CONTAINER_OF(h, CowNode, by_id));
	fs_unlock(fs);
}
