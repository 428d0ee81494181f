/* cowfs/meta.c - opening the database; see meta.h. The schema and its version are here, loading is in meta_load.c, writing in meta_write.c.
 *
 * A sandbox in which nothing changes costs no database: the file stays empty until the first batch, and only then SQLite is opened. Then the
 * empty database is written as one image that was made in memory, which spares SQLite's journal. Only a durable commit waits for the disk:
 * synchronous=FULL for that transaction makes SQLite sync the WAL, and with it all batches before. */
#include "meta.h"
#include "meta_db.h"

#include <sys/file.h>

#define PAGE 4096
#define SHRINK_PAGES 64
#define LOG_MOST 8388608 /* bytes of a log that is begun anew: one batch may have been large */
#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

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
	"CREATE TABLE packed(dir INTEGER PRIMARY KEY, items BLOB NOT NULL);"
	"INSERT INTO state VALUES('next_id', 2), ('clean', 1);";

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
	return rc == -ENOSPC ? SQLITE_FULL : rc < 0 ? SQLITE_IOERR : sqlite3_step(stmt);
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

/* Nothing was written yet, or the first write of all (meta_create) did not end. */
static bool is_fresh(const CowMeta *meta, int fd)
{
	char head[16], wal[PATH_MAX];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	snprintf(wal, sizeof wal, "%s-wal", meta->path);
	return st.st_size == 0 || (pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, (char[sizeof head]){0}, sizeof head) == 0 &&
				   access(wal, F_OK) < 0);
}

/* The file is made before the first blob, and a log (WAL) only after the database was written: what is there without them is no empty sandbox. */
static int check_lost(const CowMeta *meta, const CowfsConfig *config, char **err)
{
	char wal[PATH_MAX];
	struct stat db, log;
	bool missing = stat(meta->path, &db) < 0;

	if (missing && errno != ENOENT)
		return 0; /* whoever opens it tells */
	if (missing)
		return blob_any(config->blobs) == 1 ?
			       bv_fail(err, -EUCLEAN, "the database %s is missing, but blobs are there", meta->path) : 0;
	snprintf(wal, sizeof wal, "%s-wal", meta->path);
	if (db.st_size == 0 && stat(wal, &log) == 0 && log.st_size > 0)
		return bv_fail(err, -EUCLEAN, "the database %s is damaged: it is empty, but its log %s is not", meta->path, wal);
	return 0;
}

/* The lock that makes this process the writer. The descriptor is closed after SQLite has let go of the file (closing it earlier would drop
 * SQLite's own POSIX locks). */
static int lock_file(CowMeta *meta, const CowfsConfig *config, char **err)
{
	meta->lock_fd = open(config->db_path, O_RDWR | O_CLOEXEC | (config->flags & COWFS_CREATE ? O_CREAT : 0), 0600);
	if (meta->lock_fd < 0)
		return bv_fail(err, bv_neg_errno(), "cannot open the database %s: %s", config->db_path, strerror(errno));
	if (flock(meta->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return bv_fail(err, errno == EWOULDBLOCK ? -EAGAIN : bv_neg_errno(), "the database %s is in use by another process", config->db_path);
	meta->fresh = is_fresh(meta, meta->lock_fd);
	return 0;
}

uint64_t meta_bytes(const CowMeta *meta)
{
	struct stat st;

	return fstat(meta->lock_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t meta_pages(CowMeta *meta, bool tight)
{
	int64_t pages = 0, unused = 0;

	if (!meta->db)
		return 0;
	if (tight && meta_number(meta, "PRAGMA freelist_count", &unused) == 0 && unused >= SHRINK_PAGES)
		IGNORE_RESULT(meta_exec(meta, "PRAGMA incremental_vacuum")); /* databases of older versions stay as they are */
	return meta_number(meta, "PRAGMA page_count", &pages) == 0 && pages > 0 ? (uint64_t)pages * PAGE : meta_bytes(meta);
}

static int open_db(CowMeta *meta, char **err)
{
	int flags = meta->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc = sqlite3_open_v2(meta->path, &meta->db, flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return bv_fail(err, access(meta->path, F_OK) < 0 ? -ENOENT : meta_errno(rc), "cannot open the database %s: %s", meta->path,
			       meta->db ? sqlite3_errmsg(meta->db) : "out of memory");
	meta->synchronous = -1;
	sqlite3_busy_timeout(meta->db, 5000); /* readers hold it for moments only */
	if (meta->readonly)
		return 0;
	meta->wal_reused = !meta->fresh;
	sqlite3_wal_hook(meta->db, meta_note_frames, meta); /* in the place of automatic checkpoints */
	sqlite3_exec(meta->db, "PRAGMA cache_size=-512", NULL, NULL, NULL); /* KiB: the index is in memory already, the database is hardly read */
	sqlite3_exec(meta->db, "PRAGMA journal_size_limit=" TEXT_OF(LOG_MOST), NULL, NULL, NULL);
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* it would sync; the next start reads the WAL as well */
	return 0;
}

/* The empty database as bytes; sqlite3_free. Its header says WAL. */
static unsigned char *make_image(sqlite3_int64 *size)
{
	unsigned char *image = NULL;
	char version[64];
	sqlite3 *db = NULL;

	snprintf(version, sizeof version, "PRAGMA user_version=%d; COMMIT", META_VERSION);
	if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, "PRAGMA page_size=" TEXT_OF(PAGE) "; PRAGMA auto_vacuum=INCREMENTAL; BEGIN", NULL, NULL, NULL) == SQLITE_OK && sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, version, NULL, NULL, NULL) == SQLITE_OK)
		image = sqlite3_serialize(db, "main", size, 0);
	sqlite3_close(db);
	if (image)
		image[18] = image[19] = 2; /* the format's versions for writing and reading: 2 is WAL */
	return image;
}

/* What belongs to an earlier file of this name would be taken for this one's. */
static bool remove_beside(const CowMeta *meta, const char *suffix)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s%s", meta->path, suffix);
	return unlink(path) == 0 || errno == ENOENT;
}

/* The first page last: a file without it was never finished (is_fresh). */
int meta_create(CowMeta *meta)
{
	sqlite3_int64 size = 0;
	int rc = cow_fault("database create");

	if (rc < 0)
		return rc;
	unsigned char *image = make_image(&size);
	if (!image)
		return -ENOMEM;
	if (!remove_beside(meta, "-wal") || !remove_beside(meta, "-shm") || lseek(meta->lock_fd, PAGE, SEEK_SET) < 0)
		rc = bv_neg_errno();
	if (rc == 0)
		rc = bv_write_full(meta->lock_fd, image + PAGE, (size_t)size - PAGE);
	if (rc == 0 && pwrite(meta->lock_fd, image, PAGE, 0) != PAGE)
		rc = bv_neg_errno();
	sqlite3_free(image);
	if (rc == 0)
		rc = open_db(meta, NULL);
	if (rc < 0) {
		sqlite3_close(TAKE_PTR(meta->db));
		IGNORE_RESULT(ftruncate(meta->lock_fd, 0)); /* what stays has no first page, and the next attempt writes over it */
	}
	meta->blank = rc == 0;
	return rc;
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
	meta->packs = version >= 2;
	if (version < 1)
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
	if (meta->packs && (rc = meta_number(meta, "SELECT ifnull(max(length(items)), 0) FROM packed", &meta->largest_pack)) < 0)
		return bv_fail(err, rc == -EIO ? -EUCLEAN : rc, "the database %s is damaged: %s", meta->path, sqlite3_errmsg(meta->db));
	meta->clean = clean != 0;
	meta->unclean = !clean;
	meta->unsynced = true; /* nobody knows what the last run waited for */
	if (meta->unclean)
		rc = meta_integrity(meta, err);
	return rc;
}

/* The database, the directory with its name and its WAL's, and what the caller wants to be there as well. */
static int note_settle(CowMeta *meta, const CowfsConfig *config)
{
	const char *slash = strrchr(config->db_path, '/');
	size_t n = 0, extra = 0;

	while (config->settle && config->settle[extra])
		extra++;
	meta->settle = calloc(extra + 2, sizeof *meta->settle);
	if (!meta->settle)
		return -ENOMEM;
	meta->settle[n++] = slash ? strndup(config->db_path, MAX(1, (size_t)(slash - config->db_path))) : strdup(".");
	for (size_t i = 0; i < extra && meta->settle[n - 1]; i++)
		meta->settle[n++] = strdup(config->settle[i]);
	return meta->settle[n - 1] ? 0 : -ENOMEM;
}

/* An empty file is a sandbox in which nothing was changed yet. */
static int look_at_file(CowMeta *meta, const CowfsConfig *config, char **err)
{
	if (!meta->readonly)
		return lock_file(meta, config, err);
	CLEAN_FD int fd = open(config->db_path, O_RDONLY | O_CLOEXEC);
	meta->fresh = fd >= 0 && is_fresh(meta, fd);
	return 0; /* what cannot be opened is told by open_db */
}

static int look_at_copy(CowMeta *meta, char **err)
{
	if (err)
		free(TAKE_PTR(*err));
	sqlite3_close(TAKE_PTR(meta->db));
	int rc = meta_open_copy(meta);
	return rc < 0 ? bv_fail(err, rc, "cannot read the database %s: %s", meta->path, strerror(-rc)) : open_existing(meta, err);
}

int meta_open(const CowfsConfig *config, CowMeta **out, char **err)
{
	CowMeta *meta = calloc(1, sizeof *meta);

	if (!meta)
		return -ENOMEM;
	meta->lock_fd = -1;
	meta->readonly = (config->flags & COWFS_READONLY) != 0;
	meta->durable = config->durable;
	meta->clean = true;
	meta->path = strdup(config->db_path);
	int rc = meta->path ? note_settle(meta, config) : -ENOMEM;
	if (rc == 0)
		rc = check_lost(meta, config, err);
	if (rc == 0)
		rc = look_at_file(meta, config, err);
	if (rc == 0 && !meta->fresh)
		rc = open_db(meta, err);
	if (rc == 0 && !meta->fresh) {
		rc = open_existing(meta, err);
		if (meta->readonly && (rc == -EACCES || rc == -EROFS))
			rc = look_at_copy(meta, err);
	}
	if (rc < 0) {
		meta_close(meta);
		return rc;
	}
	*out = meta;
	return 0;
}

void meta_close(CowMeta *meta)
{
	if (!meta)
		return;
	for (size_t i = 0; i < ARRAY_LEN(meta->stmts); i++)
		sqlite3_finalize(meta->stmts[i]);
	sqlite3_finalize(meta->pack_stmt);
	sqlite3_close(meta->pack_db);
	sqlite3_close(meta->db);
	bv_close_fd(&meta->lock_fd);
	for (size_t i = 0; meta->settle && meta->settle[i]; i++)
		free(meta->settle[i]);
	free(meta->settle);
	free(meta->path);
	free(meta);
}
