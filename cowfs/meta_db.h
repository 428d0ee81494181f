/* cowfs/meta_db.h - what the meta*.c files share. */
#ifndef COWFS_META_DB_H
#define COWFS_META_DB_H

#include "meta.h"

#include <sqlite3.h>

#define META_VERSION 2 /* 1: without packs */
#define META_VALUES 29	    /* the integer columns of an inode row */
#define META_BASE_VALUES 10 /* the last of them: the identity of the host's object; the last columns of a dentry row, too */

typedef struct MetaDevice { /* a device number in rows, and what it is now */
	dev_t was, now;
} MetaDevice;

struct CowMeta {
	sqlite3 *db; /* NULL: the file is empty, nothing was ever written */
	int lock_fd, synchronous, wal_frames;
	bool blank;	 /* it was made just now, and no batch is in it yet */
	bool wal_reused; /* the WAL may be one that was moved into the database and begun anew */
	bool readonly, durable;
	bool fresh, unclean; /* as found when opening */
	bool clean;	     /* what state.clean is now */
	bool unsynced;	     /* there are commits that the disk may not have */
	bool reserved;	     /* meta_keep_room has done what it can */
	int64_t largest_pack; /* bytes, as of the opening */
	bool settled;	     /* what leads to the database is on the disk */
	char *path, **settle;
	sqlite3_stmt *stmts[ROW_PACK_GONE + 1];
	sqlite3 *pack_db; /* a connection of its own, as the other one is the writer's; NULL: not needed yet */
	sqlite3_stmt *pack_stmt;
	MetaDevice devices[16];
	size_t n_devices;
	bool packs; /* the database may have some */
};

int meta_errno(int sqlite_code);
/* What a failed SQLite call means, with a message that says whether the database is damaged or could not be read. */
int meta_failed(CowMeta *meta, int sqlite_code, char **err);
/* Writes the empty database and opens it. */
int meta_create(CowMeta *meta) MUST_CHECK;
/* Opens a private copy in the place of a database beside which nothing can be written. */
int meta_open_copy(CowMeta *meta) MUST_CHECK;
int meta_note_frames(void *ctx, sqlite3 *db, const char *name, int frames);
int meta_step(CowMeta *meta, sqlite3_stmt *stmt);
int meta_exec(CowMeta *meta, const char *text) MUST_CHECK;
/* PRAGMA integrity_check: -EUCLEAN with a message, another error if it could not be made. */
int meta_integrity(CowMeta *meta, char **err) MUST_CHECK;
int meta_number(CowMeta *meta, const char *text, int64_t *out) MUST_CHECK;
void row_to_values(const CowRow *row, int64_t v[META_VALUES]);
/* Of the last columns of a row, which are not NULL. */
CowIdentity values_to_base(const int64_t v[META_BASE_VALUES]);

#endif
