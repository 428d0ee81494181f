/* cowfs/meta_contents.c - see contents.h. Entries are read by one connection while another writes: what is put is not found again by the same run. */
#include "contents.h"
#include "internal.h"

#include <sqlite3.h>
#include <time.h>

#define STATE_MAX 128
#define TICKS_NS 50000000 /* clocks of files go in steps of up to 10 ms */

/* Each row is of the moment that `state` tells of: one that is not is removed. */
static const char schema[] = "CREATE TABLE IF NOT EXISTS state(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
			     "CREATE TABLE IF NOT EXISTS body(inode INTEGER PRIMARY KEY, blob INTEGER NOT NULL, dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, "
			     "mtime INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, ref BLOB NOT NULL, "
			     "atime INTEGER NOT NULL, atime_ns INTEGER NOT NULL)";

struct CowContents {
	sqlite3 *in, *out; /* in: NULL when there is nothing to find */
	sqlite3_stmt *next, *put, *gone;
	bool at_row, failed;
	char state[STATE_MAX], moment[STATE_MAX];
	int64_t now_ns; /* when the walk began */
	int64_t passed; /* the last inode that was found here */
};

static int64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void cow_contents_close(CowContents *c)
{
	if (!c)
		return;
	sqlite3_finalize(c->next);
	sqlite3_finalize(c->put);
	sqlite3_finalize(c->gone);
	sqlite3_close(c->in);
	sqlite3_close(c->out); /* rolls back what was not committed */
	free(c);
}

static bool open_db(const char *path, sqlite3 **db)
{
	return sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	       sqlite3_exec(*db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", NULL, NULL, NULL) == SQLITE_OK; /* of this boot only, so no sync is missed */
}

static bool get_state(sqlite3 *db, const char *key, char out[STATE_MAX])
{
	sqlite3_stmt *stmt = NULL;
	const unsigned char *text = NULL;

	if (sqlite3_prepare_v2(db, "SELECT value FROM state WHERE key=?", -1, &stmt, NULL) == SQLITE_OK && sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		text = sqlite3_column_text(stmt, 0);
	snprintf(out, STATE_MAX, "%s", text ? (const char *)text : "");
	sqlite3_finalize(stmt);
	return *out;
}

static bool set_state(sqlite3 *db, const char *key, const char *value)
{
	sqlite3_stmt *stmt = NULL;
	bool done = sqlite3_prepare_v2(db, "REPLACE INTO state VALUES(?, ?)", -1, &stmt, NULL) == SQLITE_OK && sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
		    sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_DONE;

	sqlite3_finalize(stmt);
	return done;
}

static bool begin(CowContents *c, const char *path, const char *boot)
{
	char of[STATE_MAX];

	if (!open_db(path, &c->out) || sqlite3_exec(c->out, schema, NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(c->out, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(c->out, "REPLACE INTO body VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", -1, &c->put, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(c->out, "DELETE FROM body WHERE inode=?", -1, &c->gone, NULL) != SQLITE_OK)
		return false;
	bool ours = get_state(c->out, "boot", of) && strcmp(of, boot) == 0;
	if (!ours || !get_state(c->out, "state", c->state))
		return cow_contents_forget(c) == 0 && set_state(c->out, "boot", boot);
	get_state(c->out, "moment", c->moment);
	if (!open_db(path, &c->in) || sqlite3_prepare_v2(c->in, "SELECT * FROM body ORDER BY inode", -1, &c->next, NULL) != SQLITE_OK)
		return false;
	c->at_row = sqlite3_step(c->next) == SQLITE_ROW;
	return true;
}

CowContents *cow_contents_open(const char *path)
{
	CLEAN_FREE char *boot = NULL;
	CowContents *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->now_ns = realtime_ns();
	if (bv_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot) <= 0 || !begin(c, path, boot)) {
		cow_contents_close(c);
		return NULL;
	}
	return c;
}

const char *cow_contents_state(const CowContents *c)
{
	return c->state;
}

const char *cow_contents_moment(const CowContents *c)
{
	return c->moment;
}

void cow_contents_moment_is(CowContents *c, const char *name)
{
	snprintf(c->moment, sizeof c->moment, "%s", name);
}

void cow_contents_keep(CowContents *c)
{
	c->at_row = false;
}

int cow_contents_forget(CowContents *c)
{
	sqlite3_finalize(TAKE_PTR(c->next));
	c->at_row = false;
	c->state[0] = c->moment[0] = 0;
	return sqlite3_exec(c->out, "DELETE FROM body; DELETE FROM state WHERE key IN ('state', 'moment')", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static void forget(CowContents *c, int64_t inode)
{
	c->failed |= sqlite3_bind_int64(c->gone, 1, inode) != SQLITE_OK || sqlite3_step(c->gone) != SQLITE_DONE;
	sqlite3_reset(c->gone);
}

static bool same_body(sqlite3_stmt *row, const CowRecord *r)
{
	const int64_t now[] = {(int64_t)r->blob, (int64_t)r->body.dev, (int64_t)r->body.ino, (int64_t)r->body.size, r->body.mtime.tv_sec, r->body.mtime.tv_nsec,
			       r->body.ctime.tv_sec, r->body.ctime.tv_nsec};

	for (int i = 0; i < (int)ARRAY_LEN(now); i++)
		if (sqlite3_column_int64(row, i + 1) != now[i])
			return false;
	return true;
}

static bool find_row(CowContents *c, const CowRecord *r)
{
	while (c->at_row && sqlite3_column_int64(c->next, 0) < (int64_t)r->id) {
		sqlite3_int64 passed = sqlite3_column_int64(c->next, 0);
		if (c->passed != passed)
			forget(c, passed);
		c->at_row = sqlite3_step(c->next) == SQLITE_ROW;
	}
	return c->at_row && sqlite3_column_int64(c->next, 0) == (int64_t)r->id;
}

bool cow_contents_recall(CowContents *c, CowRecord *r)
{
	if (!find_row(c, r) || sqlite3_column_int64(c->next, 1) != (int64_t)r->blob)
		return false;
	r->body.dev = (uint64_t)sqlite3_column_int64(c->next, 2);
	r->body.ino = (uint64_t)sqlite3_column_int64(c->next, 3);
	r->body.size = (uint64_t)sqlite3_column_int64(c->next, 4);
	r->mtime = r->body.mtime = (struct timespec){sqlite3_column_int64(c->next, 5), sqlite3_column_int64(c->next, 6)};
	r->body.ctime = (struct timespec){sqlite3_column_int64(c->next, 7), sqlite3_column_int64(c->next, 8)};
	r->atime = (struct timespec){sqlite3_column_int64(c->next, 10), sqlite3_column_int64(c->next, 11)};
	return true;
}

static void put(CowContents *c, const CowRecord *r, const uint8_t *ref, size_t len)
{
	const int64_t v[] = {(int64_t)r->id, (int64_t)r->blob, (int64_t)r->body.dev, (int64_t)r->body.ino, (int64_t)r->body.size, r->body.mtime.tv_sec, r->body.mtime.tv_nsec,
			     r->body.ctime.tv_sec, r->body.ctime.tv_nsec};

	for (int i = 0; i < (int)ARRAY_LEN(v); i++)
		c->failed |= sqlite3_bind_int64(c->put, i + 1, v[i]) != SQLITE_OK;
	c->failed |= sqlite3_bind_blob(c->put, 10, ref, (int)len, SQLITE_STATIC) != SQLITE_OK || sqlite3_bind_int64(c->put, 11, r->atime.tv_sec) != SQLITE_OK ||
		     sqlite3_bind_int64(c->put, 12, r->atime.tv_nsec) != SQLITE_OK || sqlite3_step(c->put) != SQLITE_DONE;
	sqlite3_reset(c->put);
}

bool cow_contents_find(CowContents *c, const CowRecord *r, const uint8_t **ref, size_t *len)
{
	if (!find_row(c, r))
		return false;
	c->passed = (int64_t)r->id;
	if (!same_body(c->next, r) || r->body.kept) {
		forget(c, c->passed); /* it is of an older moment */
		return false;
	}
	*ref = sqlite3_column_blob(c->next, 9);
	*len = (size_t)sqlite3_column_bytes(c->next, 9);
	if (*len && (sqlite3_column_int64(c->next, 10) != r->atime.tv_sec || sqlite3_column_int64(c->next, 11) != r->atime.tv_nsec))
		put(c, r, *ref, *len);
	return *len > 0;
}

void cow_contents_put(CowContents *c, const CowRecord *r, const uint8_t *ref, size_t len)
{
	if (!r->body.kept && (int64_t)r->body.ctime.tv_sec * 1000000000 + r->body.ctime.tv_nsec <= c->now_ns - TICKS_NS)
		put(c, r, ref, len);
}

void cow_contents_finish(CowContents *c, const char *state)
{
	while (c->at_row) { /* those after the last inode */
		sqlite3_int64 passed = sqlite3_column_int64(c->next, 0);
		if (c->passed != passed)
			forget(c, passed);
		c->at_row = sqlite3_step(c->next) == SQLITE_ROW;
	}
	if (!c->failed && set_state(c->out, "state", state) && set_state(c->out, "moment", c->moment))
		IGNORE_RESULT(sqlite3_exec(c->out, "COMMIT", NULL, NULL, NULL));
}
