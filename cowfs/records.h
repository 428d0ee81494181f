/* cowfs/records.h - a whole database as records, for snapshots: what is exported here is imported there, where blobs have other numbers.
 *
 * Records come in the order of their keys: names by (dir, name), then inodes by id, then extended attributes by (id, name). The columns are those of
 * docs/SCHEMA.md. atime and mtime of an inode with a blob are the blob's, which holds the times of its file. What cannot be given to a file is not kept: a
 * restored file with a blob has the ctime and the birth time of its restoring, unless the record overrides them. */
#ifndef COWFS_RECORDS_H
#define COWFS_RECORDS_H

#include "cowfs/cowfs.h"

typedef enum CowRecordKind { COW_RECORD_DENTRY, COW_RECORD_INODE, COW_RECORD_XATTR } CowRecordKind;

enum { /* flags and `have`, for who makes records itself; docs/SCHEMA.md */
	COW_RECORD_OVER = 8,	      /* DENTRY: the host has, or had, this name, too */
	COW_RECORD_CARRIED = 1 << 20, /* INODE: a copy of the host's object of its place that came with a snapshot */
	COW_RECORD_HAVE_OWN = 7,      /* INODE: mode and owner are those of the record */
};

typedef struct CowRecord {
	CowRecordKind kind;
	uint64_t dir; /* DENTRY: the directory */
	uint64_t id;  /* INODE: its number; DENTRY: what it names, 0: a whiteout; XATTR: whose */
	uint32_t flags, have, mode, uid, gid;
	int32_t nlink;
	uint64_t rdev, vdev, vino; /* import: vino 0: a new one */
	struct timespec atime, mtime, ctime, btime;
	CowIdentity base;
	const char *name;  /* DENTRY, XATTR: its name; INODE: its origin or NULL; not NUL-terminated */
	const char *value; /* INODE: its target or NULL; XATTR: its value, NULL: removed */
	size_t n_name, n_value;
	struct {     /* of a blob, on export: the file as it was when the record was told */
		uint64_t dev, ino, size;
		struct timespec mtime, ctime;
		bool kept; /* of a moment that has passed: nothing to remember */
	} body;
	const void *remote; /* INODE: what stands for bytes that are elsewhere (BlobRemote.ref); NULL: they are here */
	size_t n_remote;
	uint64_t remote_size; /* import only */
	BlobId blob; /* INODE: with its bytes, or (mode S_IFIFO) the FIFO itself; 0: none. On import only whether there is one counts */
} CowRecord;

typedef struct CowExport CowExport;

/* Opens the database for reading, in one transaction: it is seen as of now until it is closed, whatever a writer does. config->flags is COWFS_READONLY; the
 * blobs are taken over. `frozen`: a supervisor is at work, and has frozen it. Errors as cowfs_open. */
int cow_export_open(const CowfsConfig *config, bool frozen, CowExport **out, char **err) MUST_CHECK;
void cow_export_close(CowExport *e); /* NULL is allowed */
/* Inodes with numbers up to this one were imported; 0: none. */
uint64_t cow_export_came(const CowExport *e);
/* From now on only rows that rest on something of the host are told, inodes and names, as they are in the database: nobody looks at bodies, whose times, `body` and `remote` are
 * not told. */
void cow_export_based_only(CowExport *e);
/* The state of a view that nobody has open, and nobody opens meanwhile. To be asked before anything is read. False: it has no name;
 * *written then says whether somebody, who is no guest, has a body open for writing: what is remembered of bodies (contents.h) is not to be trusted. */
bool cow_export_state(CowExport *e, CowState *out, bool *written);
/* Before a body is looked at `recall` is asked. True: it knows it without that, and has told its times and `body` in the record. */
void cow_export_recall(CowExport *e, bool (*recall)(void *ctx, CowRecord *inode), void *ctx);
/* Every record in order; it is valid during the call. A visitor's non-zero answer ends it and is returned. May be called again: the same records. */
int cow_export_walk(CowExport *e, int (*visit)(void *ctx, const CowRecord *record), void *ctx, char **err) MUST_CHECK;
/* The bytes of a blob, for reading. *stays: they do not change any more; else the view may be in use (cowfs_freeze), and if cow_export_changed says so after the last byte was
 * read, they have to be read once more. -EUCLEAN with a message if it is not there. Both from any thread. */
int cow_export_blob(CowExport *e, BlobId blob, int *fd, bool *stays, char **err) MUST_CHECK;
bool cow_export_changed(CowExport *e, BlobId blob);

typedef struct CowImport CowImport;

/* A new database, which nobody else uses yet: config->flags is COWFS_CREATE, the blobs (an empty store) are taken over. -EEXIST (there is one), and as cowfs_open. */
int cow_import_begin(const CowfsConfig *config, CowImport **out, char **err) MUST_CHECK;
/* From now on inodes with `remote` get no file: it says where their bytes are, for who has `source` (BlobOps.put_remote). Their records come by rising id. `source` is copied. */
int cow_import_remote(CowImport *i, const char *source) MUST_CHECK;
/* One record, in any order. An inode with bytes: *fd is opened for writing them (the caller's); else it is -1. -EBADMSG for what cannot be. */
int cow_import_record(CowImport *i, const CowRecord *record, int *fd, char **err) MUST_CHECK;
/* A body that cow_import_record has made, and whose bytes could not be had (the descriptor is closed): it is remote now, as if `record` had said so. cow_import_remote was called before. */
int cow_import_lost(CowImport *i, const CowRecord *record) MUST_CHECK;
/* All that is remote so far, by rising id. The first non-zero answer is returned. */
int cow_import_each_remote(const CowImport *i, int (*visit)(void *ctx, const void *ref, size_t len), void *ctx);
/* When all contents are written and their descriptors closed: gives the files their times, and ends the database. It is to be looked through by cowfs_open
 * then, which trusts no row. */
int cow_import_finish(CowImport *i, char **err) MUST_CHECK;
void cow_import_free(CowImport *i); /* without finish: what was made stays, the directory is the caller's to remove. NULL is allowed */

#endif
