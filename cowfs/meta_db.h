/* cowfs/meta_db.h - what the meta*.c files share. */
#ifndef COWFS_META_DB_H
#define COWFS_META_DB_H

#include "meta.h"

#include <sqlite3.h>

#define META_VERSION 1
#define META_VALUES 29	    /* the integer columns of an inode row */
#define META_BASE_VALUES 10 /* the last of them: the identity of the host's object; the last columns of a dentry row, too */

struct CowMeta {
	sqlite3 *db;
	int lock_fd;
	bool readonly, fresh, unclean;
	char *path;
	sqlite3_stmt *stmts[ROW_XATTRS_GONE + 1];
};

int meta_errno(int sqlite_code);
/* What a failed SQLite call means, with a message that says whether the database is damaged or could not be read. */
int meta_failed(CowMeta *meta, int sqlite_code, char **err);
int meta_step(CowMeta *meta, sqlite3_stmt *stmt);
int meta_exec(CowMeta *meta, const char *text) MUST_CHECK;
/* PRAGMA integrity_check: -EUCLEAN with a message, another error if it could not be made. */
int meta_integrity(CowMeta *meta, char **err) MUST_CHECK;
int meta_number(CowMeta *meta, const char *text, int64_t *out) MUST_CHECK;
void row_to_values(const CowRow *row, int64_t v[META_VALUES]);

#endif
