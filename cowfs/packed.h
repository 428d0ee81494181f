/* cowfs/packed.h - packs: what came with a snapshot, a directory at a time, as one row.
 *
 * A restored sandbox has a row for each of its files, and commands look at few of them. So names and records of plain new files and symlinks that an import brings are written as
 * one row for each directory, and read when somebody looks into it (N_PACKED). A pack is never changed: with the first change of anything in it all of it becomes ordinary rows, in the
 * transaction of that change (dir_unpack). The format is in docs/SCHEMA.md. */
#ifndef COWFS_PACKED_H
#define COWFS_PACKED_H

#include "base/bytes.h"
#include "cowfs/internal.h"
#include "cowfs/records.h"

#define PACK_MAX ((size_t)1 << 20) /* bytes; what does not fit is rows. All of it is read, and written as rows, at once, with the lock held; and a full disk needs room for that (meta_keep_room) */

typedef struct PackItem {
	const uint8_t *at; /* where it begins */
	const char *name;
	size_t n_name;
	CowRecord inode;
} PackItem;

typedef struct PackReader {
	Cursor c;
	const char *last; /* the name before */
	size_t n_last;
} PackReader;

/* What may be in a pack, and makes sense: names that hide nothing of the host; files with a body of their own and symlinks, both with one name and no attributes; in directories that rest on nothing. */
bool pack_takes_name(const CowRecord *dentry);
bool pack_takes_inode(const CowRecord *inode);
bool pack_takes_dir(const CowRecord *inode);

/* An item is its name, then its inode. */
void pack_put_name(Bytes *pack, const char *name, size_t len);
void pack_put_inode(Bytes *pack, const CowRecord *inode);
bool pack_take_inode(Cursor *c, CowRecord *inode); /* false: it makes no sense */

PackReader pack_reader(const void *pack, size_t len);
/* 1: an item, which points into the pack; 0: the end; -EUCLEAN: what is there cannot be true. */
int pack_next(PackReader *r, PackItem *out) MUST_CHECK;

#endif
