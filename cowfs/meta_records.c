/* cowfs/meta_records.c - the rows of the database as records and back; see records.h. */
#include "meta_db.h"
#include "records.h"
#include "unchanged.h"

#include "base/hmap.h"

#define IMPORT_BATCH ((size_t)4 << 20) /* bytes of rows in one transaction */

/* ---- export ---- */

struct CowExport {
	CowMeta *meta;
	BlobStore *blobs;
	CowMappers mappers;
	bool frozen, based_only;
	uint64_t came;
	bool (*recall)(void *ctx, CowRecord *inode);
	void *recall_ctx;
};

typedef struct ExportWalk {
	CowExport *e;
	int (*visit)(void *ctx, const CowRecord *record);
	void *ctx;
	char **err;
	CowMapped mapped;
} ExportWalk;

void cow_export_close(CowExport *e)
{
	if (!e)
		return;
	meta_close(e->meta); /* and with it the transaction */
	blob_close(e->blobs);
	free(e);
}

int cow_export_open(const CowfsConfig *config, bool frozen, CowExport **out, char **err)
{
	CowExport *e = calloc(1, sizeof *e);
	int64_t came = 0;

	if (!e) {
		blob_close(config->blobs);
		return -ENOMEM;
	}
	e->blobs = config->blobs;
	e->mappers = mappers_of(config);
	e->frozen = frozen;
	int rc = meta_open(config, &e->meta, err);
	if (rc == 0 && e->meta->db) {
		rc = meta_exec(e->meta, "BEGIN");
		if (rc == 0) /* the transaction begins with what is read first */
			rc = meta_number(e->meta, "SELECT (SELECT value FROM state WHERE key='came') FROM state WHERE key='next_id'", &came);
		e->came = (uint64_t)came;
		if (rc < 0)
			bv_fail(err, rc, "cannot read the database %s: %s", e->meta->path, sqlite3_errmsg(e->meta->db));
	}
	if (rc < 0) {
		cow_export_close(e);
		return rc;
	}
	*out = e;
	return 0;
}

/* A blob that goes between the two questions is kept by then. */
int cow_export_blob(CowExport *e, BlobId blob, int *fd, bool *stays, char **err)
{
	int rc = e->frozen ? blob_open_kept(e->blobs, blob, fd) : -ENOENT;

	*stays = rc == 0 || !e->frozen;
	if (rc == -ENOENT) /* that a snapshot was taken is nothing that a guest sees */
		rc = blob_open(e->blobs, blob, O_RDONLY | O_NOATIME, fd);
	if (rc == -EPERM)
		rc = blob_open(e->blobs, blob, O_RDONLY, fd);
	if (rc == -ENOENT && e->frozen && (rc = blob_open_kept(e->blobs, blob, fd)) == 0)
		*stays = true;
	if (rc == -ENOENT)
		return bv_fail(err, -EUCLEAN, "blob %llu, which %s names, is missing", (unsigned long long)blob, e->meta->path);
	CLEAN_FREE char *why = rc < 0 ? blob_fetch_error(e->blobs) : NULL;
	if (why)
		return bv_fail(err, rc, "%s", why);
	return rc < 0 ? bv_fail(err, rc, "cannot read blob %llu: %s", (unsigned long long)blob, strerror(-rc)) : 0;
}

uint64_t cow_export_came(const CowExport *e)
{
	return e->came;
}

void cow_export_based_only(CowExport *e)
{
	e->based_only = true;
}

void cow_export_recall(CowExport *e, bool (*recall)(void *ctx, CowRecord *inode), void *ctx)
{
	e->recall = recall;
	e->recall_ctx = ctx;
}

bool cow_export_changed(CowExport *e, BlobId blob)
{
	CLEAN_FD int fd = -1;

	return e->frozen && blob_open_kept(e->blobs, blob, &fd) != -ENOENT;
}

static void take_bytes(sqlite3_stmt *stmt, int column, const char **out, size_t *n)
{
	bool null = sqlite3_column_type(stmt, column) == SQLITE_NULL;
	const char *data = null ? NULL : sqlite3_column_blob(stmt, column);

	*n = null ? 0 : (size_t)sqlite3_column_bytes(stmt, column);
	*out = null ? NULL : data ? data : "";
}

static CowIdentity base_at(sqlite3_stmt *stmt, int column)
{
	int64_t v[META_BASE_VALUES];

	for (int i = 0; i < META_BASE_VALUES; i++)
		v[i] = sqlite3_column_int64(stmt, column + i);
	return values_to_base(v);
}

static int export_dentry(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_DENTRY, .dir = (uint64_t)sqlite3_column_int64(stmt, 0), .id = (uint64_t)sqlite3_column_int64(stmt, 2),
		       .flags = (uint32_t)sqlite3_column_int64(stmt, 3)};

	take_bytes(stmt, 1, &r.name, &r.n_name);
	if (sqlite3_column_type(stmt, 4) != SQLITE_NULL)
		r.base = base_at(stmt, 4);
	return w->visit(w->ctx, &r);
}

/* What was kept has the times of that moment. */
static int blob_times(CowExport *e, BlobId blob, mode_t mode, struct statx *st, bool *was_kept)
{
	const unsigned mask = STATX_ATIME | STATX_MTIME | STATX_CTIME | STATX_SIZE | STATX_INO;
	CLEAN_FD int kept = -1;
	int rc = blob_statx(e->blobs, blob, mask, st);

	*was_kept = e->frozen && S_ISREG(mode) && blob_open_kept(e->blobs, blob, &kept) == 0;
	return *was_kept ? statx(kept, "", AT_EMPTY_PATH, mask, st) < 0 ? bv_neg_errno() : 0 : rc;
}

static struct timespec time_of(const struct statx_timestamp *t)
{
	return (struct timespec){t->tv_sec, t->tv_nsec};
}

static int take_body(ExportWalk *w, CowRecord *r)
{
	struct statx st;
	int rc = blob_times(w->e, r->blob, r->mode, &st, &r->body.kept);

	if (rc < 0)
		return bv_fail(w->err, rc == -ENOENT ? -EUCLEAN : rc, "blob %llu, which %s names, cannot be read: %s", (unsigned long long)r->blob, w->e->meta->path,
			       strerror(-rc));
	r->atime = time_of(&st.stx_atime);
	r->mtime = r->body.mtime = time_of(&st.stx_mtime);
	r->body.ctime = time_of(&st.stx_ctime);
	r->body.size = st.stx_size;
	r->body.ino = st.stx_ino;
	r->body.dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	if (r->body.kept || blob_remote_ref(w->e->blobs, r->blob, &st, &r->remote, &r->n_remote) < 0)
		r->remote = NULL;
	return 0;
}

static int export_inode(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_INODE, .id = (uint64_t)sqlite3_column_int64(stmt, 0)};
	int64_t v[META_VALUES];
	int rc = 0;

	for (int i = 0; i < META_VALUES; i++)
		v[i] = sqlite3_column_int64(stmt, 3 + i);
	take_bytes(stmt, 1, &r.name, &r.n_name);
	take_bytes(stmt, 2, &r.value, &r.n_value);
	r.flags = (uint32_t)v[0], r.have = (uint32_t)v[1], r.mode = (uint32_t)v[2], r.uid = (uint32_t)v[3], r.gid = (uint32_t)v[4];
	r.nlink = (int32_t)v[5], r.rdev = (uint64_t)v[6], r.vdev = (uint64_t)v[7], r.vino = (uint64_t)v[8], r.blob = (BlobId)v[9];
	r.atime = (struct timespec){v[10], v[11]}, r.mtime = (struct timespec){v[12], v[13]};
	r.ctime = (struct timespec){v[14], v[15]}, r.btime = (struct timespec){v[16], v[17]};
	if (v[18])
		r.base = base_at(stmt, 3 + 19);
	if (r.blob && !w->e->based_only && !(w->e->recall && w->e->recall(w->e->recall_ctx, &r)))
		rc = take_body(w, &r);
	return rc < 0 ? rc : w->visit(w->ctx, &r);
}

static int export_xattr(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_XATTR, .id = (uint64_t)sqlite3_column_int64(stmt, 0)};

	take_bytes(stmt, 1, &r.name, &r.n_name);
	take_bytes(stmt, 2, &r.value, &r.n_value);
	return w->visit(w->ctx, &r);
}

static int walk_rows(ExportWalk *w, const char *text, int (*row)(ExportWalk *w, sqlite3_stmt *stmt))
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(w->e->meta->db, text, -1, &stmt, NULL), bad = 0;

	while ((rc == SQLITE_OK || rc == SQLITE_ROW) && !bad) {
		rc = meta_step(w->e->meta, stmt);
		if (rc == SQLITE_ROW)
			bad = row(w, stmt);
	}
	if (!bad && rc != SQLITE_DONE)
		bad = meta_failed(w->e->meta, rc, w->err);
	sqlite3_finalize(stmt);
	return bad;
}

int cow_export_walk(CowExport *e, int (*visit)(void *ctx, const CowRecord *record), void *ctx, char **err)
{
	ExportWalk w = {e, visit, ctx, err};
	int rc = 0;

	if (!e->meta->db)
		return 0; /* nothing was ever changed */
	if (e->based_only) {
		rc = walk_rows(&w, "SELECT * FROM dentry WHERE base_dev IS NOT NULL OR inode IN (SELECT id FROM inode WHERE base_known AND origin IS NULL) ORDER BY dir, name", export_dentry);
		return rc ? rc : walk_rows(&w, "SELECT * FROM inode WHERE base_known OR origin IS NOT NULL ORDER BY id", export_inode);
	}
	rc = walk_rows(&w, "SELECT * FROM dentry ORDER BY dir, name", export_dentry);
	if (!rc)
		rc = walk_rows(&w, "SELECT * FROM inode ORDER BY id", export_inode);
	if (!rc)
		rc = walk_rows(&w, "SELECT inode, name, value FROM xattr ORDER BY inode, name", export_xattr);
	return rc;
}

/* All of them; one that is being fetched is nobody's yet. */
static int has_writer(ExportWalk *w, sqlite3_stmt *stmt)
{
	return S_ISREG((mode_t)sqlite3_column_int64(stmt, 1)) && seal_has_writer(w->e->blobs, (BlobId)sqlite3_column_int64(stmt, 0));
}

/* What is not here is in nobody's memory. */
static int is_mapped(ExportWalk *w, sqlite3_stmt *stmt)
{
	return S_ISREG((mode_t)sqlite3_column_int64(stmt, 1)) && mapped_has(&w->mapped, w->e->blobs, (BlobId)sqlite3_column_int64(stmt, 0), true);
}

#define BODIES "SELECT blob, mode FROM inode WHERE blob > 0"

/* First who has one open, then who has one mapped: see mapped.c. A row's answer, or a negative errno. */
static int find_writer(ExportWalk *w)
{
	int rc = walk_rows(w, BODIES, has_writer);

	if (rc == 0 && mappers_needed(&w->e->mappers)) {
		mapped_take(&w->e->mappers, false, &w->mapped);
		rc = walk_rows(w, BODIES, is_mapped);
		mapped_release(&w->mapped);
	}
	return rc;
}

bool cow_export_state(CowExport *e, CowState *out, bool *written)
{
	ExportWalk w = {.e = e};
	char path[PATH_MAX];

	*out = (CowState){0};
	*written = false;
	if (e->frozen || !e->meta->db || !unchanged_path(e->meta->path, path))
		return false;
	if (unchanged_read(path, out)) {
		unchanged_told(path, out);
		return true;
	}
	int rc = find_writer(&w);
	*written = rc == 1;
	return rc == 0 && unchanged_make(path, out);
}

/* ---- import ---- */

typedef struct BlobTimes {
	BlobId id;
	struct timespec times[2];
} BlobTimes;

typedef struct Origin {
	HmapNode node;
	size_t len;
	char path[];
} Origin;

struct CowImport {
	CowMeta *meta;
	BlobStore *blobs;
	Hmap origins;
	CowBatch batch;
	char *source; /* of remote bodies, or NULL */
	BlobRemote *remote;
	size_t n_remote, room_remote;
	BlobTimes *times; /* given to the blobs when they are full */
	size_t n_times, room_times;
	uint64_t max_id;
};

void cow_import_free(CowImport *i)
{
	if (!i)
		return;
	meta_close(i->meta);
	blob_close(i->blobs);
	batch_reset(&i->batch);
	HMAP_FOREACH_SAFE (&i->origins, n, next)
		free(CONTAINER_OF(n, Origin, node));
	hmap_release(&i->origins);
	for (size_t k = 0; k < i->n_remote; k++)
		free((void *)(uintptr_t)i->remote[k].ref);
	free(i->remote);
	free(i->source);
	free(i->times);
	free(i);
}

int cow_import_begin(const CowfsConfig *config, CowImport **out, char **err)
{
	CowImport *i = calloc(1, sizeof *i);

	if (!i) {
		blob_close(config->blobs);
		return -ENOMEM;
	}
	i->blobs = config->blobs;
	int rc = hmap_init(&i->origins);
	if (rc == 0)
		rc = meta_open(config, &i->meta, err);
	if (rc == 0 && i->meta->db)
		rc = bv_fail(err, -EEXIST, "%s is a database already", config->db_path);
	if (rc < 0) {
		cow_import_free(i);
		return rc;
	}
	*out = i;
	return 0;
}

/* A host path as cowfs itself would have written it: "/", or components that are names. */
static bool is_canonical(const char *path, size_t len)
{
	for (size_t at = 0; at < len && len > 1;) {
		const char *name = path + at + 1, *slash = memchr(name, '/', len - at - 1);
		size_t n = slash ? (size_t)(slash - name) : len - at - 1;
		if (path[at] != '/' || n == 0 || n > NAME_MAX || (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'))))
			return false;
		at += n + 1;
	}
	return len > 0 && path[0] == '/' && !memchr(path, 0, len);
}

/* What is hidden, or granted, is found by the host path that a record rests on: there may be only one for each path, and no other spelling of it. */
static int note_origin(CowImport *i, const CowRecord *r, char **err)
{
	uint64_t hash = hash_bytes(r->name, r->n_name, 0);

	if (!is_canonical(r->name, r->n_name))
		return bv_fail(err, -EBADMSG, "record %llu rests on what is no path", (unsigned long long)r->id);
	for (HmapNode *n = hmap_first(&i->origins, hash); n; n = hmap_next(n)) {
		const Origin *o = CONTAINER_OF(n, Origin, node);
		if (o->len == r->n_name && memcmp(o->path, r->name, o->len) == 0)
			return bv_fail(err, -EBADMSG, "two records rest on %.*s", (int)o->len, o->path);
	}
	Origin *o = malloc(sizeof *o + r->n_name);
	if (!o)
		return -ENOMEM;
	o->len = r->n_name;
	memcpy(o->path, r->name, r->n_name);
	hmap_insert(&i->origins, &o->node, hash);
	return 0;
}

static int note_times(CowImport *i, const CowRecord *r)
{
	if (i->n_times == i->room_times) {
		size_t room = MAX(256, i->room_times * 2);
		BlobTimes *more = realloc(i->times, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		i->times = more;
		i->room_times = room;
	}
	i->times[i->n_times++] = (BlobTimes){r->id, {r->atime, r->mtime}};
	return 0;
}

/* The blob gets the number of its inode, which no other one has. */
static int make_blob(CowImport *i, const CowRecord *r, int *fd, char **err)
{
	int rc;

	if (!S_ISREG(r->mode) && !S_ISFIFO(r->mode))
		return bv_fail(err, -EBADMSG, "record %llu has a content, and is no file", (unsigned long long)r->id);
	rc = S_ISREG(r->mode) ? blob_create(i->blobs, r->id, r->mode & 07777, O_WRONLY, fd) : blob_make_node(i->blobs, r->id, r->mode);
	if (rc == -EEXIST)
		return bv_fail(err, -EBADMSG, "record %llu comes twice", (unsigned long long)r->id);
	if (rc == 0)
		rc = note_times(i, r);
	return rc < 0 ? bv_fail(err, rc, "cannot make a file of the sandbox: %s", strerror(-rc)) : 0;
}

int cow_import_remote(CowImport *i, const char *source)
{
	i->source = strdup(source);
	return i->source ? 0 : -ENOMEM;
}

static int note_remote(CowImport *i, const CowRecord *r)
{
	if (i->n_remote == i->room_remote) {
		size_t room = MAX(256, i->room_remote * 2);
		BlobRemote *more = realloc(i->remote, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		i->remote = more;
		i->room_remote = room;
	}
	void *ref = malloc(r->n_remote + 1);
	if (!ref)
		return -ENOMEM;
	memcpy(ref, r->remote, r->n_remote);
	i->remote[i->n_remote++] = (BlobRemote){.id = r->id, .size = r->remote_size, .times = {r->atime, r->mtime}, .mode = r->mode & 0777, .ref = ref, .ref_len = r->n_remote};
	return 0;
}

int cow_import_lost(CowImport *i, const CowRecord *r)
{
	int rc = blob_remove(i->blobs, r->id);

	for (size_t k = i->n_times; rc == 0 && k-- > 0;)
		if (i->times[k].id == r->id) {
			i->times[k] = i->times[--i->n_times];
			break;
		}
	return rc < 0 ? rc : note_remote(i, r);
}

int cow_import_each_remote(const CowImport *i, int (*visit)(void *ctx, const void *ref, size_t len), void *ctx)
{
	int rc = 0;

	for (size_t k = 0; k < i->n_remote && rc == 0; k++)
		rc = visit(ctx, i->remote[k].ref, i->remote[k].ref_len);
	return rc;
}

static int write_batch(CowImport *i, bool last, char **err)
{
	i->batch.next_id = i->max_id + 1;
	i->batch.came = last ? MAX((uint64_t)COW_ROOT_ID, i->max_id) : 0;
	int rc = meta_write(i->meta, &i->batch, last, last, false);

	batch_reset(&i->batch);
	return rc < 0 ? bv_fail(err, rc, "cannot write the database %s: %s", i->meta->path, strerror(-rc)) : 0;
}

static int add_row(CowImport *i, const CowRecord *r, char **err)
{
	_Static_assert(COW_RECORD_OVER == (int)D_OVER && COW_RECORD_CARRIED == (int)N_CARRIED && COW_RECORD_HAVE_OWN == (int)(OV_MODE | OV_OWNER), "the index says the same");
	static const CowRowKind kinds[] = {[COW_RECORD_DENTRY] = ROW_DENTRY, [COW_RECORD_INODE] = ROW_INODE, [COW_RECORD_XATTR] = ROW_XATTR};
	CowRow row = {.kind = kinds[r->kind], .id = r->id, .dir = r->dir, .flags = r->flags, .have = r->have, .mode = r->mode, .uid = r->uid, .gid = r->gid,
		      .nlink = r->nlink, .rdev = r->rdev, .vdev = r->vdev, .vino = r->vino ? r->vino : COW_INO_BASE + r->id, .blob = r->blob ? r->id : 0, .atime = r->atime, .mtime = r->mtime,
		      .ctime = r->ctime, .btime = r->btime, .base = r->base};
	int rc = batch_add(&i->batch, &row, r->name, r->n_name, r->value, r->n_value);

	if (rc < 0)
		return bv_fail(err, rc, "out of memory");
	return i->batch.len < IMPORT_BATCH ? 0 : write_batch(i, false, err);
}

int cow_import_record(CowImport *i, const CowRecord *r, int *fd, char **err)
{
	CLEAN_FD int made = -1;

	if (r->n_name >= PATH_MAX || r->n_value >= (size_t)1 << 24 || r->id > INT64_MAX / 2 || (r->kind == COW_RECORD_INODE && !r->id))
		return bv_fail(err, -EBADMSG, "record %llu makes no sense", (unsigned long long)r->id);
	int rc = r->kind == COW_RECORD_INODE && r->name ? note_origin(i, r, err) : 0;
	if (rc == 0 && r->kind == COW_RECORD_INODE && r->blob)
		rc = i->source && r->remote && S_ISREG(r->mode) ? note_remote(i, r) : make_blob(i, r, &made, err);
	i->max_id = MAX(i->max_id, r->id);
	if (rc == 0)
		rc = add_row(i, r, err);
	if (rc == 0)
		*fd = TAKE_FD(made);
	return rc;
}

int cow_import_finish(CowImport *i, char **err)
{
	char closed[PATH_MAX];
	CowState state;

	for (size_t k = 0; k < i->n_times; k++) {
		int rc = blob_utimens(i->blobs, i->times[k].id, i->times[k].times);
		if (rc < 0)
			return bv_fail(err, rc, "cannot set the times of a file of the sandbox: %s", strerror(-rc));
	}
	int rc = i->source && i->n_remote ? blob_put_remote(i->blobs, i->source, i->remote, i->n_remote) : 0;
	if (rc == 0 && i->meta->durable && i->n_times)
		rc = blob_sync(i->blobs, 0);
	if (rc < 0)
		return bv_fail(err, rc, "cannot write the files of the sandbox to the disk: %s", strerror(-rc));
	rc = write_batch(i, true, err);
	if (rc == 0 && unchanged_path(i->meta->path, closed))
		unchanged_make(closed, &state); /* nobody has ever seen it */
	return rc;
}
