/* cowfs/quota.c - how much the sandbox's layer may take: bytes of its bodies and of the database, and how many records.
 *
 * Guests write natively, so their bytes are not counted when they are written, but looked at: each body that somebody may be writing to is `hot`, and cowfs_quota_look, called by the front end the
 * more often the less is left, asks how large those are. One that nobody has open for writing any more is not hot. What cowfs does itself (a copy-up, a new record) is checked before.
 *
 * The database is asked after each batch how many pages it has. What no batch has written yet is counted by what its rows will about take, when it becomes dirty. So it is with the objects of the run
 * that stand for records: a directory that guests make takes a block when it is first opened (marker.c), and is counted as if it had it from the start, so that opening it to remove what is in it never
 * fails. Other markers may take SLACK where there is no room: a command has to be able to start in a changed directory of the host.
 *
 * What was removed is counted until it is known that nobody has it open, which the writer of batches looks for every two seconds. Who asks how much is left (statfs) has that done first, and the hot
 * bodies looked at.
 *
 * Where a lease does not tell that somebody has a body mapped (mapped.c), a body that is not hot may grow: there all bodies are looked at every AUDIT_NS.
 *
 * Locks: quota->lock protects the table and the lists; it is taken last, also with fs->lock held. quota->looking, before fs->lock: one look at a time, as each opens bodies for a moment, which would
 * seem to be in use to who looks for removed ones that can go. */
#include "internal.h"
#include "meta.h"

#define AUDIT_NS UINT64_C(2000000000)
#define REFRESHED 8	     /* of the newest hot bodies, at each new record */
#define SLICE 256	     /* bodies for each time that the lock is held; and so many are looked at for each statfs */
#define FRESH_NS 100000000   /* more of them, so often */
#define PROMISE_NS 20000000  /* once or twice as late what was promised is there, and counted, or will not come */
#define DB_FREE ((uint64_t)1 << 20) /* so much of the database is for nothing */
#define INODE_ROW 160	     /* bytes, about, without their names */
#define DENTRY_ROW 64
#define XATTR_ROW 24
#define ROW_SMALL 1000 /* a quarter of a page, as SQLite divides them */
#define DB_PAGE 4096
#define SLACK ((uint64_t)4 << 20)
#define MARKER_MOST 4096
#define RATE 4000000	     /* bytes a millisecond: faster than a disk, or memory, is filled */
#define LOOK_LEAST_MS 2
#define LOOK_MOST_MS 250

typedef struct Body {
	HmapNode node;
	BlobId id;
	uint64_t bytes;
	uint64_t seen; /* by who stops those that write: others look, too */
	bool hot;
} Body;

struct CowQuota {
	CowQuotaConfig config;
	uint64_t base_nodes; /* records that are none of the guests' */
	_Atomic uint64_t used, promised, peak;
	uint64_t marker_bytes; /* of a directory */
	_Atomic uint64_t others; /* bytes of other markers */
	pthread_mutex_t looking;
	pthread_mutex_t lock;
	Hmap bodies;
	BlobId *hot;
	size_t n_hot, hot_room;
	bool blind; /* something could not be noted for lack of memory: look at everything */
	uint64_t audited_at, promised_at, counted_at;
	uint64_t db_written, db_batch, db_fresh; /* bytes of the database, of the rows in the batch in hand, and of those that are dirty */
	uint64_t db_bytes; /* what of these is in `used` */
	uint64_t fresh_promises, old_promises; /* made since promised_at, and before */
};

/* ---- the table ---- */

static Body *find_locked(CowQuota *q, BlobId id)
{
	for (HmapNode *n = hmap_first(&q->bodies, hash_u64(id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Body, node)->id == id)
			return CONTAINER_OF(n, Body, node);
	return NULL;
}

static Body *add_locked(CowQuota *q, BlobId id)
{
	Body *b = find_locked(q, id);

	if (b || !(b = calloc(1, sizeof *b)))
		return b;
	b->id = id;
	hmap_insert(&q->bodies, &b->node, hash_u64(id, 0));
	return b;
}

/* What wraps comes back. */
static void add_used_locked(CowQuota *q, uint64_t more)
{
	uint64_t used = atomic_fetch_add(&q->used, more) + more;

	if (used > atomic_load(&q->peak))
		atomic_store(&q->peak, used);
}

static void set_locked(CowQuota *q, Body *b, uint64_t bytes)
{
	add_used_locked(q, bytes - b->bytes);
	b->bytes = bytes;
}

/* True: it is the first that is hot. */
static bool heat_locked(CowQuota *q, Body *b)
{
	if (b->hot)
		return false;
	if (!BV_GROW(q->hot, q->n_hot, q->hot_room)) {
		q->blind = true;
		return false;
	}
	b->hot = true;
	q->hot[q->n_hot++] = b->id;
	return q->n_hot == 1;
}

static uint64_t size_of(Cowfs *fs, BlobId id, struct statx *st)
{
	return blob_is_here(fs->blobs, id) && blob_statx(fs->blobs, id, STATX_BLOCKS | STATX_INO, st) == 0 ? st->stx_blocks * 512 : 0;
}

void quota_note(Cowfs *fs, BlobId id, const struct statx *st)
{
	CowQuota *q = fs->quota;
	bool first = false;

	if (!q || !q->config.bytes || !id)
		return;
	pthread_mutex_lock(&q->lock);
	Body *b = add_locked(q, id);
	if (b && st)
		set_locked(q, b, b->seen = st->stx_blocks * 512);
	if (b)
		first = heat_locked(q, b);
	else
		q->blind = true;
	pthread_mutex_unlock(&q->lock);
	if (first)
		q->config.wake(q->config.ctx);
}

void quota_gone(Cowfs *fs, BlobId id)
{
	CowQuota *q = fs->quota;

	if (!q || !q->config.bytes)
		return;
	pthread_mutex_lock(&q->lock);
	Body *b = find_locked(q, id);
	if (b) {
		set_locked(q, b, 0);
		hmap_remove(&q->bodies, &b->node);
		free(b); /* its place in the hot list goes with the next look */
	}
	pthread_mutex_unlock(&q->lock);
}

/* ---- the database ---- */

static bool counts_bytes(const Cowfs *fs)
{
	return fs->quota && fs->quota->config.bytes;
}

static void count_db_locked(CowQuota *q)
{
	uint64_t bytes = q->db_written + q->db_batch + q->db_fresh;

	bytes -= MIN(bytes, DB_FREE);
	add_used_locked(q, bytes - q->db_bytes);
	q->db_bytes = bytes;
}

static void add_row(Cowfs *fs, uint64_t bytes)
{
	CowQuota *q = fs->quota;

	pthread_mutex_lock(&q->lock);
	q->db_fresh += bytes;
	count_db_locked(q);
	pthread_mutex_unlock(&q->lock);
}

/* What does not fit beside others on a page gets pages of its own. */
static uint64_t bytes_of_row(uint64_t bytes)
{
	return bytes <= ROW_SMALL ? bytes : (bytes + DB_PAGE - 1) / DB_PAGE * DB_PAGE + ROW_SMALL / 2;
}

void quota_new_dentry(Cowfs *fs, const CowDentry *d)
{
	if (counts_bytes(fs) && !(d->flags & (D_STORED | D_GONE)))
		add_row(fs, DENTRY_ROW + d->len);
}

void quota_new_xattr(Cowfs *fs, size_t name_len, size_t size, size_t old_size)
{
	if (counts_bytes(fs))
		add_row(fs, bytes_of_row(XATTR_ROW + name_len + size) - (old_size ? bytes_of_row(XATTR_ROW + name_len + MIN(old_size, size)) : 0));
}

void quota_collected(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	if (!counts_bytes(fs))
		return;
	pthread_mutex_lock(&q->lock);
	q->db_batch += q->db_fresh;
	q->db_fresh = 0;
	pthread_mutex_unlock(&q->lock);
}

void quota_written(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	if (!counts_bytes(fs))
		return;
	uint64_t bytes = meta_pages(fs->meta, atomic_load(&q->used) > q->config.bytes / 2);
	pthread_mutex_lock(&q->lock);
	q->db_written = bytes;
	q->db_batch = 0;
	count_db_locked(q);
	pthread_mutex_unlock(&q->lock);
}

/* ---- objects of the run ---- */

static void add_used(CowQuota *q, uint64_t more)
{
	pthread_mutex_lock(&q->lock);
	add_used_locked(q, more);
	pthread_mutex_unlock(&q->lock);
}

static void keep_room(CowQuota *q, CowNode *node)
{
	const unsigned never = N_KEPT | N_MARKER | N_DEAD | N_GONE | N_PIN | N_PRIVATE;

	if (!S_ISDIR(node->mode) || node->origin || (node->flags & never))
		return;
	node->flags |= N_KEPT;
	add_used(q, q->marker_bytes);
}

void quota_new_node(Cowfs *fs, CowNode *node)
{
	if (!counts_bytes(fs) || (node->flags & N_STORED))
		return;
	add_row(fs, bytes_of_row(INODE_ROW + (node->origin ? strlen(node->origin) : 0) + (node->target ? strlen(node->target) : 0)));
	keep_room(fs->quota, node);
}

void quota_node_gone(Cowfs *fs, CowNode *node)
{
	if (!counts_bytes(fs) || !(node->flags & N_KEPT))
		return;
	node->flags &= ~(unsigned)N_KEPT;
	add_used(fs->quota, 0 - fs->quota->marker_bytes);
}

int quota_object(Cowfs *fs, const CowNode *node)
{
	const CowQuota *q = fs->quota;

	if (!counts_bytes(fs) || (node->flags & N_KEPT))
		return 0;
	return atomic_load(&q->used) >= q->config.bytes && atomic_load(&q->others) >= SLACK ? -EDQUOT : 0;
}

static void count_object(Cowfs *fs, const CowNode *node, uint64_t bytes)
{
	if (!counts_bytes(fs) || (node->flags & N_KEPT))
		return;
	atomic_fetch_add(&fs->quota->others, bytes);
	add_used(fs->quota, bytes);
}

void quota_object_made(Cowfs *fs, const CowNode *node, uint64_t bytes)
{
	count_object(fs, node, bytes);
}

void quota_object_gone(Cowfs *fs, const CowNode *node, uint64_t bytes)
{
	count_object(fs, node, 0 - bytes); /* what wraps comes back */
}

/* An empty directory has as many there as its parent, which has few entries. */
static uint64_t bytes_of_marker(const Cowfs *fs)
{
	CLEAN_FREE char *at = fs->mark_dir ? strdup(fs->mark_dir) : NULL;
	struct stat st;

	for (char *slash; at && (slash = strrchr(at, '/')) && slash != at;) {
		*slash = '\0';
		if (stat(at, &st) == 0)
			return MIN((uint64_t)st.st_blocks * 512, (uint64_t)MARKER_MOST);
	}
	return MARKER_MOST;
}

/* ---- asking ---- */

/* Without those that are only remembered (graves). */
static uint64_t records(Cowfs *fs)
{
	uint64_t others = fs->quota->base_nodes + MIN(fs->grave_at, (size_t)COW_GRAVES);

	return fs->nodes.count - MIN(others, fs->nodes.count);
}

/* What was written just now, as far as few are written. */
static void refresh(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	pthread_mutex_lock(&q->lock);
	for (size_t i = q->n_hot - MIN(q->n_hot, (size_t)REFRESHED); i < q->n_hot; i++) {
		Body *b = find_locked(q, q->hot[i]);
		struct statx st = {0};
		if (b)
			set_locked(q, b, size_of(fs, b->id, &st));
	}
	pthread_mutex_unlock(&q->lock);
}

int quota_record(Cowfs *fs, bool is_new)
{
	CowQuota *q = fs->quota;

	if (!q)
		return 0;
	if (q->config.bytes)
		refresh(fs);
	if (is_new && q->config.files && records(fs) >= q->config.files)
		return -EDQUOT;
	return quota_room(fs, 1);
}

int quota_room(Cowfs *fs, uint64_t bytes)
{
	CowQuota *q = fs->quota;

	if (!q || !q->config.bytes)
		return 0;
	uint64_t taken = atomic_load(&q->used) + atomic_load(&q->promised);
	return taken >= q->config.bytes || bytes > q->config.bytes - taken ? -EDQUOT : 0;
}

int quota_reserve(Cowfs *fs, uint64_t bytes)
{
	CowQuota *q = fs->quota;

	if (!q || !q->config.bytes)
		return 0;
	pthread_mutex_lock(&q->lock);
	int rc = quota_room(fs, bytes);
	if (rc == 0)
		atomic_fetch_add(&q->promised, bytes);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

void quota_release(Cowfs *fs, uint64_t bytes)
{
	if (fs->quota && fs->quota->config.bytes)
		atomic_fetch_sub(&fs->quota->promised, bytes);
}

int cowfs_quota_promise(Cowfs *fs, uint64_t bytes)
{
	CowQuota *q = fs->quota;
	int rc = quota_reserve(fs, bytes);

	if (rc == 0 && q && q->config.bytes) {
		pthread_mutex_lock(&q->lock);
		q->fresh_promises += bytes;
		pthread_mutex_unlock(&q->lock);
	}
	return rc;
}

unsigned cowfs_quota_full(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	if (!q)
		return 0;
	fs_rdlock(fs);
	bool files = q->config.files && records(fs) >= q->config.files;
	fs_unlock(fs);
	return (files ? COW_FULL_FILES : 0) | (!files || atomic_load(&q->used) >= q->config.bytes ? q->config.bytes ? COW_FULL_BYTES : 0 : 0);
}

void cowfs_quota_usage(Cowfs *fs, CowQuotaUsage *out)
{
	CowQuota *q = fs->quota;

	*out = (CowQuotaUsage){0};
	if (!q)
		return;
	fs_rdlock(fs);
	out->files = records(fs);
	fs_unlock(fs);
	out->bytes = atomic_load(&q->used);
	out->peak = MAX(atomic_load(&q->peak), out->bytes);
}

/* ---- looking ---- */

typedef struct Growth {
	CowGrowing *list;
	size_t room, count;
} Growth;

/* Unless somebody can write to it. Who opens a body notes it and opens it under fs->lock: he is seen here, or comes later and makes it hot again. */
static void cool(Cowfs *fs, BlobId id)
{
	CowQuota *q = fs->quota;
	struct statx st = {0};

	fs_rdlock(fs);
	bool writer = seal_has_writer(fs->blobs, id);
	uint64_t bytes = writer ? 0 : size_of(fs, id, &st); /* and what was written since the last look, by one who is gone */
	pthread_mutex_lock(&q->lock);
	Body *b = find_locked(q, id);
	if (b && !writer) {
		set_locked(q, b, bytes);
		b->hot = false;
	}
	pthread_mutex_unlock(&q->lock);
	fs_unlock(fs);
}

/* Of bodies whose numbers were taken from the table under the lock. */
static void look_at(Cowfs *fs, const BlobId *ids, size_t n, Growth *growth)
{
	CowQuota *q = fs->quota;

	for (size_t i = 0; i < n; i++) {
		struct statx st = {0};
		uint64_t bytes = size_of(fs, ids[i], &st);
		pthread_mutex_lock(&q->lock);
		Body *b = find_locked(q, ids[i]); /* it may have gone */
		bool grown = b && bytes > b->seen;
		if (b)
			set_locked(q, b, bytes);
		if (b && growth->list)
			b->seen = bytes;
		bool cools = b && b->hot && !grown;
		if (grown && !b->hot)
			IGNORE_RESULT(heat_locked(q, b));
		pthread_mutex_unlock(&q->lock);
		if (grown && growth->count < growth->room)
			growth->list[growth->count++] = (CowGrowing){statx_dev(&st), st.stx_ino};
		if (cools)
			cool(fs, ids[i]);
	}
}

static void drop_cold_locked(CowQuota *q)
{
	size_t kept = 0;

	for (size_t i = 0; i < q->n_hot; i++) {
		const Body *b = find_locked(q, q->hot[i]);
		if (b && b->hot)
			q->hot[kept++] = q->hot[i];
	}
	q->n_hot = kept;
}

/* One that was cooled and is hot again stands in the list twice, until the next look. */
static void look_at_hot(Cowfs *fs, Growth *growth)
{
	CowQuota *q = fs->quota;
	BlobId some[SLICE];
	size_t n;

	for (size_t at = 0;; at += n) {
		pthread_mutex_lock(&q->lock);
		n = at < q->n_hot ? MIN(q->n_hot - at, (size_t)SLICE) : 0;
		if (n)
			memcpy(some, q->hot + at, n * sizeof *some);
		pthread_mutex_unlock(&q->lock);
		if (!n)
			break;
		look_at(fs, some, n, growth);
	}
	pthread_mutex_lock(&q->lock);
	drop_cold_locked(q);
	pthread_mutex_unlock(&q->lock);
}

static void audit(Cowfs *fs, Growth *growth)
{
	CowQuota *q = fs->quota;

	pthread_mutex_lock(&q->lock);
	size_t n = 0, count = q->bodies.count;
	CLEAN_FREE BlobId *all = malloc((count + 1) * sizeof *all);
	HMAP_FOREACH_SAFE (&q->bodies, h, next)
		if (all && n < count)
			all[n++] = CONTAINER_OF(h, Body, node)->id;
	q->audited_at = bv_now_coarse_ns();
	q->blind = q->blind && !all;
	pthread_mutex_unlock(&q->lock);
	look_at(fs, all, n, growth);
}

static void end_promises(CowQuota *q, uint64_t now)
{
	pthread_mutex_lock(&q->lock);
	if (now - q->promised_at > PROMISE_NS) {
		atomic_fetch_sub(&q->promised, q->old_promises);
		q->old_promises = q->fresh_promises;
		q->fresh_promises = 0;
		q->promised_at = now;
	}
	pthread_mutex_unlock(&q->lock);
}

static unsigned look_locked(Cowfs *fs, CowGrowing *growing, size_t *n)
{
	CowQuota *q = fs->quota;
	Growth growth = {growing, *n, 0};
	uint64_t now = bv_now_coarse_ns();

	bool all = q->blind || (blob_hides_maps(fs->blobs) && now - q->audited_at > AUDIT_NS);
	look_at_hot(fs, &growth);
	if (all)
		audit(fs, &growth);
	end_promises(q, now);
	uint64_t used = atomic_load(&q->used), left = q->config.bytes - MIN(used, q->config.bytes);
	*n = q->config.bytes && used > q->config.bytes ? growth.count : 0;
	pthread_mutex_lock(&q->lock);
	bool hot = q->n_hot || q->fresh_promises || q->old_promises;
	pthread_mutex_unlock(&q->lock);
	return hot ? (unsigned)MIN(MAX(left / RATE, (uint64_t)LOOK_LEAST_MS), (uint64_t)LOOK_MOST_MS) : LOOK_MOST_MS;
}

unsigned cowfs_quota_look(Cowfs *fs, CowGrowing *growing, size_t *n)
{
	CowQuota *q = fs->quota;

	if (!q || !q->config.bytes) {
		*n = 0;
		return UINT32_MAX;
	}
	pthread_mutex_lock(&q->looking);
	unsigned ms = look_locked(fs, growing, n);
	pthread_mutex_unlock(&q->looking);
	return ms;
}

static void reap_and_look(Cowfs *fs)
{
	size_t none = 0;

	pthread_mutex_lock(&fs->quota->looking);
	IGNORE_RESULT(orphans_reap(fs, false));
	IGNORE_RESULT(look_locked(fs, NULL, &none));
	pthread_mutex_unlock(&fs->quota->looking);
}

/* 0, or -EINPROGRESS: it takes a moment. */
static int count_anew(Cowfs *fs, bool may_block)
{
	CowQuota *q = fs->quota;
	uint64_t now = bv_now_coarse_ns();

	pthread_mutex_lock(&q->lock);
	size_t n = fs->norphans + q->n_hot;
	bool due = n && (n <= SLICE || now - q->counted_at > FRESH_NS);
	if (due && may_block)
		q->counted_at = now;
	pthread_mutex_unlock(&q->lock);
	if (due && !may_block)
		return -EINPROGRESS;
	if (due)
		reap_and_look(fs);
	return 0;
}

int quota_statfs(Cowfs *fs, bool may_block, struct statfs *st)
{
	const CowQuota *q = fs->quota;
	CowQuotaUsage u;
	int rc = counts_bytes(fs) ? count_anew(fs, may_block) : 0;

	if (!q || rc < 0)
		return rc;
	cowfs_quota_usage(fs, &u);
	uint64_t block = st->f_bsize > 0 ? (uint64_t)st->f_bsize : 4096;
	if (q->config.bytes) {
		st->f_blocks = q->config.bytes / block;
		st->f_bfree = MIN(st->f_bfree, (q->config.bytes - MIN(u.bytes, q->config.bytes)) / block);
		st->f_bavail = MIN(st->f_bavail, st->f_bfree);
	}
	if (q->config.files) {
		st->f_files = q->config.files;
		st->f_ffree = q->config.files - MIN(u.files, q->config.files);
	}
	return 0;
}

void cowfs_quota_settle(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	if (!q)
		return;
	IGNORE_RESULT(cowfs_commit(fs, false)); /* what was removed goes */
	for (int i = 0; i < 3; i++) {
		reap_and_look(fs);
		if (atomic_load(&q->promised) == 0)
			break;
		nanosleep(&(struct timespec){0, PROMISE_NS + 5000000}, NULL);
	}
}

/* ---- life ---- */

static int note_there(void *ctx, BlobId id)
{
	Cowfs *fs = ctx;
	CowQuota *q = fs->quota;
	struct statx st = {0};
	uint64_t bytes = size_of(fs, id, &st);

	pthread_mutex_lock(&q->lock);
	Body *b = add_locked(q, id);
	if (b)
		set_locked(q, b, b->seen = bytes);
	pthread_mutex_unlock(&q->lock);
	return b ? 0 : -ENOMEM;
}

/* What has no row now is pinned or leads to a pin. */
static void look_at_records(Cowfs *fs)
{
	fs_wrlock(fs);
	HMAP_FOREACH_SAFE (&fs->nodes, h, next) {
		CowNode *node = CONTAINER_OF(h, CowNode, by_id);
		fs->quota->base_nodes += !(node->flags & N_STORED);
		if (node->flags & N_STORED)
			keep_room(fs->quota, node);
	}
	fs_unlock(fs);
}

int cowfs_quota_start(Cowfs *fs, const CowQuotaConfig *config)
{
	CowQuota *q = calloc(1, sizeof *q);

	if (!q || hmap_init(&q->bodies) < 0) {
		free(q);
		return -ENOMEM;
	}
	q->config = *config;
	q->marker_bytes = bytes_of_marker(fs);
	q->db_written = meta_bytes(fs->meta);
	q->promised_at = q->audited_at = bv_now_coarse_ns();
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->looking, NULL);
	fs->quota = q;
	look_at_records(fs);
	if (!config->bytes)
		return 0;
	pthread_mutex_lock(&q->lock);
	count_db_locked(q);
	pthread_mutex_unlock(&q->lock);
	return MIN(blob_iterate(fs->blobs, note_there, fs), 0);
}

void quota_free(Cowfs *fs)
{
	CowQuota *q = fs->quota;

	if (!q)
		return;
	HMAP_FOREACH_SAFE (&q->bodies, h, next)
		free(CONTAINER_OF(h, Body, node));
	hmap_release(&q->bodies);
	free(q->hot);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->looking);
	free(q);
	fs->quota = NULL;
}
