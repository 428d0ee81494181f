/* cowfs/fetch.c - bodies that are not here yet (a sandbox restored from a snapshot): brought here before anybody gets a descriptor, without fs->lock, on a worker. */
#include "internal.h"

static int note_identity(Cowfs *fs, CowNode *node)
{
	struct statx st;
	int rc = blob_statx(fs->blobs, node->blob, STATX_INO, &st);

	if (rc == 0 && (st.stx_mask & STATX_INO))
		ident_set(fs, &node->own_id, node, statx_dev(&st), st.stx_ino);
	return rc;
}

int body_fetch(Cowfs *fs, const CowReq *req, CowNode *node)
{
	int rc = 0;

	if (fs->flags & COWFS_READONLY)
		return 0; /* who opens it gets a copy */
	node_get(node);
	while (rc == 0 && node->blob && S_ISREG(node->mode) && !blob_is_here(fs->blobs, node->blob)) {
		BlobId id = node->blob;
		if (!req->may_block) {
			rc = -EINPROGRESS;
			break;
		}
		fs_unlock(fs);
		rc = blob_fetch(fs->blobs, id);
		if ((rc == -ENOSPC || rc == -EDQUOT) && spool_make_room(fs)) {
			free(blob_fetch_error(fs->blobs)); /* nobody is to be told of what went well in the end */
			rc = blob_fetch(fs->blobs, id);
		}
		if (rc == 0)
			spool_grown(fs, id);
		fs_wrlock(fs);
		if (rc == 0 && node->blob == id && !(node->flags & N_GONE))
			rc = note_identity(fs, node);
	}
	node_put(node);
	return rc == -ENOENT ? -EIO : rc;
}

char *cowfs_fetch_error(Cowfs *fs)
{
	return blob_fetch_error(fs->blobs);
}
