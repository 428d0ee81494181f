/* cowfs/commit.c - write-behind: changed records and names are collected into batches and given to the database by one writer thread.
 *
 * A batch holds everything that was dirty at one instant (fs->lock held for writing), so what is in the database is always a prefix of what
 * the guests did. Tickets: a caller of cowfs_commit takes the next number; a batch that is collected afterwards covers it. Who waits for a batch
 * writes it himself unless one is being written: an fsync that had to wake the writer and be woken by it took twice as long.
 * Blobs whose rows went are removed after the batch with the removal was written (I6).
 *
 * A durable commit makes durable what its rows say, and with them those of all batches before: the names of all blobs (a row whose blob is
 * missing would be damage), and the bytes of those that replaced something that was durable before: copies of host files, and files renamed
 * over others. New files that nobody synced may be empty after a power cut, as on other file systems. */
#include "internal.h"
#include "meta.h"
#include "unchanged.h"

#include <signal.h>
#include <time.h>

#define SYNC_EACH_MAX 64 /* more bodies than this are synced by one syncfs */

void commit_poke(Cowfs *fs)
{
	if (fs->pending || !fs->writer_runs)
		return; /* written under fs->lock held for writing, as are all changes that poke */
	fs->pending = true;
	pthread_mutex_lock(&fs->commit_lock);
	pthread_cond_signal(&fs->commit_wake);
	pthread_mutex_unlock(&fs->commit_lock);
}

/* ---- collecting ---- */

static int collect_pack_gone(CowBatch *batch, CowNode *node)
{
	CowRow row = {.kind = ROW_PACK_GONE, .dir = node->id};
	int rc = batch_add(batch, &row, NULL, 0, NULL, 0);

	if (rc == 0)
		node->flags &= ~(unsigned)(N_PACK_ROW | N_PACK_GONE);
	return rc;
}

static int collect_node(CowBatch *batch, CowNode *node)
{
	CowRow row = {.id = node->id};

	if ((node->flags & N_PACK_GONE) || ((node->flags & N_PACK_ROW) && (node->flags & (N_DEAD | N_GONE)))) {
		int gone = collect_pack_gone(batch, node);
		if (gone < 0)
			return gone;
	}
	if (node->flags & (N_DEAD | N_GONE | N_TMPFILE)) {
		row.kind = ROW_INODE_GONE;
		if (!(node->flags & N_STORED))
			return 0;
		int rc = batch_add(batch, &row, NULL, 0, NULL, 0);
		row.kind = ROW_XATTRS_GONE;
		if (rc == 0 && (node->xattrs || (node->flags & N_XATTR)))
			rc = batch_add(batch, &row, NULL, 0, NULL, 0);
		if (rc == 0)
			node->flags &= ~(unsigned)N_STORED;
		return rc;
	}
	row.kind = ROW_INODE;
	row.have = node->have;
	row.flags = node->flags & (N_PRIVATE | N_CARRIED);
	row.mode = node->mode;
	row.uid = node->uid;
	row.gid = node->gid;
	row.nlink = node->nlink;
	row.rdev = node->rdev;
	row.vdev = node->vdev;
	row.vino = node->vino;
	row.blob = node->blob;
	row.atime = node->atime;
	row.mtime = node->mtime;
	row.ctime = node->ctime;
	row.btime = node->btime;
	if (node->base)
		row.base = *node->base;
	int rc = batch_add(batch, &row, node->origin, node->origin ? strlen(node->origin) : 0, node->target, node->target ? strlen(node->target) : 0);
	if (rc == 0 && (node->flags & N_XATTR)) {
		CowRow gone = {.kind = ROW_XATTRS_GONE, .id = node->id};
		rc = batch_add(batch, &gone, NULL, 0, NULL, 0);
		for (CowXattr *x = node->xattrs; x && rc == 0; x = x->next) {
			CowRow xrow = {.kind = ROW_XATTR, .id = node->id};
			rc = batch_add(batch, &xrow, x->name, x->nlen, x->deleted ? NULL : xattr_value(x), x->size);
		}
	}
	if (rc == 0)
		node->flags = (node->flags & ~(unsigned)N_XATTR) | N_STORED;
	return rc;
}

/* Neither pins nor what is in a pinned directory has a row. */
static bool is_stored(const CowDentry *d)
{
	const unsigned never = N_PIN | N_PRIVATE;

	return !(d->flags & D_PIN) && !(d->dir && (d->dir->flags & never)) && !(d->node && (d->node->flags & never));
}

static int collect_dentry(CowBatch *batch, CowDentry *d)
{
	CowRow row = {.kind = d->flags & D_GONE ? ROW_DENTRY_GONE : ROW_DENTRY, .dir = d->dir_id, .id = d->node ? d->node->id : 0, .flags = d->flags & (D_OVER | D_HIDE)};

	if ((d->flags & D_GONE) && !(d->flags & D_STORED))
		return 0;
	if (!(d->flags & D_GONE) && !is_stored(d))
		return 0; /* laid over by a pin after it was changed */
	if (d->base)
		row.base = *d->base;
	int rc = batch_add(batch, &row, d->name, d->len, NULL, 0);
	if (rc == 0)
		d->flags |= D_STORED;
	return rc;
}

/* On -ENOMEM what is left stays dirty and goes with a later batch. */
static int collect_locked(Cowfs *fs, CowBatch *batch)
{
	int rc = 0;

	while (fs->dirty_nodes && rc == 0) {
		CowNode *node = fs->dirty_nodes;
		rc = collect_node(batch, node);
		if (rc < 0)
			break;
		fs->dirty_nodes = node->dirty_next;
		node->flags &= ~(unsigned)N_DIRTY;
		node_put(node);
	}
	if (!fs->dirty_nodes)
		fs->dirty_nodes_end = &fs->dirty_nodes;
	while (fs->dirty_dentries && rc == 0) {
		CowDentry *d = fs->dirty_dentries;
		rc = collect_dentry(batch, d);
		if (rc < 0)
			break;
		fs->dirty_dentries = d->dirty_next;
		d->flags &= (uint8_t)~D_DIRTY;
		if (d->flags & D_GONE)
			dentry_free(d);
	}
	if (!fs->dirty_dentries)
		fs->dirty_dentries_end = &fs->dirty_dentries;
	fs->pending = false;
	batch->next_id = atomic_load(&fs->next_id);
	return rc;
}

/* ---- the writer thread ---- */

/* Moves the ids in *from behind those in *to. */
static int append_ids(BlobId **to, size_t *nto, const BlobId *from, size_t *nfrom)
{
	if (!*nfrom)
		return 0;
	BlobId *more = realloc(*to, (*nto + *nfrom) * sizeof *more);
	if (!more)
		return -ENOMEM;
	memcpy(more + *nto, from, *nfrom * sizeof *more);
	*to = more;
	*nto += *nfrom;
	*nfrom = 0;
	return 0;
}

/* The blobs that died, and those whose bytes a durable commit has to wait for, go to the lists of the batch in hand. */
static int take_lists_locked(Cowfs *fs)
{
	int rc = append_ids(&fs->dying, &fs->ndying, fs->dead_blobs, &fs->ndead);

	return rc < 0 ? rc : append_ids(&fs->filling, &fs->nfilling, fs->filled, &fs->nfilled);
}

static int sync_bodies(Cowfs *fs, uint64_t next_id)
{
	int rc = 0;

	if (fs->nfilling > SYNC_EACH_MAX)
		rc = blob_sync(fs->blobs, 0);
	else
		for (size_t i = 0; i < fs->nfilling && rc == 0; i++) {
			rc = blob_sync(fs->blobs, fs->filling[i]);
			rc = rc == -ENOENT ? 0 : rc; /* removed meanwhile */
		}
	if (rc == 0 && next_id > fs->names_synced)
		rc = blob_sync_names(fs->blobs, fs->names_synced, next_id - 1);
	if (rc < 0)
		return rc;
	fs->names_synced = next_id;
	fs->nfilling = 0;
	return 0;
}

/* `now`: also while somebody looks. */
static void remove_dying(Cowfs *fs, bool now)
{
	if (!now && atomic_load(&fs->lookers))
		return; /* they go with a later batch */
	for (size_t i = 0; i < fs->ndying; i++) {
		(void)seal_remove_blob(fs, fs->dying[i]); /* one that stays is unreferenced: see dead_blob_add */
		watch_blob_removed(fs, fs->dying[i]);
	}
	fs->ndying = 0;
}

/* Guests are told what trying again (50 ms later) could not mend, until a batch is written. */
static void note_stuck(Cowfs *fs, int rc)
{
	if (rc == -ENOMEM || rc == -EAGAIN)
		return;
	fs->failures = rc < 0 ? fs->failures + 1 : 0;
	if (fs->failures != 1)
		atomic_store(&fs->stuck, rc);
}

/* EIO is what SQLite makes of some places where a disk is full. */
static bool is_full(int rc, bool durable)
{
	return rc == -ENOSPC || (rc == -EIO && !durable);
}

static int write_once(Cowfs *fs, bool durable, bool clean)
{
	fs_wrlock(fs);
	int rc = collect_locked(fs, fs->batch);
	if (rc == 0)
		rc = take_lists_locked(fs);
	quota_collected(fs);
	if (fs->batch->rows) {
		unchanged_note(fs, NULL);
		fs->stats.commits++;
	}
	fs_unlock(fs);
	/* A batch that could not be collected whole is no consistent prefix yet: it waits for its rest. */
	if (rc == 0 && durable && fs->durable)
		rc = sync_bodies(fs, fs->batch->next_id);
	if (rc == 0)
		rc = meta_write(fs->meta, fs->batch, durable, clean, fs->ndying > 0);
	if (is_full(rc, durable) && fs->ndying && meta_is_unwritten(fs->meta)) { /* no row names anything yet */
		remove_dying(fs, true);
		rc = meta_write(fs->meta, fs->batch, durable, clean, false);
	}
	note_stuck(fs, rc);
	if (rc < 0)
		return rc; /* the batch is kept and goes with the next one */
	remove_dying(fs, clean);
	meta_keep_room(fs->meta);
	fs->written_next = fs->batch->next_id;
	quota_written(fs);
	batch_reset(fs->batch);
	return 0;
}

static void deadline_in(struct timespec *ts, long ns)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_nsec += ns % 1000000000L;
	ts->tv_sec += ns / 1000000000L + ts->tv_nsec / 1000000000L;
	ts->tv_nsec %= 1000000000L;
}

static bool asked_locked(const Cowfs *fs)
{
	return fs->stopping || fs->want > fs->done;
}

/* Sleeps until there is something to write; gathers for 50 ms unless somebody waits. Returns whether to look at orphans. */
static bool wait_for_work_locked(Cowfs *fs, uint64_t *reaped_at)
{
	struct timespec until;

	for (;;) {
		bool later = fs->norphans > 0 || atomic_load(&fs->opened.waits);
		if (asked_locked(fs) || fs->pending)
			break;
		if (!later) {
			pthread_cond_wait(&fs->commit_wake, &fs->commit_lock);
			continue;
		}
		deadline_in(&until, COW_ORPHAN_SECONDS * 1000000000L);
		if (pthread_cond_timedwait(&fs->commit_wake, &fs->commit_lock, &until) == ETIMEDOUT)
			break;
	}
	deadline_in(&until, COW_COMMIT_NS);
	while (!asked_locked(fs) && pthread_cond_timedwait(&fs->commit_wake, &fs->commit_lock, &until) != ETIMEDOUT)
		;
	uint64_t now = bv_now_coarse_ns();
	if (fs->norphans < COW_ORPHAN_BATCH && !atomic_load(&fs->stuck) && !atomic_exchange(&fs->reap_soon, false) && now - *reaped_at < COW_ORPHAN_SECONDS * 1000000000ULL)
		return false;
	*reaped_at = now;
	return true;
}

/* Nobody else is committing. Releases commit_lock meanwhile. */
static void commit_locked(Cowfs *fs, bool reap)
{
	uint64_t ticket = fs->want;
	bool durable = fs->want_durable > fs->durable_done; /* also after one that failed: nobody may be told the result of a lesser batch */

	fs->committing = true;
	pthread_mutex_unlock(&fs->commit_lock);
	bool more = reap && orphans_reap(fs, false);
	if (reap)
		opened_flush(fs);
	int rc = write_once(fs, durable, false);
	if (is_full(rc, durable) && !durable && fs->norphans) { /* what was removed may be what fills the disk. Never an fsync again that has failed: it would not fail twice */
		more = orphans_reap(fs, false) || more;
		rc = write_once(fs, durable, false);
	}
	pthread_mutex_lock(&fs->commit_lock);
	fs->commit_error = rc;
	fs->committing = false;
	if (rc < 0 || more) { /* tried again with the next batch, in 50 ms at the latest */
		fs->pending = true;
		pthread_cond_signal(&fs->commit_wake);
	}
	fs->done = ticket;
	if (durable && rc == 0)
		fs->durable_done = ticket;
	pthread_cond_broadcast(&fs->commit_done);
}

void cowfs_look_begin(Cowfs *fs)
{
	atomic_fetch_add(&fs->lookers, 1);
}

void cowfs_look_end(Cowfs *fs)
{
	if (atomic_fetch_sub(&fs->lookers, 1) != 1)
		return;
	fs_wrlock(fs);
	commit_poke(fs);
	fs_unlock(fs);
}

/* For a snapshot. Who holds it writes all that there is, by commit_rest when guests stand still, and nobody else writes anything until commit_release. */
int commit_hold(Cowfs *fs)
{
	pthread_mutex_lock(&fs->commit_lock);
	while (fs->committing)
		pthread_cond_wait(&fs->commit_done, &fs->commit_lock);
	fs->committing = true;
	pthread_mutex_unlock(&fs->commit_lock);
	opened_flush(fs);
	return write_once(fs, false, false);
}

int commit_rest(Cowfs *fs)
{
	return write_once(fs, false, false);
}

void commit_release(Cowfs *fs)
{
	pthread_mutex_lock(&fs->commit_lock);
	fs->committing = false;
	fs->pending = true;
	pthread_cond_signal(&fs->commit_wake);
	pthread_cond_broadcast(&fs->commit_done);
	pthread_mutex_unlock(&fs->commit_lock);
}

static void *writer_main(void *arg)
{
	Cowfs *fs = arg;
	uint64_t reaped_at = 0;

	pthread_mutex_lock(&fs->commit_lock);
	while (!fs->stopping) {
		bool reap = wait_for_work_locked(fs, &reaped_at);
		if (!fs->committing) {
			commit_locked(fs, reap);
			continue;
		}
		if (reap)
			atomic_store(&fs->reap_soon, true); /* after that one */
		pthread_cond_wait(&fs->commit_done, &fs->commit_lock);
	}
	pthread_mutex_unlock(&fs->commit_lock);
	return NULL;
}

int commit_start(Cowfs *fs)
{
	fs->batch = calloc(1, sizeof *fs->batch);
	if (!fs->batch)
		return -ENOMEM;
	fs->written_next = atomic_load(&fs->next_id);
	fs->writer_runs = true;
	fs->pending = fs->dirty_nodes || fs->dirty_dentries;
	int rc = pthread_create(&fs->writer, NULL, writer_main, fs);
	if (rc)
		fs->writer_runs = false;
	return -rc;
}

/* The disk is full, and the sandbox ends: bodies that no row on the disk can name would keep it full. Not after other errors: who knows what they wrote. */
static void remove_unwritten(Cowfs *fs)
{
	for (uint64_t id = fs->written_next; id < atomic_load(&fs->next_id); id++)
		(void)blob_remove(fs->blobs, id);
}

int commit_stop(Cowfs *fs)
{
	pthread_mutex_lock(&fs->commit_lock);
	fs->stopping = true;
	pthread_cond_signal(&fs->commit_wake);
	pthread_mutex_unlock(&fs->commit_lock);
	pthread_join(fs->writer, NULL);
	fs->writer_runs = false;
	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) { /* what is in a pinned directory ends with the run */
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if ((node->flags & N_PRIVATE) && node->blob && !(node->flags & N_ORPHAN))
			dead_blob_add(fs, node->blob);
	}
	IGNORE_RESULT(orphans_reap(fs, true)); /* all of them */
	int rc = write_once(fs, false, true);
	if (rc == -ENOSPC)
		remove_unwritten(fs);
	return rc;
}

int cowfs_commit(Cowfs *fs, bool durable)
{
	if (!durable && fs->moved) { /* somebody looks from outside, and may have applied a rename */
		fs_wrlock(fs);
		int moved = origins_relocate(fs);
		fs_unlock(fs);
		if (moved < 0)
			return moved;
	}
	if (!fs->writer_runs)
		return 0;
	pthread_mutex_lock(&fs->commit_lock);
	if (!durable && !fs->pending && !fs->committing && fs->done == fs->want && fs->commit_error == 0) {
		pthread_mutex_unlock(&fs->commit_lock); /* all is written: the end of a command that changed nothing costs nothing */
		return 0;
	}
	uint64_t ticket = ++fs->want;
	if (durable)
		fs->want_durable = ticket;
	sigset_t all, old; /* a signal for the caller's thread is no reason to fail a batch */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (fs->done < ticket)
		if (fs->committing)
			pthread_cond_wait(&fs->commit_done, &fs->commit_lock);
		else
			commit_locked(fs, false);
	int rc = fs->commit_error;
	pthread_mutex_unlock(&fs->commit_lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static bool blob_is_of(Cowfs *fs, const CowLoc *loc, BlobId blob)
{
	if (!loc)
		return true;
	fs_rdlock(fs);
	bool same = loc->node->blob == blob && !(loc->node->flags & N_GONE);
	fs_unlock(fs);
	return same;
}

int cowfs_fsync(Cowfs *fs, const CowReq *req, const CowLoc *loc)
{
	BlobId blob = 0;
	int rc = 0;

	if (!req->may_block)
		return -EINPROGRESS;
	if (loc && loc->kind == COW_NODE) {
		fs_rdlock(fs);
		blob = loc->node->blob;
		bool syncs = S_ISREG(loc->node->mode) || S_ISDIR(loc->node->mode);
		fs_unlock(fs);
		if (!syncs)
			return -EINVAL;
	}
	if (fs->durable && (!loc || blob))
		rc = blob_sync(fs->blobs, blob);
	if (rc == -ENOENT && blob_is_of(fs, loc, blob))
		rc = -EIO; /* a row whose bytes are gone */
	else if (rc == -ENOENT)
		rc = 0; /* closed and removed meanwhile */
	int committed = cowfs_commit(fs, true);
	return rc < 0 ? rc : committed;
}
