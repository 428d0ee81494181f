/* cowfs/meta_copy.c - reading a database where nothing may be written beside it: a read-only file system, or another user's directory.
 *
 * SQLite reads a WAL only with a shared-memory file, which it would have to make. Opening the database as immutable would ignore the WAL, and
 * with it the newest changes. So both are copied to a private directory, opened there, and lose their names at once. */
#include "meta_db.h"

#include <sys/sendfile.h>

static int copy_file(const char *from, const char *to)
{
	CLEAN_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return bv_neg_errno();
	CLEAN_FD int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t n = out < 0 ? -1 : 1;

	while (n > 0)
		n = sendfile(out, in, NULL, 1 << 30);
	return n < 0 ? bv_neg_errno() : 0;
}

static int copy_both(const CowMeta *meta, const char *dir)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(to, sizeof to, "%s/meta.db", dir);
	int rc = copy_file(meta->path, to);
	snprintf(from, sizeof from, "%s-wal", meta->path);
	snprintf(to, sizeof to, "%s/meta.db-wal", dir);
	if (rc == 0)
		rc = copy_file(from, to);
	return rc == -ENOENT && access(meta->path, F_OK) == 0 ? 0 : rc; /* there need not be a WAL */
}

int meta_open_copy(CowMeta *meta)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX], path[PATH_MAX];
	int64_t version;

	if (snprintf(dir, sizeof dir, "%s/bvisor-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp") >= (int)sizeof dir - 16)
		return -ENAMETOOLONG;
	if (!mkdtemp(dir))
		return bv_neg_errno();
	int rc = copy_both(meta, dir);
	snprintf(path, sizeof path, "%.*s/meta.db", (int)sizeof path - 16, dir);
	if (rc == 0)
		rc = meta_errno(sqlite3_open_v2(path, &meta->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (rc == 0)
		rc = meta_exec(meta, "PRAGMA locking_mode=EXCLUSIVE"); /* the WAL's index in memory */
	if (rc == 0)
		rc = meta_number(meta, "PRAGMA user_version", &version); /* opens the WAL */
	int gone = bv_remove_tree_at(AT_FDCWD, dir);
	if (rc == 0)
		rc = gone;
	if (rc < 0)
		sqlite3_close(TAKE_PTR(meta->db));
	return rc;
}
