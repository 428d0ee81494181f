/* cowfs/meta_write.c - batches of row changes, and their way into the database; see meta.h. */
#include "meta_db.h"

#include <fcntl.h>

#define CHECKPOINT_FRAMES 1000 /* pages, as SQLite itself does it */
#define RESERVE (512 << 10)    /* bytes: what guests can do in the 100 ms until they are refused more, and a removal */

/* ---- batches ---- */

int batch_add(CowBatch *batch, CowRow *row, const char *name, size_t name_len, const char *target, size_t target_len)
{
	size_t nlen = name ? name_len : 0, tlen = target ? target_len : 0;
	size_t total = (sizeof *row + nlen + tlen + 7) & ~(size_t)7;

	if (batch->len + total > batch->room) {
		size_t room = MAX(batch->len + total, MAX(8192, batch->room * 2));
		char *more = realloc(batch->data, room);
		if (!more)
			return -ENOMEM;
		batch->data = more;
		batch->room = room;
	}
	row->total = (uint32_t)total;
	row->name_len = name ? (uint32_t)nlen : UINT32_MAX;
	row->target_len = target ? (uint32_t)tlen : UINT32_MAX;
	char *at = batch->data + batch->len;
	memcpy(at, row, sizeof *row);
	if (nlen)
		memcpy(at + sizeof *row, name, nlen);
	if (tlen)
		memcpy(at + sizeof *row + nlen, target, tlen);
	batch->len += total;
	batch->rows++;
	return 0;
}

void batch_reset(CowBatch *batch)
{
	free(batch->data);
	*batch = (CowBatch){0};
}

/* ---- write ---- */

static const char *const sql[] = {
	[ROW_INODE] = "INSERT OR REPLACE INTO inode VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_INODE_GONE] = "DELETE FROM inode WHERE id = ?",
	[ROW_DENTRY] = "INSERT OR REPLACE INTO dentry VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_DENTRY_GONE] = "DELETE FROM dentry WHERE dir = ? AND name = ?",
	[ROW_XATTR] = "INSERT OR REPLACE INTO xattr VALUES(?,?,?)",
	[ROW_PACK] = "INSERT INTO packed VALUES(?,?)",
	[ROW_PACK_GONE] = "DELETE FROM packed WHERE dir = ?",
	[ROW_XATTRS_GONE] = "DELETE FROM xattr WHERE inode = ?",
};

void row_to_values(const CowRow *row, int64_t v[META_VALUES])
{
	const int64_t all[META_VALUES] = {
		row->flags, row->have, row->mode, row->uid, row->gid, row->nlink, (int64_t)row->rdev, (int64_t)row->vdev, (int64_t)row->vino,
		(int64_t)row->blob, row->atime.tv_sec, row->atime.tv_nsec, row->mtime.tv_sec, row->mtime.tv_nsec, row->ctime.tv_sec,
		row->ctime.tv_nsec, row->btime.tv_sec, row->btime.tv_nsec, row->base.known, (int64_t)row->base.dev, (int64_t)row->base.ino,
		(int64_t)row->base.size, row->base.mtime.tv_sec, row->base.mtime.tv_nsec, row->base.ctime.tv_sec, row->base.ctime.tv_nsec,
		row->base.mode, row->base.uid, row->base.gid};
	memcpy(v, all, sizeof all);
}

static int bind_bytes(sqlite3_stmt *stmt, int at, const char *data, uint32_t len)
{
	if (len == UINT32_MAX)
		return sqlite3_bind_null(stmt, at);
	return sqlite3_bind_blob(stmt, at, len ? data : "", (int)len, SQLITE_STATIC);
}

/* SQLITE_OK or the first error: a value that was not bound would be written as NULL. */
static int bind_inode(sqlite3_stmt *stmt, const CowRow *row, const char *name, const char *target)
{
	int64_t v[META_VALUES];
	int rc = sqlite3_bind_int64(stmt, 1, (int64_t)row->id);

	if (rc == SQLITE_OK)
		rc = bind_bytes(stmt, 2, name, row->name_len);
	if (rc == SQLITE_OK)
		rc = bind_bytes(stmt, 3, target, row->target_len);
	row_to_values(row, v);
	for (int i = 0; i < META_VALUES && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_int64(stmt, 4 + i, v[i]);
	return rc;
}

static int bind_dentry(sqlite3_stmt *stmt, const CowRow *row, const char *name)
{
	int64_t v[META_VALUES];
	int rc = sqlite3_bind_int64(stmt, 1, (int64_t)row->dir);

	if (rc == SQLITE_OK)
		rc = bind_bytes(stmt, 2, name, row->name_len);
	if (rc != SQLITE_OK || row->kind == ROW_DENTRY_GONE)
		return rc;
	rc = row->id ? sqlite3_bind_int64(stmt, 3, (int64_t)row->id) : sqlite3_bind_null(stmt, 3);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(stmt, 4, row->flags);
	row_to_values(row, v);
	for (int i = 0; i < META_BASE_VALUES && rc == SQLITE_OK; i++)
		rc = row->base.known ? sqlite3_bind_int64(stmt, 5 + i, v[META_VALUES - META_BASE_VALUES + i]) : sqlite3_bind_null(stmt, 5 + i);
	return rc;
}

static int bind_row(sqlite3_stmt *stmt, const CowRow *row)
{
	const char *name = (const char *)(row + 1), *target = name + (row->name_len == UINT32_MAX ? 0 : row->name_len);
	int rc;

	switch ((CowRowKind)row->kind) {
	case ROW_INODE:
		return bind_inode(stmt, row, name, target);
	case ROW_DENTRY:
	case ROW_DENTRY_GONE:
		return bind_dentry(stmt, row, name);
	case ROW_XATTR:
		rc = sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
		if (rc == SQLITE_OK)
			rc = bind_bytes(stmt, 2, name, row->name_len);
		return rc == SQLITE_OK ? bind_bytes(stmt, 3, target, row->target_len) : rc;
	case ROW_PACK:
		rc = sqlite3_bind_int64(stmt, 1, (int64_t)row->dir);
		return rc == SQLITE_OK ? bind_bytes(stmt, 2, target, row->target_len) : rc;
	case ROW_PACK_GONE:
		return sqlite3_bind_int64(stmt, 1, (int64_t)row->dir);
	case ROW_INODE_GONE:
	case ROW_XATTRS_GONE:
		return sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	}
	return SQLITE_MISUSE;
}

static int write_row(CowMeta *meta, const CowRow *row)
{
	sqlite3_stmt **stmt = &meta->stmts[row->kind];

	if (!*stmt) {
		int rc = sqlite3_prepare_v3(meta->db, sql[row->kind], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
		if (rc != SQLITE_OK)
			return meta_errno(rc);
	}
	int rc = bind_row(*stmt, row);
	if (rc == SQLITE_OK)
		rc = meta_step(meta, *stmt);
	sqlite3_reset(*stmt);
	return meta_errno(rc);
}

static int write_rows(CowMeta *meta, const CowBatch *batch, bool clean)
{
	char state[160];
	int rc = 0;

	for (size_t at = 0; at < batch->len && rc == 0;) {
		const CowRow *row = (const CowRow *)(const void *)(batch->data + at);
		rc = write_row(meta, row);
		at += row->total;
	}
	/* always one change, so that a durable commit has something to make durable */
	snprintf(state, sizeof state, "UPDATE state SET value = CASE key WHEN 'clean' THEN %d ELSE MAX(value, %llu) END WHERE key IN ('clean', 'next_id')", clean,
		 (unsigned long long)batch->next_id);
	if (rc == 0)
		rc = meta_exec(meta, state);
	if (rc < 0 || !batch->came)
		return rc;
	snprintf(state, sizeof state, "INSERT INTO state VALUES('came', %llu)", (unsigned long long)batch->came);
	return meta_exec(meta, state);
}

/* FULL waits for every commit. NORMAL waits when the WAL is moved into the database and when it is begun anew: without that, a power cut could
 * bring back what an older WAL said over what was durable. OFF waits for nothing: right as long as the WAL is the first one. */
enum { SYNC_OFF, SYNC_NORMAL, SYNC_FULL };

static int set_synchronous(CowMeta *meta, int level)
{
	static const char *const levels[] = {"PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"};
	int rc = 0;

	if (!meta->durable)
		level = SYNC_OFF;
	if (meta->synchronous != level)
		rc = meta_exec(meta, levels[level]);
	if (rc == 0)
		meta->synchronous = level;
	return rc;
}

/* SQLite's hook after each commit: the WAL has so many frames. */
int meta_note_frames(void *ctx, sqlite3 *db, const char *name, int frames)
{
	CowMeta *meta = ctx;

	(void)db;
	(void)name;
	meta->wal_frames = frames;
	return SQLITE_OK;
}

/* Moves a long WAL into the database. Failing costs nothing but its length: the next batch tries again. */
static void checkpoint(CowMeta *meta)
{
	if (meta->wal_frames < CHECKPOINT_FRAMES || set_synchronous(meta, SYNC_NORMAL) < 0)
		return;
	meta->wal_reused = true;
	meta->reserved = false; /* SQLite cuts the file where it ends */
	IGNORE_RESULT(sqlite3_wal_checkpoint_v2(meta->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

static int sync_path(const char *path)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0; /* what is not there cannot be lost */
	return fd < 0 || fsync(fd) < 0 ? bv_neg_errno() : 0;
}

/* Once for each opening: the database itself, and the names that lead to it and to its WAL. */
static int settle(CowMeta *meta)
{
	int rc = fsync(meta->lock_fd) < 0 ? bv_neg_errno() : 0;

	for (size_t i = 0; rc == 0 && meta->settle[i]; i++)
		rc = sync_path(meta->settle[i]);
	meta->settled = rc == 0;
	return rc;
}

/* ---- a full disk ---- */

/* A removal in a directory with a pack writes all that it says as rows, which are up to six times as large. */
static off_t room_needed(const CowMeta *meta)
{
	return RESERVE + 8 * (off_t)meta->largest_pack;
}

/* Room that is kept behind the end of the database, so that on a full disk the batch which takes away what fills it can still be written: the bodies
 * of removed files go only after that. Where the file system cannot keep room, there is none. */
void meta_keep_room(CowMeta *meta)
{
	struct stat st;

	if (meta->reserved || !meta->db || fstat(meta->lock_fd, &st) < 0)
		return;
	meta->reserved = fallocate(meta->lock_fd, FALLOC_FL_KEEP_SIZE, st.st_size, room_needed(meta)) == 0 || (errno != ENOSPC && errno != EDQUOT);
}

/* Whether it is worth trying again. Only this thread changes the size of the file. */
static bool reserve_free(CowMeta *meta)
{
	struct stat st;

	if (fstat(meta->lock_fd, &st) < 0 || st.st_blocks * 512 < st.st_size + room_needed(meta) / 2) /* an earlier run may have made it, or used it */
		return false;
	meta->reserved = false;
	return ftruncate(meta->lock_fd, st.st_size) == 0;
}

bool meta_is_unwritten(const CowMeta *meta)
{
	return !meta->db || meta->blank;
}

static int write_batch(CowMeta *meta, const CowBatch *batch, bool durable, bool clean)
{
	durable = durable && meta->durable;
	clean = clean || (meta->clean && !batch->rows);
	int rc = 0;

	if (batch->rows || batch->came || clean != meta->clean || (durable && meta->unsynced)) {
		rc = meta->db ? 0 : meta_create(meta);
		if (rc == 0)
			rc = set_synchronous(meta, durable ? SYNC_FULL : meta->wal_reused ? SYNC_NORMAL : SYNC_OFF);
		if (rc == 0)
			rc = meta_exec(meta, "BEGIN IMMEDIATE");
		if (rc < 0)
			return rc;
		rc = write_rows(meta, batch, clean);
		if (rc == 0)
			rc = meta_exec(meta, "COMMIT");
		if (rc < 0) {
			(void)sqlite3_exec(meta->db, "ROLLBACK", NULL, NULL, NULL); /* fails only if there is no transaction any more */
			return rc;
		}
		meta->blank = false;
		meta->clean = clean;
		meta->unsynced = !durable;
		checkpoint(meta);
	}
	return durable && !meta->settled ? settle(meta) : 0;
}

int meta_write(CowMeta *meta, const CowBatch *batch, bool durable, bool clean, bool frees)
{
	int rc = write_batch(meta, batch, durable, clean);

	if ((rc == -ENOSPC || rc == -EIO) && frees && reserve_free(meta)) /* EIO: what SQLite makes of EDQUOT */
		rc = write_batch(meta, batch, durable, clean);
	return rc;
}
