/* cowfs/seal.c - a view stays as it was at one moment, for a snapshot, while guests go on changing it (design section 8).
 *
 * Records need nothing for that: whoever takes the snapshot reads the database in one transaction, which begins while commits are held. Bodies are sealed:
 * a blob that was there at that moment (its number is below `below`) is kept aside before anybody may write to it again, and when it goes. A body that a guest had
 * open for writing at that moment was kept then, as its writes come without us: it is free.
 *
 * Who writes: each open for writing marks its record (N_WRITER). cowfs_freeze_prepare asks the kernel about all of those, while guests run; cowfs_freeze only
 * about those that were found in use and those that were opened meanwhile (`noted`). A read lease is what asks: it is refused while somebody can write. Where it does not
 * tell who has the body mapped, that is looked at afterwards (mapped.c): for those that nobody had open (N_UNOPENED) and nobody has opened meanwhile.
 *
 * All of it under fs->lock held for writing, but for `active` and what says otherwise. */
#include "unchanged.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/statfs.h>

#define SLICE 32 /* questions for each time that the lock is held: 0.1 ms */

typedef struct Free {
	HmapNode node;
	BlobId id;
} Free;

static bool is_free(const CowSeal *s, BlobId id)
{
	for (HmapNode *n = hmap_first(&s->free, hash_u64(id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Free, node)->id == id)
			return true;
	return false;
}

static int set_free(CowSeal *s, BlobId id)
{
	if (is_free(s, id))
		return 0;
	Free *f = malloc(sizeof *f);
	if (!f)
		return -ENOMEM;
	f->id = id;
	hmap_insert(&s->free, &f->node, hash_u64(id, 0));
	return 0;
}

/* ---- who writes ---- */

static int note(CowSeal *s, CowNode *node)
{
	if (!BV_GROW(s->noted, s->nnoted, s->noted_room))
		return -ENOMEM;
	s->noted[s->nnoted++] = node_get(node);
	return 0;
}

static bool is_timeless(Cowfs *fs, BlobId id)
{
	CLEAN_FD int fd = -1;
	struct statfs st;

	if (fs->timeless < 0 && blob_open(fs->blobs, id, O_RDONLY | O_NONBLOCK, &fd) == 0 && fstatfs(fd, &st) == 0)
		fs->timeless = st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC || blob_hides_maps(fs->blobs); /* an overlay may be on such a one */
	return fs->timeless != 0;
}

/* In memory, a store into a mapping that was read before changes no time. Who remembers a body by its times (contents.h) is to see that it was opened for writing. */
static void bump_ctime(Cowfs *fs, const CowNode *node)
{
	struct statx st;

	if ((node->flags & N_STORED) && node->blob && is_timeless(fs, node->blob) && blob_statx(fs->blobs, node->blob, STATX_MODE, &st) == 0)
		IGNORE_RESULT(blob_chmod(fs->blobs, node->blob, st.stx_mode & 07777));
}

void seal_note_writer(Cowfs *fs, CowNode *node)
{
	node->flags = (node->flags | N_WRITER) & ~(unsigned)N_UNOPENED;
	unchanged_note(fs, node);
	quota_note(fs, node->blob, NULL);
	bump_ctime(fs, node);
	if (fs->seal.noting && note(&fs->seal, node) < 0)
		fs->seal.error = -ENOMEM;
}

static void drop_noted(CowSeal *s)
{
	for (size_t i = 0; i < s->nnoted; i++)
		node_put(s->noted[i]);
	free(s->noted);
	s->noted = NULL;
	s->nnoted = s->noted_room = 0;
	s->noting = false;
}

/* Where leases are not to be had, everybody may. SIGURG: whoever opens the blob meanwhile waits for us, and a lease that is broken is no reason to die. */
bool seal_has_writer(BlobStore *blobs, BlobId id)
{
	CLEAN_FD int fd = -1;

	if (!blob_is_here(blobs, id))
		return false;
	int rc = blob_open(blobs, id, O_RDONLY | O_NONBLOCK, &fd);
	if (rc < 0)
		return rc != -ENOENT; /* it is gone: nobody reads it, either */
	IGNORE_RESULT(fcntl(fd, F_SETSIG, SIGURG));
	return fcntl(fd, F_SETLEASE, F_RDLCK) < 0;
}

bool seal_is_opened(Cowfs *fs, const CowNode *node)
{
	return node->blob && S_ISREG(node->mode) && seal_has_writer(fs->blobs, node->blob);
}

/* The marks stay until it is known that they are wrong: a freeze that fails is not to lose one. */
static int list_writers(Cowfs *fs)
{
	int rc = 0;

	HMAP_FOREACH_SAFE (&fs->nodes, h, tmp) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		rc = node->flags & N_WRITER ? note(&fs->seal, node) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void ask_lease(Cowfs *fs, CowNode *node)
{
	if (seal_is_opened(fs, node))
		node->flags &= ~(unsigned)N_UNOPENED;
	else
		node->flags |= N_UNOPENED;
}

/* After ask_lease, and after what is mapped was taken: of all processes. */
static bool still_written(Cowfs *fs, const CowMapped *mapped, CowNode *node)
{
	bool unopened = node->flags & N_UNOPENED, is_mapped = unopened && node->blob && mapped_has(mapped, fs->blobs, node->blob, true);

	node->flags &= ~(unsigned)(unopened && !is_mapped ? N_MAPPED | N_WRITER : N_MAPPED);
	if (is_mapped)
		node->flags |= N_MAPPED;
	return !unopened || is_mapped;
}

static void let_others_in(Cowfs *fs, size_t i)
{
	if (i % SLICE == SLICE - 1) {
		fs_unlock(fs);
		fs_wrlock(fs);
	}
}

/* Only those that are in use stay, and those that others have noted meanwhile: the lock is released now and then. */
static int sift(Cowfs *fs)
{
	CowSeal *s = &fs->seal;
	CowNode **list = TAKE_PTR(s->noted);
	CowMapped mapped = {0};
	size_t n = s->nnoted;
	int rc = 0;

	s->nnoted = s->noted_room = 0;
	for (size_t i = 0; i < n; i++) {
		ask_lease(fs, list[i]);
		let_others_in(fs, i);
	}
	if (n) {
		fs_unlock(fs);
		mapped_take(&fs->mappers, false, &mapped);
		fs_wrlock(fs);
	}
	for (size_t i = 0; i < n; i++) {
		if (rc == 0 && still_written(fs, &mapped, list[i]))
			rc = note(s, list[i]);
		node_put(list[i]);
		let_others_in(fs, i);
	}
	mapped_release(&mapped);
	free(list);
	return rc;
}

/* ---- sealed bodies ---- */

bool seal_holds(const Cowfs *fs, BlobId id)
{
	return id && id < fs->seal.below && !is_free(&fs->seal, id);
}

/* The snapshot fails, not the guest. */
static void give_up(Cowfs *fs, int rc)
{
	fs->seal.error = rc;
	fs->seal.below = 0;
	atomic_store(&fs->seal.active, false);
}

static unsigned how_to_keep(const Cowfs *fs)
{
	return fs->flags & COWFS_NO_FICLONE ? 0 : BLOB_KEEP_CLONE;
}

/* A large body is kept without fs->lock, and the snapshot may end meanwhile: what is kept then is dropped when all of these have ended, and is not of the next one. */
static int keep_unlocked(Cowfs *fs, BlobId id)
{
	CowSeal *s = &fs->seal;

	pthread_mutex_lock(&s->keep_lock);
	s->keeping++;
	pthread_mutex_unlock(&s->keep_lock);
	fs_unlock(fs);
	int rc = cow_fault("keep");
	if (rc == 0)
		rc = blob_keep(fs->blobs, id, how_to_keep(fs));
	pthread_mutex_lock(&s->keep_lock);
	if (--s->keeping == 0)
		pthread_cond_broadcast(&s->kept);
	pthread_mutex_unlock(&s->keep_lock);
	fs_wrlock(fs);
	return rc;
}

static int keep_locked(Cowfs *fs, BlobId id)
{
	int rc = cow_fault("keep");

	return rc < 0 ? rc : blob_keep(fs->blobs, id, how_to_keep(fs));
}

int seal_break(Cowfs *fs, const CowReq *req, const CowNode *node)
{
	unchanged_note(fs, node);
	while (atomic_load(&fs->seal.active) && node->blob && S_ISREG(node->mode) && seal_holds(fs, node->blob)) {
		BlobId id = node->blob;
		uint64_t turn = fs->seal.turn;
		struct statx st;
		int rc = blob_statx(fs->blobs, id, STATX_SIZE, &st);
		bool large = rc == 0 && st.stx_size > COWFS_INLINE_COPY;
		if (large && !req->may_block)
			return -EINPROGRESS;
		if (rc == 0)
			rc = large ? keep_unlocked(fs, id) : keep_locked(fs, id);
		if (turn != fs->seal.turn)
			continue; /* that snapshot has ended */
		if (rc == 0)
			rc = set_free(&fs->seal, id);
		if (rc < 0)
			give_up(fs, rc);
	}
	return 0;
}

/* Of the batch that is being written; fs->lock is not held. */
int seal_remove_blob(Cowfs *fs, BlobId id)
{
	if (!atomic_load(&fs->seal.active))
		return blob_remove(fs->blobs, id);
	fs_wrlock(fs);
	bool sealed = atomic_load(&fs->seal.active) && seal_holds(fs, id);
	int rc = sealed ? blob_keep(fs->blobs, id, BLOB_KEEP_MOVE) : 0;
	if (rc < 0 && rc != -ENOENT)
		give_up(fs, rc);
	fs_unlock(fs);
	return sealed && rc == 0 ? 0 : blob_remove(fs->blobs, id);
}

/* ---- the snapshot's side ---- */

int seal_init(Cowfs *fs)
{
	pthread_mutex_init(&fs->seal.keep_lock, NULL);
	pthread_cond_init(&fs->seal.kept, NULL);
	return hmap_init(&fs->seal.free);
}

void seal_release(Cowfs *fs)
{
	drop_noted(&fs->seal);
	HMAP_FOREACH_SAFE (&fs->seal.free, n, next)
		free(CONTAINER_OF(n, Free, node));
	hmap_release(&fs->seal.free);
	pthread_cond_destroy(&fs->seal.kept);
	pthread_mutex_destroy(&fs->seal.keep_lock);
}

int cowfs_freeze_prepare(Cowfs *fs, size_t *writers)
{
	CowSeal *s = &fs->seal;

	fs_wrlock(fs);
	if (s->noting || s->below || s->held) {
		fs_unlock(fs);
		return -EBUSY;
	}
	s->error = 0;
	s->noting = true;
	int rc = list_writers(fs);
	if (rc == 0)
		rc = sift(fs);
	if (rc == 0)
		*writers = s->nnoted;
	else
		drop_noted(s);
	fs_unlock(fs);
	if (rc == 0)
		rc = blob_drop_kept(fs->blobs); /* what could not be dropped is not of this one */
	if (rc == 0) {
		rc = commit_hold(fs); /* an fsync that is at work may take its time: not while guests stand still */
		s->held = true;
	}
	if (rc < 0)
		IGNORE_RESULT(cowfs_thaw(fs));
	return rc;
}

/* Of the noted. True: of one it depends on what is mapped whether it is written. */
static bool ask_leases(Cowfs *fs)
{
	bool depends = false;

	for (size_t i = 0; i < fs->seal.nnoted; i++) {
		ask_lease(fs, fs->seal.noted[i]);
		depends |= (fs->seal.noted[i]->flags & (N_UNOPENED | N_MAPPED)) == N_UNOPENED;
	}
	return depends;
}

/* What a guest writes natively from now on is not of this moment. As guests stand still, only they are asked for what they have mapped: what was mapped just before counts as it was. So a mark
 * that is wrong now stays until all are asked again. */
static int keep_written(Cowfs *fs)
{
	CowSeal *s = &fs->seal;
	CowMapped mapped = {0};
	int rc = s->error;

	if (ask_leases(fs))
		mapped_take(&fs->mappers, true, &mapped);
	for (size_t i = 0; i < s->nnoted && rc == 0; i++) {
		CowNode *node = s->noted[i];
		if ((node->flags & N_UNOPENED) && !(node->flags & N_MAPPED) && !(node->blob && mapped_has(&mapped, fs->blobs, node->blob, true))) {
			node->flags &= ~(unsigned)(mapped.taken ? 0 : N_WRITER);
			continue;
		}
		rc = node->blob ? blob_keep(fs->blobs, node->blob, how_to_keep(fs)) : -ENOENT;
		if (rc == 0)
			rc = set_free(s, node->blob);
		else if (rc == -ENOENT && (node->flags & N_UNOPENED))
			rc = 0; /* it went since it was found mapped */
	}
	mapped_release(&mapped);
	return rc;
}

int cowfs_freeze(Cowfs *fs)
{
	CowSeal *s = &fs->seal;
	int rc = commit_rest(fs);

	fs_wrlock(fs);
	if (rc == 0)
		rc = keep_written(fs);
	if (rc == 0) {
		unchanged_freeze(fs);
		for (size_t i = 0; i < s->nnoted; i++)
			if (s->noted[i]->flags & N_WRITER)
				unchanged_note(fs, s->noted[i]);
	}
	drop_noted(s);
	if (rc == 0) {
		s->below = atomic_load(&fs->next_id);
		atomic_store(&s->active, true);
	}
	fs_unlock(fs);
	if (rc < 0)
		IGNORE_RESULT(cowfs_thaw(fs));
	return rc;
}

void cowfs_freeze_release(Cowfs *fs)
{
	fs_wrlock(fs);
	bool held = fs->seal.held;
	fs->seal.held = false;
	fs_unlock(fs);
	if (held)
		commit_release(fs);
}

static void wait_for_keepers(CowSeal *s)
{
	pthread_mutex_lock(&s->keep_lock);
	while (s->keeping > 0)
		pthread_cond_wait(&s->kept, &s->keep_lock);
	pthread_mutex_unlock(&s->keep_lock);
}

int cowfs_thaw(Cowfs *fs)
{
	CowSeal *s = &fs->seal;

	cowfs_freeze_release(fs);
	fs_wrlock(fs);
	int rc = s->error;
	s->error = 0;
	s->turn++;
	atomic_store(&s->active, false);
	fs_unlock(fs);
	wait_for_keepers(s);
	int dropped = blob_drop_kept(fs->blobs);
	fs_wrlock(fs);
	s->below = 0; /* until now nobody begins the next one */
	drop_noted(s);
	HMAP_FOREACH_SAFE (&s->free, n, next) {
		hmap_remove(&s->free, n);
		free(CONTAINER_OF(n, Free, node));
	}
	fs_unlock(fs);
	return rc < 0 ? rc : dropped;
}
