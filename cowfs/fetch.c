/* cowfs/fetch.c - bodies that are not here yet (a sandbox restored from a snapshot): brought here before anybody gets a descriptor, without fs->lock, on a worker.
 *
 * A body has arrived when its node knows its inode (own_id): nobody opens it before, so what opens it is known by its descriptor, and until then its file may be replaced by that
 * which the watches of its directories rest on (watch.c). */
#include "internal.h"

/* A record that is out of the index is known by nothing. */
static bool has_arrived(const Cowfs *fs, const CowNode *node)
{
	return (node->own_id.listed || (node->flags & N_GONE)) && blob_is_here(fs->blobs, node->blob);
}

static int note_identity(Cowfs *fs, CowNode *node)
{
	struct statx st;
	int rc = blob_statx(fs->blobs, node->blob, STATX_INO, &st);

	if (rc == 0 && (st.stx_mask & STATX_INO))
		ident_set(fs, &node->own_id, node, statx_dev(&st), st.stx_ino);
	return rc;
}

static bool is_awaited(const CowNode *node, BlobId id)
{
	return node->blob == id && !node->own_id.listed && !(node->flags & N_GONE);
}

/* Without fs->lock; it is held for writing on return. */
static int arrive(Cowfs *fs, CowNode *node, BlobId id)
{
	pthread_mutex_lock(&fs->arrive_lock);
	fs_wrlock(fs);
	if (is_awaited(node, id) && watch_take_stand_in(fs, node)) {
		fs_unlock(fs);
		bool filled = watch_fill(fs, id) == 0;
		fs_wrlock(fs);
		watch_end_fill(fs, id, filled && is_awaited(node, id));
	}
	int rc = is_awaited(node, id) ? note_identity(fs, node) : 0;
	pthread_mutex_unlock(&fs->arrive_lock);
	return rc;
}

void trouble_note(Cowfs *fs, char *what)
{
	free(atomic_exchange(&fs->trouble, what)); /* the last one */
}

int body_lost(Cowfs *fs, BlobId id)
{
	if (!(fs->flags & COWFS_READONLY)) /* who looks knows the path */
		trouble_note(fs, bv_asprintf("the sandbox is damaged: the content of a file (blob %llu) is missing", (unsigned long long)id));
	return -EIO;
}

static int fetch(Cowfs *fs, BlobId id)
{
	if (blob_is_here(fs->blobs, id))
		return 0; /* another one fetched it just now */
	int rc = blob_fetch(fs->blobs, id);
	/* The second time, also for what was in use the first time. */
	for (int attempt = 0; attempt < 2 && (rc == -ENOSPC || rc == -EDQUOT); attempt++) {
		if (!spool_make_room(fs, attempt > 0))
			continue;
		free(blob_fetch_error(fs->blobs)); /* nobody is to be told of what went well in the end */
		rc = blob_fetch(fs->blobs, id);
	}
	if (rc == 0)
		spool_grown(fs, id);
	return rc;
}

int body_fetch(Cowfs *fs, const CowReq *req, CowNode *node)
{
	int rc = 0;

	if (fs->flags & COWFS_READONLY)
		return 0; /* who opens it gets a copy */
	node_get(node);
	while (rc == 0 && node->blob && S_ISREG(node->mode) && !has_arrived(fs, node)) {
		BlobId id = node->blob;
		if (!req->may_block) {
			rc = -EINPROGRESS;
			break;
		}
		fs_unlock(fs);
		rc = fetch(fs, id);
		if (rc == 0)
			rc = arrive(fs, node, id);
		else
			fs_wrlock(fs);
	}
	if (rc == -ENOENT)
		rc = body_lost(fs, node->blob);
	node_put(node);
	return rc;
}

char *cowfs_fetch_error(Cowfs *fs)
{
	char *why = blob_fetch_error(fs->blobs);

	return why ? why : atomic_exchange(&fs->trouble, NULL);
}
