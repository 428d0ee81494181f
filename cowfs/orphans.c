/* cowfs/orphans.c - objects without a name that guests may still have open, and blobs that have to go or to be synced with the next batch.
 *
 * The writer thread drops orphans: a write lease on the blob is granted only if nobody has it open. That somebody may have it mapped without that the lease tells (mapped.c) does not matter: the mapping
 * keeps the file, which has no name that could lead to it again. */
#include "internal.h"

#define DROP_BLOCKS_MAX 2048 /* 1 MiB: the lock is held while it goes */
#define REAP_ROUNDS 32 /* of COW_ORPHAN_BATCH for each pass: milliseconds, for which a commit may have to wait */

/* False when out of memory. */
static bool add_id(BlobId **list, size_t *count, size_t *room, BlobId id)
{
	if (!BV_GROW(*list, *count, *room))
		return false;
	(*list)[(*count)++] = id;
	return true;
}

void dead_blob_add(Cowfs *fs, BlobId id)
{
	if (add_id(&fs->dead_blobs, &fs->ndead, &fs->dead_room, id))
		commit_poke(fs); /* else it stays unreferenced until the next start after an unclean end, or gc */
}

void filled_blob_add(Cowfs *fs, BlobId id)
{
	if (!fs->durable)
		return;
	/* out of memory: 0 means all of them, and the list has room for one after it was emptied */
	if (!add_id(&fs->filled, &fs->nfilled, &fs->filled_room, id) && fs->nfilled)
		fs->filled[0] = 0;
}

static void orphan_append_locked(Cowfs *fs, CowNode *node)
{
	node->orphan_next = NULL;
	*fs->orphans_end = node;
	fs->orphans_end = &node->orphan_next;
}

void orphan_add(Cowfs *fs, CowNode *node)
{
	if (node->flags & N_ORPHAN)
		return;
	node->flags |= N_ORPHAN;
	orphan_append_locked(fs, node);
	if (++fs->norphans == COW_ORPHAN_BATCH || fs->norphans == 1)
		commit_poke(fs);
}

/* Nobody has the blob open (a write lease is granted only then), and it is not larger than max_blocks (0: however large). */
static bool is_unused(Cowfs *fs, BlobId id, blkcnt_t max_blocks)
{
	CLEAN_FD int fd = -1;
	struct stat st;
	if (!blob_is_here(fs->blobs, id))
		return true;
	int rc = blob_open(fs->blobs, id, O_RDONLY | O_NONBLOCK, &fd);

	if (rc < 0)
		return rc == -ENOENT;
	if (max_blocks && (fstat(fd, &st) < 0 || st.st_blocks > max_blocks))
		return false;
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

bool blob_is_unused(Cowfs *fs, BlobId id)
{
	return is_unused(fs, id, 0);
}

/* A file that no batch has seen and that nobody has open is gone at once: temporary files of a moment cost no row, and their inodes are free
 * before ext4 counts them among the recently deleted ones, which each creation has to look at. Not what is on the orphan list already (it was
 * made by O_TMPFILE): the list and who reaps it hold no reference. Not where a descriptor may be that a lease does not see. */
bool orphan_drop_new(Cowfs *fs, CowNode *node)
{
	if ((node->flags & (N_STORED | N_ORPHAN)) || !S_ISREG(node->mode) || fs->had_file_watch || atomic_load(&fs->unseen_opened) || seal_holds(fs, node->blob))
		return false;
	if (!is_unused(fs, node->blob, DROP_BLOCKS_MAX) || blob_remove(fs->blobs, node->blob) < 0)
		return false;
	quota_gone(fs, node->blob);
	node->blob = 0;
	node_remove(fs, node);
	return true;
}

typedef struct Orphan {
	CowNode *node;
	BlobId blob;
	bool unused;
} Orphan;

/* Off the list, each with a reference and still marked N_ORPHAN. */
static size_t take_orphans_locked(Cowfs *fs, Orphan *out, size_t limit)
{
	size_t n = 0;

	for (CowNode *node; n < limit && (node = fs->orphans); n++) {
		out[n] = (Orphan){.node = node_get(node), .blob = node->blob};
		fs->orphans = node->orphan_next;
	}
	if (!fs->orphans)
		fs->orphans_end = &fs->orphans;
	return n;
}

static void orphan_drop_locked(Cowfs *fs, CowNode *node)
{
	node->flags &= ~(unsigned)N_ORPHAN;
	fs->norphans--;
	if (node_is_orphan(node))
		node_remove(fs, node);
}

/* Whether a guest has it open is asked without the lock. What was unused stays so: without a name it can only be opened through a
 * descriptor that somebody has open. It may have got a name (linkat of an O_TMPFILE), which orphan_drop_locked sees. */
static size_t reap_some(Cowfs *fs, bool all, size_t *dropped)
{
	Orphan some[COW_ORPHAN_BATCH];

	fs_wrlock(fs);
	size_t n = take_orphans_locked(fs, some, COW_ORPHAN_BATCH);
	fs_unlock(fs);
	for (size_t i = 0; i < n; i++)
		some[i].unused = all || blob_is_unused(fs, some[i].blob);
	fs_wrlock(fs);
	for (size_t i = 0; i < n; i++)
		if (some[i].unused || !node_is_orphan(some[i].node)) {
			orphan_drop_locked(fs, some[i].node);
			++*dropped;
		} else {
			orphan_append_locked(fs, some[i].node); /* the next pass begins with others */
		}
	fs_unlock(fs);
	for (size_t i = 0; i < n; i++)
		node_put(some[i].node);
	return n;
}

bool orphans_reap(Cowfs *fs, bool all)
{
	size_t dropped = 0;

	for (int i = 0; all || i < REAP_ROUNDS; i++)
		if (reap_some(fs, all, &dropped) < COW_ORPHAN_BATCH)
			break; /* those that are left are in use */
	return dropped >= COW_ORPHAN_BATCH && fs->norphans >= COW_ORPHAN_BATCH;
}
