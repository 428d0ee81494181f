/* lib/snapshot_view.c - see snapshot_view.h.
 *
 * The blobs are those of the snapshot: the import gives each the number of its inode and finds nothing to write, and cowfs asks for their metadata, which stands in the rows; only who opens
 * one has it fetched. */
#include "lib/snapshot_view.h"
#include "lib/base.h"
#include "lib/view.h"

#include <fcntl.h>
#include <stdatomic.h>

typedef struct LazyBlob {
	BlobId id;
	mode_t mode;
	struct timespec times[2];
	uint64_t size;
	uint8_t *ref;
	size_t len;
} LazyBlob;

struct LazyBlobs {
	_Atomic unsigned users;
	SnapReader *reader;
	LazyBlob *items; /* in rising order of ids; complete before the view is used */
	size_t count, room;
};

typedef struct LazyStore {
	BlobStore base;
	LazyBlobs *blobs;
} LazyStore;

static const BlobOps lazy_ops;

/* ---- the table ---- */

static void blobs_put(LazyBlobs *b)
{
	if (!b || atomic_fetch_sub(&b->users, 1) > 1)
		return;
	for (size_t i = 0; i < b->count; i++)
		free(b->items[i].ref);
	free(b->items);
	free(b);
}

static LazyBlob *blob_find(LazyBlobs *b, BlobId id)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (b->items[middle].id == id)
			return &b->items[middle];
		if (b->items[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int blob_add(LazyBlobs *b, BlobId id, mode_t mode)
{
	if (b->count && b->items[b->count - 1].id >= id)
		return -EEXIST;
	if (!BV_GROW(b->items, b->count, b->room))
		return -ENOMEM;
	b->items[b->count++] = (LazyBlob){.id = id, .mode = mode};
	return 0;
}

/* ---- as a store of blobs ---- */

static LazyBlobs *blobs_of(BlobStore *store)
{
	return CONTAINER_OF(store, LazyStore, base)->blobs;
}

static BlobStore *lazy_store(LazyBlobs *blobs)
{
	LazyStore *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	atomic_fetch_add(&blobs->users, 1);
	*store = (LazyStore){.base = {&lazy_ops}, .blobs = blobs};
	return &store->base;
}

static void lazy_close(BlobStore *store)
{
	blobs_put(blobs_of(store));
	free(CONTAINER_OF(store, LazyStore, base));
}

static int lazy_create(BlobStore *store, BlobId id, mode_t mode, int flags, int *fd)
{
	CLEAN_FD int null = lib_own_fd(open("/dev/null", (flags & O_ACCMODE) | O_CLOEXEC)); /* its bytes are where they are */
	int r = null < 0 ? bv_neg_errno() : blob_add(blobs_of(store), id, S_IFREG | (mode & 07777));

	if (r == 0)
		*fd = TAKE_FD(null);
	return r;
}

static int lazy_make_node(BlobStore *store, BlobId id, mode_t mode)
{
	return S_ISFIFO(mode) ? blob_add(blobs_of(store), id, mode) : -EINVAL;
}

static int lazy_open(BlobStore *store, BlobId id, int flags, int *fd)
{
	LazyBlobs *b = blobs_of(store);
	const LazyBlob *blob = blob_find(b, id);

	if (!blob)
		return -ENOENT;
	if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC))
		return -EROFS;
	if (!blob->ref)
		return -ENXIO;
	CLEAN_FD int file = look_temporary();
	int r = file < 0 ? bv_neg_errno() : snap_reader_fetch_fd(b->reader, blob->ref, blob->len, file, NULL);
	if (r == 0 && lseek(file, 0, SEEK_SET) < 0)
		r = bv_neg_errno();
	if (r == 0)
		*fd = TAKE_FD(file);
	return r;
}

static int lazy_statx(BlobStore *store, BlobId id, unsigned mask, struct statx *out)
{
	const LazyBlob *blob = blob_find(blobs_of(store), id);

	(void)mask;
	if (!blob)
		return -ENOENT;
	*out = (struct statx){.stx_mask = STATX_BASIC_STATS, .stx_blksize = 4096, .stx_nlink = 1, .stx_uid = geteuid(), .stx_gid = getegid(), .stx_mode = (uint16_t)blob->mode, .stx_ino = id,
			      .stx_size = blob->size, .stx_blocks = (blob->size + 511) / 512};
	out->stx_atime = (struct statx_timestamp){.tv_sec = blob->times[0].tv_sec, .tv_nsec = (uint32_t)blob->times[0].tv_nsec};
	out->stx_mtime = out->stx_ctime = (struct statx_timestamp){.tv_sec = blob->times[1].tv_sec, .tv_nsec = (uint32_t)blob->times[1].tv_nsec};
	return 0;
}

static int lazy_utimens(BlobStore *store, BlobId id, const struct timespec times[2])
{
	LazyBlob *blob = blob_find(blobs_of(store), id);

	if (blob)
		memcpy(blob->times, times, sizeof(blob->times));
	return blob ? 0 : -ENOENT;
}

static int lazy_chmod(BlobStore *store, BlobId id, mode_t mode)
{
	(void)store, (void)id, (void)mode;
	return -EROFS;
}

static int lazy_truncate(BlobStore *store, BlobId id, uint64_t size)
{
	(void)store, (void)id, (void)size;
	return -EROFS;
}

static int lazy_place(BlobStore *store, BlobId id, BlobPlace *out)
{
	(void)store, (void)id, (void)out;
	return -ENOENT; /* none has a name on the host */
}

static int lazy_remove(BlobStore *store, BlobId id)
{
	(void)store, (void)id;
	return -EROFS;
}

static int lazy_sync(BlobStore *store, BlobId id)
{
	(void)store, (void)id;
	return 0;
}

static int lazy_sync_names(BlobStore *store, BlobId from, BlobId to)
{
	(void)store, (void)from, (void)to;
	return 0;
}

static int lazy_iterate(BlobStore *store, int (*visit)(void *ctx, BlobId id), void *ctx)
{
	const LazyBlobs *b = blobs_of(store);
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->count; i++)
		r = visit(ctx, b->items[i].id);
	return r;
}

static int lazy_keep(BlobStore *store, BlobId id, unsigned how)
{
	(void)store, (void)id, (void)how;
	return -EROFS; /* nothing changes */
}

static int lazy_open_kept(BlobStore *store, BlobId id, int *fd)
{
	(void)store, (void)id, (void)fd;
	return -ENOENT;
}

static int lazy_drop_kept(BlobStore *store)
{
	(void)store;
	return 0;
}

static int lazy_same(BlobStore *store, BlobId id, int fd)
{
	LazyBlobs *b = blobs_of(store);
	const LazyBlob *blob = blob_find(b, id);
	int r = blob && blob->ref ? snap_reader_same(b->reader, blob->ref, blob->len, fd, NULL) : -ENOTSUP;

	return r < 0 ? -ENOTSUP : r;
}

static int lazy_open_store(const char *path, unsigned flags, BlobStore **out, char **err)
{
	(void)flags, (void)out;
	return bv_fail(err, -EINVAL, "%s: the contents of a snapshot are no backend", path);
}

static const BlobOps lazy_ops = {
	.scheme = "snapshot",
	.open = lazy_open_store,
	.close = lazy_close,
	.create = lazy_create,
	.make_node = lazy_make_node,
	.open_blob = lazy_open,
	.statx = lazy_statx,
	.utimens = lazy_utimens,
	.chmod = lazy_chmod,
	.truncate = lazy_truncate,
	.place = lazy_place,
	.remove = lazy_remove,
	.sync = lazy_sync,
	.sync_names = lazy_sync_names,
	.iterate = lazy_iterate,
	.keep = lazy_keep,
	.open_kept = lazy_open_kept,
	.drop_kept = lazy_drop_kept,
	.same = lazy_same,
};

bool snapshot_view_ref(const SnapshotView *view, BlobId id, const uint8_t **ref, size_t *len)
{
	const LazyBlob *blob = view->blobs ? blob_find(view->blobs, id) : NULL;

	if (!blob || !blob->ref)
		return false;
	*ref = blob->ref;
	*len = blob->len;
	return true;
}

/* ---- from the rows to a view ---- */

typedef struct Build {
	BvSnapshot *s;
	CowImport *rows;
	BasePlan *base;
	LazyBlobs *blobs;
	char *why;
} Build;

static int check_origin(Build *b, const CowRecord *row)
{
	CLEAN_FREE char *origin = row->kind == COW_RECORD_INODE && row->name ? strndup(row->name, row->n_name) : NULL;

	if (origin && (view_is_synthetic(origin) || look_is_hidden(b->s, origin)))
		return bv_fail(&b->why, -EACCES, "it rests on %s of the host, which no sandbox can see here (`bvisor restore --show` could allow it)", origin);
	return 0;
}

static int set_ref(Build *b, BlobId id, const uint8_t *content, size_t len)
{
	LazyBlob *blob = blob_find(b->blobs, id);

	if (!blob || len == 0)
		return 0;
	blob->ref = malloc(len);
	if (!blob->ref)
		return -ENOMEM;
	memcpy(blob->ref, content, len);
	blob->len = len;
	return snap_content_size(blob->ref, blob->len, &blob->size) < 0 ? bv_fail(&b->why, -EBADMSG, "it is damaged: a content reference makes no sense") : 0;
}

static int import_row(void *ctx, CowRecord *row, const uint8_t *content, size_t len)
{
	Build *b = ctx;
	CLEAN_FD int fd = -1;
	int r = cow_import_record(b->rows, row, &fd, &b->why);

	return r == 0 && fd >= 0 ? set_ref(b, row->id, content, len) : r;
}

static int add_row(void *ctx, const Record *record)
{
	Build *b = ctx;
	const uint8_t *content = record->content;
	size_t len = record->content_len;
	CowRecord row;

	if (base_is_record(record))
		return base_plan_record(b->base, record, &b->why);
	int r = record_decode(record, &row);
	if (r < 0)
		return bv_fail(&b->why, r, r == -EPROTO ? "it was written by a newer version of bvisor: use that" : "it is damaged: a record makes no sense");
	r = check_origin(b, &row);
	if (r == 0)
		r = base_plan_row(b->base, &row, &content, &len);
	return r == 0 ? import_row(b, &row, content, len) : r;
}

static int import_rows(Build *b, const RowSource *rows, const char *db)
{
	CowfsConfig config = {.db_path = db, .flags = COWFS_CREATE, .blobs = lazy_store(b->blobs)};
	char *why = NULL;
	int r = config.blobs ? cow_import_begin(&config, &b->rows, &b->why) : -ENOMEM;

	if (r == 0)
		r = base_plan_new(b->s->hidden, &b->base);
	if (r == 0)
		r = rows->walk(rows->ctx, add_row, b, &why);
	if (r == 0)
		r = base_plan_finish(b->base, import_row, b, &b->why);
	if (r < 0 && !b->why)
		b->why = TAKE_PTR(why);
	free(why);
	if (r == 0)
		r = cow_import_finish(b->rows, &b->why);
	cow_import_free(TAKE_PTR(b->rows));
	base_plan_free(TAKE_PTR(b->base));
	return r;
}

static int open_view(Build *b, const char *db, Cowfs **out)
{
	CLEAN_FREE char *fake_root = snapshots_field(snap_reader_info(b->s->reader), "fake-root");
	CowfsConfig config = {.db_path = db, .flags = COWFS_READONLY, .blobs = lazy_store(b->blobs), .fake_root = fake_root != NULL, .owner_uid = geteuid(), .owner_gid = getegid()};
	Cowfs *fs = NULL;
	int r = config.blobs ? cowfs_open(&config, &fs, &b->why) : -ENOMEM;

	for (size_t i = 0; r == 0 && b->s->hidden && b->s->hidden[i]; i++)
		r = cowfs_pin_hide(fs, b->s->hidden[i]);
	if (r == 0)
		r = view_pin_empty(fs);
	if (r < 0)
		view_close(fs);
	else
		*out = fs;
	return r;
}

int snapshot_view_open(BvSnapshot *s, const RowSource *rows, SnapshotView *out, BvError **err)
{
	const char *given = getenv("TMPDIR"), *tmp = given && given[0] == '/' ? given : "/tmp";
	CLEAN_FREE char *dir = bv_asprintf("%s/bvisor-view-XXXXXX", tmp);
	CLEAN_FREE char *db = NULL;
	Build b = {.s = s, .blobs = calloc(1, sizeof(*b.blobs))};
	Cowfs *fs = NULL;
	int r = dir && b.blobs ? 0 : -ENOMEM;

	if (r == 0) {
		*b.blobs = (LazyBlobs){.users = 1, .reader = s->reader};
		r = mkdtemp(dir) ? 0 : bv_fail(&b.why, bv_neg_errno(), "cannot make a temporary directory in %s: %s (set TMPDIR)", tmp, strerror(errno));
	}
	db = r == 0 ? bv_asprintf("%s/meta.db", dir) : NULL;
	if (r == 0)
		r = db ? import_rows(&b, rows, db) : -ENOMEM;
	if (r == 0)
		r = open_view(&b, db, &fs);
	/* All of it is in memory now. What cannot be removed is a small file that nobody needs. */
	if (db)
		IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, dir));
	if (r < 0) {
		blobs_put(b.blobs);
		return look_failed(s, r, b.why, err);
	}
	free(b.why);
	*out = (SnapshotView){fs, b.blobs};
	return 0;
}

void snapshot_view_close(SnapshotView *view)
{
	view_close(view->fs);
	blobs_put(view->blobs);
	*view = (SnapshotView){0};
}

static int walk_all(void *ctx, int (*row)(void *row_ctx, const Record *record), void *row_ctx, char **why)
{
	return snap_reader_walk(ctx, "", 0, row, row_ctx, why);
}

int snapshot_view_get(BvSnapshot *s, const SnapshotView **out, BvError **err)
{
	const RowSource all = {walk_all, s->reader};
	SnapshotView view = {0};
	int r = 0;

	pthread_mutex_lock(&s->view_mu);
	if (!s->view) {
		r = snapshot_view_open(s, &all, &view, err);
		s->view = r == 0 ? malloc(sizeof(view)) : NULL;
		if (s->view)
			*s->view = view;
		else if (r == 0)
			r = lib_fail(err, -ENOMEM, "out of memory");
	}
	if (r == 0)
		*out = s->view;
	else
		snapshot_view_close(&view);
	pthread_mutex_unlock(&s->view_mu);
	return r;
}
