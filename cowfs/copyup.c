/* cowfs/copyup.c - giving a file a body of its own.
 *
 * The bytes are prepared aside (a blob that no row names) and published in one step under fs->lock, after the host's file was seen
 * unchanged by the copy and the record still wanting it. Small files are copied while the lock is held; larger ones without it, so
 * publishing checks again and starts over if somebody was faster or the host wrote. */
#include "internal.h"

#define COPY_TRIES 4

/* Ids are never used twice, so a blob that is there already was left by a run that ended before the first row that counted it. */
int body_create(Cowfs *fs, BlobId id, mode_t mode, int flags, int *fd)
{
	int rc = cow_fault("blob create");

	if (rc == 0)
		rc = blob_create(fs->blobs, id, mode, flags, fd);
	if (rc == -EEXIST && blob_remove(fs->blobs, id) == 0)
		rc = blob_create(fs->blobs, id, mode, flags, fd);
	return rc;
}

int body_make_fifo(Cowfs *fs, BlobId id, mode_t mode)
{
	int rc = cow_fault("blob create");

	mode = S_IFIFO | (mode & 07777) | 0600;
	if (rc == 0)
		rc = blob_make_node(fs->blobs, id, mode);
	if (rc == -EEXIST && blob_remove(fs->blobs, id) == 0)
		rc = blob_make_node(fs->blobs, id, mode);
	return rc;
}

int copy_bytes(Cowfs *fs, int from, int to, uint64_t size)
{
	int rc = cow_fault("copy");

	return rc < 0 ? rc : bv_copy_data(from, to, size, !(fs->flags & COWFS_NO_FICLONE));
}

static bool same_version(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
	       a->stx_size == b->stx_size && a->stx_mtime.tv_sec == b->stx_mtime.tv_sec && a->stx_mtime.tv_nsec == b->stx_mtime.tv_nsec &&
	       a->stx_ctime.tv_sec == b->stx_ctime.tv_sec && a->stx_ctime.tv_nsec == b->stx_ctime.tv_nsec;
}

typedef struct Copy {
	BlobId id;
	int fd;		       /* the blob */
	uint64_t reserved;     /* of the quota */
	struct statx from, to; /* the host's file as copied; the blob */
} Copy;

static void copy_discard(Cowfs *fs, Copy *copy)
{
	bv_close_fd(&copy->fd);
	quota_release(fs, copy->reserved);
	copy->reserved = 0;
	if (copy->id)
		(void)blob_remove(fs->blobs, copy->id); /* unreferenced: removed at the next start if not now */
	copy->id = 0;
}

/* Makes the blob, of the inode of a watched stand-in if there is one. Needs no lock: node->origin is copied by the caller. */
static int copy_make(Cowfs *fs, const char *origin, mode_t mode, const char *stand_in, bool truncated, Copy *copy)
{
	struct statx after;

	*copy = (Copy){.fd = -1};
	const int reading = truncated ? O_PATH | O_NOFOLLOW : O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
	CLEAN_FD int from = lower_open(fs, origin, reading, 0);
	if (from == -EACCES)
		from = lower_open_owned(fs, origin, reading);
	bool unread = from == -EACCES; /* the view allows it, the host does not: lock files and the like are empty, so that there is nothing to read */
	if (unread)
		from = lower_open(fs, origin, O_PATH | O_NOFOLLOW, 0);
	if (from < 0)
		return from;
	int rc = statx_of_fd(from, &copy->from);
	if (rc == 0 && !S_ISREG(copy->from.stx_mode))
		rc = -ESTALE;
	if (rc == 0 && unread && !truncated && copy->from.stx_size)
		rc = -EACCES;
	if (rc < 0)
		return rc;
	uint64_t taken = truncated ? 0 : copy->from.stx_blocks * 512;
	rc = quota_reserve(fs, taken);
	if (rc < 0)
		return rc;
	copy->reserved = taken;
	BlobId id = atomic_fetch_add(&fs->next_id, 1);
	rc = body_create(fs, id, mode & 07777, O_RDWR, &copy->fd);
	if (rc < 0) {
		copy_discard(fs, copy);
		return rc;
	}
	copy->id = id;
	if (stand_in)
		IGNORE_RESULT(watch_adopt(fs, stand_in, id, mode & 07777, &copy->fd)); /* the new blob is as good, only less watched */
	if (!truncated && !unread)
		rc = copy_bytes(fs, from, copy->fd, copy->from.stx_size);
	if (rc == 0)
		rc = statx_of_fd(from, &after);
	if (rc == 0 && !truncated && !same_version(&copy->from, &after))
		rc = -EAGAIN;
	if (rc == 0)
		rc = statx_of_fd(copy->fd, &copy->to);
	owner_show(fs, &copy->from);
	if (rc < 0)
		copy_discard(fs, copy);
	return rc;
}

static struct timespec shown(const CowNode *node, unsigned bit, struct timespec own, const struct statx_timestamp *host)
{
	return node->have & bit ? own : (struct timespec){host->tv_sec, host->tv_nsec};
}

/* The record takes the blob over. */
static int copy_publish(Cowfs *fs, CowNode *node, Copy *copy, bool truncated)
{
	const struct statx *st = &copy->from;
	struct timespec times[2] = {shown(node, OV_ATIME, node->atime, &st->stx_atime), shown(node, OV_MTIME, node->mtime, &st->stx_mtime)};
	int rc = node_set_base(node, st);

	if (rc == 0)
		rc = xattr_import(node, node->origin);
	if (rc == 0 && !truncated)
		rc = blob_utimens(fs->blobs, copy->id, times); /* no host refuses this to a file's owner */
	if (rc < 0)
		return rc;
	if (!(node->have & OV_MODE))
		node->mode = st->stx_mode;
	if (!(node->have & OV_UID))
		node->uid = st->stx_uid;
	if (!(node->have & OV_GID))
		node->gid = st->stx_gid;
	if (!(node->have & OV_NLINK))
		node->nlink = (int32_t)st->stx_nlink;
	node->have = (node->have | OV_MODE | OV_OWNER | OV_NLINK) & ~(unsigned)(OV_ATIME | OV_MTIME | OV_CTIME);
	node->blob = copy->id;
	copy->id = 0;
	quota_note(fs, node->blob, &copy->to);
	ident_set(fs, &node->own_id, node, statx_dev(&copy->to), copy->to.stx_ino);
	node_drop_origin(fs, node);
	node_dirty(fs, node);
	if (!truncated)
		filled_blob_add(fs, node->blob);
	fs->stats.copy_ups++;
	return 0;
}

static int copyup_fifo(Cowfs *fs, CowNode *node)
{
	Copy copy = {.fd = -1};
	int rc = lower_statx(fs, NULL, node->origin, &copy.from);

	if (rc < 0)
		return rc;
	if (!S_ISFIFO(copy.from.stx_mode))
		return -ESTALE;
	BlobId id = atomic_fetch_add(&fs->next_id, 1);
	rc = body_make_fifo(fs, id, node->mode);
	if (rc < 0)
		return rc;
	copy.id = id;
	rc = blob_statx(fs->blobs, id, COW_STATX_MASK, &copy.to);
	if (rc == 0)
		rc = copy_publish(fs, node, &copy, false);
	copy_discard(fs, &copy);
	return rc;
}

/* Without the lock; it is held again on return. */
static int copy_aside(Cowfs *fs, CowNode *node, const char *stand_in, bool truncated, Copy *copy)
{
	mode_t mode = node->mode;
	CLEAN_FREE char *origin = strdup(node->origin);

	if (!origin)
		return -ENOMEM;
	fs_unlock(fs);
	int rc = copy_make(fs, origin, mode, stand_in, truncated, copy);
	fs_wrlock(fs);
	if (rc < 0)
		return rc;
	if (!node->blob && !(node->flags & N_GONE) && node->origin && strcmp(node->origin, origin) == 0)
		return 0;
	copy_discard(fs, copy);
	return node->blob ? 0 : -ENOENT; /* somebody was faster, or it is gone */
}

static int copy_once(Cowfs *fs, CowNode *node, bool large, bool truncated, Copy *copy)
{
	char entry[WATCH_PATH];
	const char *stand_in = watch_stand_in(fs, node, entry) ? entry : NULL;

	int rc = large ? copy_aside(fs, node, stand_in, truncated, copy) : copy_make(fs, node->origin, node->mode, stand_in, truncated, copy);
	if (stand_in)
		node->flags &= ~(unsigned)N_WATCH_TAKEN;
	return rc;
}

int copyup_node(Cowfs *fs, const CowReq *req, CowNode *node, bool truncated)
{
	struct statx st;
	Copy copy = {.fd = -1};
	int rc = -EAGAIN;

	if (S_ISFIFO(node->mode) && !node->blob)
		return copyup_fifo(fs, node);
	for (int i = 0; i < COPY_TRIES && rc == -EAGAIN; i++) {
		if (node->blob) {
			rc = body_fetch(fs, req, node);
			return rc < 0 ? rc : seal_break(fs, req, node);
		}
		if (!node->origin)
			return -ENOENT;
		rc = lower_statx(fs, NULL, node->origin, &st);
		if (rc < 0)
			return rc;
		bool large = !truncated && st.stx_size > COWFS_INLINE_COPY;
		if (large && !req->may_block)
			return -EINPROGRESS;
		rc = copy_once(fs, node, large, truncated, &copy);
	}
	if (rc < 0)
		return rc == -EAGAIN ? -EBUSY : rc; /* the host writes it faster than it can be copied */
	if (copy.id)
		rc = copy_publish(fs, node, &copy, truncated);
	copy_discard(fs, &copy);
	return rc;
}

int copyup_empty(Cowfs *fs, CowNode *node, int flags, int *fd)
{
	CLEAN_FD int opened = -1;
	Copy copy = {.fd = -1};
	int rc = copy_once(fs, node, false, true, &copy);

	if (rc == 0)
		rc = blob_open(fs->blobs, copy.id, flags, &opened);
	if (rc == 0)
		rc = copy_publish(fs, node, &copy, true);
	copy_discard(fs, &copy);
	if (rc == 0)
		*fd = TAKE_FD(opened);
	return rc;
}
