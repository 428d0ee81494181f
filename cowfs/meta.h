/* cowfs/meta.h - the log of the index: an SQLite database (WAL). Only meta*.c includes sqlite3.h.
 *
 * One writer: a flock on the database file for the life of the CowMeta. A batch (CowBatch) is a flat list of row changes that was collected
 * under fs->lock and holds a consistent prefix of what the guests did; meta_write puts it into one transaction. */
#ifndef COWFS_META_H
#define COWFS_META_H

#include "internal.h"

typedef enum CowRowKind { ROW_INODE = 1, ROW_INODE_GONE, ROW_DENTRY, ROW_DENTRY_GONE, ROW_XATTR, ROW_XATTRS_GONE, ROW_PACK, ROW_PACK_GONE } CowRowKind;

typedef struct CowRow { /* followed by its strings, each NUL-terminated, or `size` bytes */
	uint32_t kind, total; /* total: with what follows, a multiple of 8 */
	uint64_t id, dir;     /* inode; for dentries and packs dir is the directory */
	uint32_t flags, have;
	uint32_t mode, uid, gid;
	int32_t nlink;
	uint64_t rdev, vdev, vino, blob;
	struct timespec atime, mtime, ctime, btime;
	CowIdentity base;
	uint32_t name_len, target_len; /* name: origin, dentry or xattr name; target also: value, pack; UINT32_MAX: NULL */
} CowRow;

typedef struct CowBatch {
	char *data;
	size_t len, room;
	size_t rows;
	uint64_t next_id;
	uint64_t came; /* the last one of an import: records up to this number came with it; else 0 */
} CowBatch;

/* Adds a row; name and target may be NULL. -ENOMEM. */
int batch_add(CowBatch *batch, CowRow *row, const char *name, size_t name_len, const char *target, size_t target_len) MUST_CHECK;
void batch_reset(CowBatch *batch);

int meta_open(const CowfsConfig *config, CowMeta **out, char **err) MUST_CHECK;
/* Fills the (empty) index; removes unreferenced blobs after an unclean end. */
uint64_t meta_bytes(const CowMeta *meta); /* of the database as it was when it was opened */
/* The same after a batch, by who writes. `tight`: room that removed rows have left is given back first, if it is worth it. */
uint64_t meta_pages(CowMeta *meta, bool tight);
int meta_load(CowMeta *meta, Cowfs *fs, char **err) MUST_CHECK;
/* What the pack of a directory says, into the index; fs->lock is held for writing. What is there already stays: after an error it may be tried again. */
int meta_load_pack(CowMeta *meta, Cowfs *fs, CowNode *dir, char **err) MUST_CHECK;
/* One transaction; durable: on the disk when it returns; clean: the last one, with which everything is written. Nothing to say writes nothing.
 * frees: it makes room, so that on a full disk it may use what is kept for that. */
int meta_write(CowMeta *meta, const CowBatch *batch, bool durable, bool clean, bool frees) MUST_CHECK;
void meta_keep_room(CowMeta *meta); /* for that; after each batch, when what it frees is free */
bool meta_is_unwritten(const CowMeta *meta); /* there is no row on the disk */
void meta_close(CowMeta *meta); /* NULL is allowed */
/* PRAGMA integrity_check, and rows that lead nowhere. On a connection of its own: the writer goes on. */
int meta_check(CowMeta *meta, char **err) MUST_CHECK;

#endif
