/* cowfs/meta.c - opening and writing the database; see meta.h. The schema and its version are here, loading is in meta_load.c.
 *
 * Opening a fresh one must cost little: one transaction, no fsync (an empty database that is lost in a power cut is no loss). Only a
 * durable commit waits for the disk: synchronous=FULL for that transaction makes SQLite sync the WAL, and with it all batches before. */
#include "meta.h"
#include "meta_db.h"

#include <sys/file.h>

static const char schema[] =
	"CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE inode(id INTEGER PRIMARY KEY, origin BLOB, target BLOB, flags INT, have INT, mode INT, uid INT, gid INT, nlink INT,"
	" rdev INT, vdev INT, vino INT, blob INT, atime INT, atime_ns INT, mtime INT, mtime_ns INT, ctime INT, ctime_ns INT, btime INT, btime_ns INT,"
	" base_known INT, base_dev INT, base_ino INT, base_size INT, base_mtime INT, base_mtime_ns INT, base_ctime INT, base_ctime_ns INT,"
	" base_mode INT, base_uid INT, base_gid INT);"
	"CREATE TABLE dentry(dir INT NOT NULL, name BLOB NOT NULL, inode INT, flags INT NOT NULL,"
	" base_dev INT, base_ino INT, base_size INT, base_mtime INT, base_mtime_ns INT, base_ctime INT, base_ctime_ns INT, base_mode INT, base_uid INT,"
	" base_gid INT, PRIMARY KEY(dir, name)) WITHOUT ROWID;"
	"CREATE TABLE xattr(inode INT NOT NULL, name BLOB NOT NULL, value BLOB, PRIMARY KEY(inode, name)) WITHOUT ROWID;"
	"INSERT INTO state VALUES('next_id', 2), ('clean', 0);";

static const char *const sql[] = {
	[ROW_INODE] = "INSERT OR REPLACE INTO inode VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_INODE_GONE] = "DELETE FROM inode WHERE id = ?",
	[ROW_DENTRY] = "INSERT OR REPLACE INTO dentry VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ROW_DENTRY_GONE] = "DELETE FROM dentry WHERE dir = ? AND name = ?",
	[ROW_XATTR] = "INSERT OR REPLACE INTO xattr VALUES(?,?,?)",
	[ROW_XATTRS_GONE] = "DELETE FROM xattr WHERE inode = ?",
};

int meta_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EAGAIN;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

int meta_step(CowMeta *meta, sqlite3_stmt *stmt)
{
	int rc = cow_fault("database step");

	(void)meta;
	return rc < 0 ? SQLITE_IOERR : sqlite3_step(stmt);
}

int meta_exec(CowMeta *meta, const char *text)
{
	int rc = cow_fault("database exec");

	return rc < 0 ? rc : meta_errno(sqlite3_exec(meta->db, text, NULL, NULL, NULL));
}

int meta_number(CowMeta *meta, const char *text, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(meta->db, text, -1, &stmt, NULL);

	if (rc == SQLITE_OK) {
		rc = meta_step(meta, stmt);
		if (rc == SQLITE_ROW)
			*out = sqlite3_column_int64(stmt, 0);
		else if (rc == SQLITE_DONE)
			rc = SQLITE_CORRUPT;
	}
	sqlite3_finalize(stmt);
	return meta_errno(rc);
}

int meta_failed(CowMeta *meta, int rc, char **err)
{
	int code = meta_errno(rc);

	if (code == -EUCLEAN)
		return bv_fail(err, code, "the database %s is damaged: %s", meta->path, sqlite3_errmsg(meta->db));
	return bv_fail(err, code, "cannot read the database %s: %s", meta->path, sqlite3_errstr(rc));
}

/* ---- open and close ---- */

/* The lock that makes this process the writer. The descriptor is closed after SQLite has let go of the file (closing it earlier would drop
 * SQLite's own POSIX locks). */
static int lock_file(CowMeta *meta, const CowfsConfig *config, char **err)
{
	meta->lock_fd = open(config->db_path, O_RDWR | O_CLOEXEC | (config->flags & COWFS_CREATE ? O_CREAT : 0), 0600);
	if (meta->lock_fd < 0)
		return bv_fail(err, bv_neg_errno(), "cannot open the database %s: %s", config->db_path, strerror(errno));
	if (flock(meta->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return bv_fail(err, errno == EWOULDBLOCK ? -EAGAIN : bv_neg_errno(), "the database %s is in use by another process", config->db_path);
	struct stat st;
	meta->fresh = fstat(meta->lock_fd, &st) == 0 && st.st_size == 0;
	if (meta->fresh && !(config->flags & COWFS_CREATE))
		return bv_fail(err, -EUCLEAN, "the database %s is empty", config->db_path);
	return 0;
}

static int create_schema(CowMeta *meta)
{
	char version[64];
	/* no sync at creation */
	int rc = meta_exec(meta, "PRAGMA page_size=4096; PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL; BEGIN IMMEDIATE;");

	if (rc == 0)
		rc = meta_exec(meta, schema);
	snprintf(version, sizeof version, "PRAGMA user_version=%d; COMMIT;", META_VERSION);
	return rc < 0 ? rc : meta_exec(meta, version);
}

static int check_version(CowMeta *meta, const char *path, char **err)
{
	int64_t version = 0;
	int rc = meta_number(meta, "PRAGMA user_version", &version);

	if (rc < 0)
		return bv_fail(err, rc == -EIO ? -EUCLEAN : rc, "the database %s is damaged: %s", path, sqlite3_errmsg(meta->db));
	if (version > META_VERSION)
		return bv_fail(err, -EPROTO, "the database %s was written by a newer bvisor (schema %lld, this one knows %d): use that version", path,
			       (long long)version, META_VERSION);
	if (version != META_VERSION)
		return bv_fail(err, -EUCLEAN, "the database %s is damaged: it is no bvisor database (schema %lld)", path, (long long)version);
	return 0;
}

int meta_integrity(CowMeta *meta, char **err)
{
	const char *path = meta->path;
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(meta->db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = meta_step(meta, stmt);
	if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		rc = bv_fail(err, -EUCLEAN, "the database %s is damaged: %s", path, (const char *)sqlite3_column_text(stmt, 0));
	else
		rc = rc == SQLITE_ROW ? 0 : meta_failed(meta, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, err);
	sqlite3_finalize(stmt);
	return rc;
}

static int open_existing(CowMeta *meta, char **err)
{
	int64_t clean = 0;
	int rc = check_version(meta, meta->path, err);

	if (rc == 0 && (rc = meta_number(meta, "SELECT value FROM state WHERE key='clean'", &clean)) < 0)
		return bv_fail(err, -EUCLEAN, "the database %s is damaged: %s", meta->path, sqlite3_errmsg(meta->db));
	if (rc < 0 || meta->readonly)
		return rc;
	meta->unclean = !clean;
	if (meta->unclean)
		rc = meta_integrity(meta, err);
	return rc;
}

static int open_db(CowMeta *meta, const CowfsConfig *config, char **err)
{
	int flags = meta->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc = sqlite3_open_v2(config->db_path, &meta->db, flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return bv_fail(err, access(config->db_path, F_OK) < 0 ? -ENOENT : meta_errno(rc), "cannot open the database %s: %s", config->db_path,
			       meta->db ? sqlite3_errmsg(meta->db) : "out of memory");
	sqlite3_busy_timeout(meta->db, 5000); /* readers hold it for moments only */
	if (meta->readonly)
		return 0;
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* it would sync; the next start reads the WAL as well */
	return 0;
}

int meta_open(const CowfsConfig *config, CowMeta **out, char **err)
{
	CowMeta *meta = calloc(1, sizeof *meta);
	int rc = 0;

	if (!meta)
		return -ENOMEM;
	meta->lock_fd = -1;
	meta->readonly = (config->flags & COWFS_READONLY) != 0;
	meta->path = strdup(config->db_path);
	if (!meta->path)
		rc = -ENOMEM;
	if (rc == 0 && !meta->readonly)
		rc = lock_file(meta, config, err);
	if (rc == 0)
		rc = open_db(meta, config, err);
	if (rc == 0 && meta->fresh && (rc = create_schema(meta)) < 0)
		bv_fail(err, rc, "cannot write the database %s: %s", config->db_path, sqlite3_errmsg(meta->db));
	else if (rc == 0 && !meta->fresh)
		rc = open_existing(meta, err);
	if (rc < 0) {
		meta_close(meta, false);
		return rc;
	}
	*out = meta;
	return 0;
}

void meta_close(CowMeta *meta, bool clean)
{
	if (!meta)
		return;
	if (clean && !meta->readonly && meta->db)
		(void)sqlite3_exec(meta->db, "UPDATE state SET value=1 WHERE key='clean'", NULL, NULL, NULL); /* failing only costs a check at the next start */
	for (size_t i = 0; i < ARRAY_LEN(meta->stmts); i++)
		sqlite3_finalize(meta->stmts[i]);
	sqlite3_close(meta->db);
	bv_close_fd(&meta->lock_fd);
	free(meta->path);
	free(meta);
}

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

static int write_rows(CowMeta *meta, const CowBatch *batch)
{
	char state[96];
	int rc = 0;

	for (size_t at = 0; at < batch->len && rc == 0;) {
		const CowRow *row = (const CowRow *)(const void *)(batch->data + at);
		rc = write_row(meta, row);
		at += row->total;
	}
	/* always one change, so that a durable commit has something to make durable */
	snprintf(state, sizeof state, "UPDATE state SET value=MAX(value,%llu) WHERE key='next_id'", (unsigned long long)batch->next_id);
	return rc < 0 ? rc : meta_exec(meta, state);
}

int meta_write(CowMeta *meta, const CowBatch *batch, bool durable)
{
	int rc = meta_exec(meta, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");

	if (rc == 0)
		rc = meta_exec(meta, "BEGIN IMMEDIATE");
	if (rc < 0)
		return rc;
	rc = write_rows(meta, batch);
	if (rc == 0)
		rc = meta_exec(meta, "COMMIT");
	if (rc < 0)
		(void)sqlite3_exec(meta->db, "ROLLBACK", NULL, NULL, NULL); /* fails only if there is no transaction any more */
	return rc;
}
