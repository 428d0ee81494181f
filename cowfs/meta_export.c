/* cowfs/meta_export.c - the rows and packs of the database as records; see records.h. */
#include "meta_db.h"
#include "packed.h"
#include "records.h"
#include "unchanged.h"

struct CowExport {
	CowMeta *meta;
	BlobStore *blobs;
	CowMappers mappers;
	bool frozen, based_only;
	uint64_t came;
	bool (*recall)(void *ctx, CowRecord *inode);
	void *recall_ctx;
};

typedef struct PackedDir {
	uint64_t dir;
	size_t at, len;
} PackedDir;

typedef struct PackedInode {
	uint64_t id;
	const uint8_t *at, *end; /* its item, and the end of the pack */
} PackedInode;

/* All packs, whose names and inodes are told between those of the rows. */
typedef struct Packs {
	Bytes bytes;
	PackedDir *dirs;
	size_t n_dirs, room_dirs, next_dir;
	PackReader reader; /* of the one before next_dir */
	PackItem item;	   /* whose name comes next */
	bool has_item;
	PackedInode *inodes; /* whose names were told */
	size_t n_inodes, room_inodes, next_inode;
} Packs;

typedef struct ExportWalk {
	CowExport *e;
	int (*visit)(void *ctx, const CowRecord *record);
	void *ctx;
	char **err;
	CowMapped mapped;
	int (*ask)(struct ExportWalk *w, BlobId blob);
	Packs packs;
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

/* ---- packs ---- */

static int damaged_pack(ExportWalk *w, uint64_t dir)
{
	return bv_fail(w->err, -EUCLEAN, "the database %s is damaged: the pack of a directory makes no sense (%llu)", w->e->meta->path, (unsigned long long)dir);
}

static int keep_pack(ExportWalk *w, sqlite3_stmt *stmt)
{
	Packs *p = &w->packs;
	size_t len = (size_t)sqlite3_column_bytes(stmt, 1);

	if (!BV_GROW(p->dirs, p->n_dirs, p->room_dirs))
		return -ENOMEM;
	p->dirs[p->n_dirs++] = (PackedDir){(uint64_t)sqlite3_column_int64(stmt, 0), p->bytes.len, len};
	bytes_put(&p->bytes, sqlite3_column_blob(stmt, 1), len);
	return p->bytes.failed ? -ENOMEM : 0;
}

static void packs_release(Packs *p)
{
	bytes_release(&p->bytes);
	free(p->dirs);
	free(p->inodes);
	*p = (Packs){0};
}

static uint64_t dir_in_hand(const Packs *p)
{
	return p->dirs[p->next_dir - 1].dir;
}

/* To the next name of a pack. */
static int packs_advance(ExportWalk *w)
{
	Packs *p = &w->packs;
	int rc = p->next_dir ? pack_next(&p->reader, &p->item) : 0;

	while (rc == 0 && p->next_dir < p->n_dirs) {
		const PackedDir *d = &p->dirs[p->next_dir++];
		p->reader = pack_reader(p->bytes.data + d->at, d->len);
		rc = pack_next(&p->reader, &p->item);
	}
	p->has_item = rc > 0;
	return rc < 0 ? damaged_pack(w, dir_in_hand(p)) : 0;
}

static int packs_begin(ExportWalk *w)
{
	int rc = w->e->meta->packs ? walk_rows(w, "SELECT dir, items FROM packed ORDER BY dir", keep_pack) : 0;

	return rc ? rc : packs_advance(w);
}

static int note_inode(Packs *p, const PackItem *item)
{
	if (!BV_GROW(p->inodes, p->n_inodes, p->room_inodes))
		return -ENOMEM;
	p->inodes[p->n_inodes++] = (PackedInode){item->inode.id, item->at, p->reader.c.end};
	return 0;
}

static int compare_names(uint64_t dir_a, const char *a, size_t na, uint64_t dir_b, const char *b, size_t nb)
{
	return dir_a != dir_b ? (dir_a > dir_b) - (dir_a < dir_b) : name_order(a, na, b, nb);
}

/* Names of packs, up to that of a row, if there is one. */
static int tell_packed_names(ExportWalk *w, const CowRecord *before)
{
	Packs *p = &w->packs;
	int rc = 0;

	while (p->has_item && !rc) {
		const uint64_t dir = dir_in_hand(p);
		int order = before ? compare_names(dir, p->item.name, p->item.n_name, before->dir, before->name, before->n_name) : -1;
		if (order > 0)
			break;
		if (order == 0)
			return damaged_pack(w, dir);
		CowRecord r = {.kind = COW_RECORD_DENTRY, .dir = dir, .id = p->item.inode.id, .name = p->item.name, .n_name = p->item.n_name};
		rc = note_inode(p, &p->item);
		if (rc == 0)
			rc = w->visit(w->ctx, &r);
		if (rc == 0)
			rc = packs_advance(w);
	}
	return rc;
}

static int by_id(const void *a, const void *b)
{
	const PackedInode *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int tell_inode(ExportWalk *w, CowRecord *r);

/* Inodes of packs, up to that of a row; 0: all that are left. */
static int tell_packed_inodes(ExportWalk *w, uint64_t before)
{
	Packs *p = &w->packs;
	int rc = 0;

	for (; p->next_inode < p->n_inodes && !rc && (!before || p->inodes[p->next_inode].id <= before); p->next_inode++) {
		const PackedInode *i = &p->inodes[p->next_inode];
		PackReader reader = pack_reader(i->at, (size_t)(i->end - i->at));
		PackItem item;
		if (i->id == before || (p->next_inode && i[-1].id == i->id) || pack_next(&reader, &item) != 1)
			return damaged_pack(w, i->id);
		rc = tell_inode(w, &item.inode);
	}
	return rc;
}

/* ---- rows ---- */

static int export_dentry(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_DENTRY, .dir = (uint64_t)sqlite3_column_int64(stmt, 0), .id = (uint64_t)sqlite3_column_int64(stmt, 2),
		       .flags = (uint32_t)sqlite3_column_int64(stmt, 3)};

	take_bytes(stmt, 1, &r.name, &r.n_name);
	if (sqlite3_column_type(stmt, 4) != SQLITE_NULL)
		r.base = base_at(stmt, 4);
	int rc = tell_packed_names(w, &r);
	return rc ? rc : w->visit(w->ctx, &r);
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

static int tell_inode(ExportWalk *w, CowRecord *r)
{
	int rc = 0;

	if (r->blob && !w->e->based_only && !(w->e->recall && w->e->recall(w->e->recall_ctx, r)))
		rc = take_body(w, r);
	return rc < 0 ? rc : w->visit(w->ctx, r);
}

static int export_inode(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_INODE, .id = (uint64_t)sqlite3_column_int64(stmt, 0)};
	int64_t v[META_VALUES];

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
	int rc = tell_packed_inodes(w, r.id);
	return rc ? rc : tell_inode(w, &r);
}

static int export_xattr(ExportWalk *w, sqlite3_stmt *stmt)
{
	CowRecord r = {.kind = COW_RECORD_XATTR, .id = (uint64_t)sqlite3_column_int64(stmt, 0)};

	take_bytes(stmt, 1, &r.name, &r.n_name);
	take_bytes(stmt, 2, &r.value, &r.n_value);
	return w->visit(w->ctx, &r);
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
	rc = packs_begin(&w);
	if (!rc)
		rc = walk_rows(&w, "SELECT * FROM dentry ORDER BY dir, name", export_dentry);
	if (!rc)
		rc = tell_packed_names(&w, NULL);
	if (!rc && w.packs.n_inodes)
		qsort(w.packs.inodes, w.packs.n_inodes, sizeof *w.packs.inodes, by_id);
	if (!rc)
		rc = walk_rows(&w, "SELECT * FROM inode ORDER BY id", export_inode);
	if (!rc)
		rc = tell_packed_inodes(&w, 0);
	packs_release(&w.packs);
	if (!rc)
		rc = walk_rows(&w, "SELECT inode, name, value FROM xattr ORDER BY inode, name", export_xattr);
	return rc;
}

/* All of them; one that is being fetched is nobody's yet. */
static int has_writer(ExportWalk *w, BlobId blob)
{
	return seal_has_writer(w->e->blobs, blob);
}

/* What is not here is in nobody's memory. */
static int is_mapped(ExportWalk *w, BlobId blob)
{
	return mapped_has(&w->mapped, w->e->blobs, blob, true);
}

static int ask_row(ExportWalk *w, sqlite3_stmt *stmt)
{
	return S_ISREG((mode_t)sqlite3_column_int64(stmt, 1)) ? w->ask(w, (BlobId)sqlite3_column_int64(stmt, 0)) : 0;
}

static int ask_pack(ExportWalk *w, sqlite3_stmt *stmt)
{
	PackReader reader = pack_reader(sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1));
	PackItem item;
	int rc;

	while ((rc = pack_next(&reader, &item)) > 0)
		if (item.inode.blob && (rc = w->ask(w, item.inode.blob)) != 0)
			return rc;
	return rc < 0 ? damaged_pack(w, (uint64_t)sqlite3_column_int64(stmt, 0)) : 0;
}

/* Of each body; the first answer that is not 0. */
static int ask_bodies(ExportWalk *w, int (*ask)(ExportWalk *w, BlobId blob))
{
	w->ask = ask;
	int rc = walk_rows(w, "SELECT blob, mode FROM inode WHERE blob > 0", ask_row);

	return rc || !w->e->meta->packs ? rc : walk_rows(w, "SELECT dir, items FROM packed", ask_pack);
}

/* First who has one open, then who has one mapped: see mapped.c. A row's answer, or a negative errno. */
static int find_writer(ExportWalk *w)
{
	int rc = ask_bodies(w, has_writer);

	if (rc == 0 && mappers_needed(&w->e->mappers)) {
		mapped_take(&w->e->mappers, false, &w->mapped);
		rc = ask_bodies(w, is_mapped);
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
