/* cowfs/spool.c - room for bodies that can be fetched again (backends/blob.h): those that were used least recently go when there is more than was allowed, or no room on the disk.
 *
 * A body goes under fs->lock, so nobody is about to open it, and only if no descriptor of it is open (the write lease of blob_drop) or may be without that a lease sees it
 * (N_UNSEEN), nobody has it mapped (where a lease does not tell: drop_slice), and no watch rests on it, of its own or of a directory. Its node forgets the inode, whose number the file system gives
 * to another file. Not while somebody reads the database and bodies beside us: he may not know yet that it can be fetched. The bound is that of a cache: what was changed, is in use or was used a moment ago stays, however much that is. */
#include "internal.h"

#define SLICE 32   /* bodies for each time that the lock is held */
#define SLICE_MAPPED 512 /* ... where it is looked at for each time what all processes have mapped */
#define RECENT_NS 250000000 /* so that what was just fetched is opened first */
#define NEEDED_NS 20000000  /* the same on a full disk */
#define WAIT_NS 30000000    /* after it, what was just opened has been used long ago; more than NEEDED_NS by a tick of the coarse clock */
#define STEP_LEAST ((uint64_t)16 << 20) /* so much more comes before all files are looked at again */

typedef struct Owner {
	BlobId blob;
	uint64_t node;
} Owner;

/* Who has which body, sorted. */
typedef struct Owners {
	Owner *list;
	size_t count;
	uint64_t packs_loaded; /* then */
} Owners;

static int by_use(const void *a, const void *b)
{
	const BlobClean *x = a, *y = b;

	return x->used != y->used ? (x->used > y->used) - (x->used < y->used) : (x->here_since > y->here_since) - (x->here_since < y->here_since);
}

static int by_blob(const void *a, const void *b)
{
	const Owner *x = a, *y = b;

	return (x->blob > y->blob) - (x->blob < y->blob);
}

static bool may_go(const Cowfs *fs, const CowNode *node)
{
	return node->blob && S_ISREG(node->mode) && !(node->flags & (N_UNSEEN | N_WATCHED | N_GONE)) && !watch_rests_on(fs, node);
}

static bool list_owners(Cowfs *fs, Owners *out)
{
	fs_rdlock(fs);
	*out = (Owners){.list = calloc(fs->nodes.count + 1, sizeof(Owner)), .packs_loaded = fs->packs_loaded};
	HMAP_FOREACH_SAFE (&fs->nodes, h, next) {
		const CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		if (out->list && node->blob)
			out->list[out->count++] = (Owner){node->blob, node->id};
	}
	fs_unlock(fs);
	if (out->list)
		qsort(out->list, out->count, sizeof(Owner), by_blob);
	return out->list != NULL;
}

/* Under the lock. False: it stays. One that nobody has is of a directory into which nobody has looked (packed.h), unless one was looked into since the owners were listed. */
static bool drop_one(Cowfs *fs, BlobId id, const Owners *owners)
{
	const Owner *owner = owners->count ? bsearch(&(Owner){.blob = id}, owners->list, owners->count, sizeof(Owner), by_blob) : NULL;
	CowNode *node = owner ? node_find(fs, owner->node) : NULL;

	if (!owner)
		return atomic_load(&fs->packed_dirs) && owners->packs_loaded == fs->packs_loaded && blob_drop(fs->blobs, id) == 0;
	if (!node || node->blob != id || !may_go(fs, node) || blob_drop(fs->blobs, id) < 0)
		return false;
	ident_clear(fs, &node->own_id);
	return true;
}

/* Under the lock, which is not released before the last of them has gone. Where leases say nothing of mappings, what is mapped is taken after they were granted for all: who has one of them mapped when
 * it goes had it then, as there was no descriptor any more, and for another one he has to come by the lock. What was freed. */
static uint64_t drop_slice(Cowfs *fs, const BlobClean *list, size_t n, const Owners *owners, uint64_t excess)
{
	bool used[SLICE_MAPPED] = {false};
	CowMapped mapped = {0};
	uint64_t freed = 0;

	if (mappers_needed(&fs->mappers)) {
		for (size_t i = 0; i < n; i++)
			used[i] = !blob_is_unused(fs, list[i].id);
		mapped_take(&fs->mappers, false, &mapped);
	}
	for (size_t i = 0; i < n && freed < excess; i++)
		if (!used[i] && !mapped_has(&mapped, fs->blobs, list[i].id, false) && drop_one(fs, list[i].id, owners))
			freed += list[i].bytes;
	mapped_release(&mapped);
	return freed;
}

static uint64_t drop_oldest(Cowfs *fs, BlobClean *list, size_t n, uint64_t excess, uint64_t recent)
{
	size_t slice = mappers_needed(&fs->mappers) ? SLICE_MAPPED : SLICE;
	uint64_t freed = 0;
	Owners owners;

	if (!list_owners(fs, &owners))
		return 0;
	qsort(list, n, sizeof *list, by_use);
	while (n && list[n - 1].used >= recent)
		n--;
	for (size_t i = 0; i < n && freed < excess; i += slice) {
		fs_wrlock(fs);
		bool goes = !atomic_load(&fs->lookers) && !atomic_load(&fs->seal.active) && !fs->seal.held;
		if (goes)
			freed += drop_slice(fs, list + i, MIN(slice, n - i), &owners, excess - freed);
		fs_unlock(fs);
		if (!goes)
			break;
	}
	free(owners.list);
	return freed;
}

/* Down to `bound` bytes, if there are more, of what was used before `recent`. What was freed. */
static uint64_t trim(Cowfs *fs, uint64_t bound, uint64_t recent)
{
	CLEAN_FREE BlobClean *list = NULL;
	uint64_t total, freed = 0;
	size_t n;

	if (blob_list_clean(fs->blobs, &total, &list, &n) < 0)
		return 0;
	if (total > bound && n)
		freed = drop_oldest(fs, list, n, total - bound, recent);
	total -= MIN(freed, total);
	atomic_store(&fs->spool_bytes, total);
	/* What cannot be freed is not looked at again for each body that comes. */
	atomic_store(&fs->spool_next, total < fs->spool_bound ? fs->spool_bound : total + MIN(MAX(fs->spool_bound / 16, STEP_LEAST), fs->spool_bound + STEP_LEAST / 16));
	return freed;
}

static void trim_to_bound(Cowfs *fs)
{
	if (!fs->spool_bound || pthread_mutex_trylock(&fs->spool_lock) != 0)
		return;
	trim(fs, fs->spool_bound - fs->spool_bound / 16, bv_now_coarse_ns() - RECENT_NS);
	pthread_mutex_unlock(&fs->spool_lock);
}

void spool_grown(Cowfs *fs, BlobId id)
{
	struct statx st;

	if (!fs->spool_bound || blob_statx(fs->blobs, id, STATX_BLOCKS, &st) < 0)
		return;
	if (atomic_fetch_add(&fs->spool_bytes, st.stx_blocks * 512) + st.stx_blocks * 512 > atomic_load(&fs->spool_next))
		trim_to_bound(fs);
}

int cowfs_spool_changed(Cowfs *fs, char **err)
{
	int r = blob_reload_remote(fs->blobs, err);

	if (r == 0)
		trim_to_bound(fs);
	return r;
}

bool spool_make_room(Cowfs *fs, bool wait)
{
	if (wait)
		nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
	pthread_mutex_lock(&fs->spool_lock);
	bool freed = trim(fs, 0, bv_now_coarse_ns() - NEEDED_NS) > 0;
	pthread_mutex_unlock(&fs->spool_lock);
	return freed;
}

void spool_end(Cowfs *fs)
{
	if (fs->spool_bound && !(fs->flags & COWFS_READONLY))
		trim(fs, fs->spool_bound, UINT64_MAX);
}
