/* snapshot/snapshot.h - snapshots in an object store: what cowfs, lib and the command line use of this layer. The format: docs/SNAPSHOT_FORMAT.md.
 *
 * A snapshot is a sorted list of records (key, content reference, value) and the contents that they refer to. What keys and values mean is the caller's matter
 * (record.h has the sandbox's).
 *
 * Invariants:
 *  S1 what names something is written after what it names: packs, index, snapshot, ref; and deleted before it;
 *  S2 objects but refs' hints and leases never change; all but refs and collections are named after their bytes;
 *  S3 nothing that a reader hands out was not compared with its id.
 *
 * A SnapStore is thread-safe; a writer's functions are called by one thread, but for snap_writer_cancel and snap_writer_progress; a reader may be used by
 * several threads. Errors are negative errnos with a message (malloc'ed, the caller's) in *err, which may be NULL: those of backends/object.h, and
 *  -EBADMSG (damaged: the message names the object), -EPROTO (written by a newer version), -ENOKEY (encrypted with a key that is not given),
 *  -ESTALE (meanwhile condemned by the collector: do it again), -EEXIST (the ref moved meanwhile), -EBUSY (another machine's lease), -ENOMEM. */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "backends/object.h"
#include "snapshot/coder.h"
#include "snapshot/piece.h"

#include <time.h>

#define SNAP_GRACE 3600 /* seconds: nothing younger is collected, and what is condemned stays so long */

typedef struct SnapStore SnapStore;
typedef struct SnapWriter SnapWriter;
typedef struct SnapReader SnapReader;

typedef struct SnapTraffic {
	uint64_t gets, puts, others; /* requests */
	uint64_t sent, received;     /* bytes of objects */
} SnapTraffic;

/* The object store and the key (NULL: nothing is encrypted) are the caller's and outlive the SnapStore. Loads OpenSSL and zstd: -ENOSYS if one is not installed. */
int snap_store_open(ObjectStore *objects, const SnapKey *key, SnapStore **out, char **err) MUST_CHECK;
void snap_store_close(SnapStore *s); /* NULL is allowed */
SnapTraffic snap_store_traffic(const SnapStore *s);

/* ---- keys: key.c (snap_key_new, for a key from a file: coder.h) ---- */
/* A new random key that the passphrase opens; its (sealed) object is put into the store. The key is the caller's. */
int snap_key_create(ObjectStore *objects, const char *passphrase, SnapKey **out, char **err) MUST_CHECK;
/* -ENOENT: the store has no key; -ENOKEY: the passphrase opens none. Lists, and takes about 0.2 s. */
int snap_key_open(ObjectStore *objects, const char *passphrase, SnapKey **out, char **err) MUST_CHECK;
/* The key with that id (16 hex digits) only: one request. -ENOENT, -ENOKEY. */
int snap_key_open_id(ObjectStore *objects, const char *id, const char *passphrase, SnapKey **out, char **err) MUST_CHECK;
/* Removes the object of a key that was never used. */
int snap_key_delete(ObjectStore *objects, const SnapKey *key, char **err) MUST_CHECK;
void snap_key_name(const uint8_t id[KEY_ID_SIZE], char out[2 * KEY_ID_SIZE + 1]);

/* ---- whether a store is encrypted: sealing.c ---- */
typedef enum SnapSealedBy {
	SNAP_UNDECIDED, /* nothing was written yet */
	SNAP_PLAIN,
	SNAP_KEY_FILE,	 /* a key that is kept elsewhere */
	SNAP_PASSPHRASE, /* one that keys/ has, for who knows the passphrase */
} SnapSealedBy;
typedef struct SnapSealing {
	SnapSealedBy by;
	char key_id[2 * KEY_ID_SIZE + 1]; /* as text */
} SnapSealing;
/* The store may have been opened without a key. */
int snap_sealing_read(SnapStore *s, SnapSealing *out, char **err) MUST_CHECK;
/* Before the first snapshot: from now on the store is encrypted with that key (NULL: not). -EEXIST: somebody else has decided, read it. */
int snap_sealing_decide(SnapStore *s, SnapSealedBy by, const SnapKey *key, char **err) MUST_CHECK;

/* ---- a snapshot's own record: header.c ---- */
typedef struct SnapTotals {
	uint64_t records, contents, content_bytes; /* in the snapshot */
	uint64_t chunks, plain, stored, packs;	   /* that it added to the store */
} SnapTotals;

typedef struct SnapInfo {
	SnapId id;
	bool has_parent;
	SnapId parent;
	TreeRoot root;
	SnapId *index; /* the index objects that tell where its chunks are */
	size_t n_index;
	int64_t seconds; /* when it was taken (realtime) */
	uint32_t nanoseconds;
	SnapTotals totals;
	uint8_t *fields; /* all of them, as one piece */
	size_t n_fields;
} SnapInfo;

int snap_info_load(SnapStore *s, const SnapId *id, SnapInfo *out, char **err) MUST_CHECK;
void snap_info_release(SnapInfo *info); /* a table of zeroes is fine */
/* The one field of a caller that older versions do not pass over: it has records ('b') that they do not know. */
#define SNAP_FIELD_BASE "!base"
/* A field that the caller gave to snap_writer_field. *value belongs to info; -ENOENT. */
int snap_info_field(const SnapInfo *info, const char *name, const uint8_t **value, size_t *len) MUST_CHECK;

/* All fields that a caller gave. The first non-zero answer ends it and is returned. */
int snap_info_each(const SnapInfo *info, int (*visit)(void *ctx, const char *name, const uint8_t *value, size_t len), void *ctx) MUST_CHECK;

/* ---- refs: ref.c ---- */
typedef struct SnapRef {
	char name[129];
	uint64_t number; /* generation: 1, 2, ...; the highest is what the name means */
	SnapId id;
	int64_t seconds;
} SnapRef;

/* Names: 1 to 128 of [0-9A-Za-z._-], not beginning with '.'; -EINVAL. */
int snap_ref_valid(const char *name) MUST_CHECK;
/* Generation `number`, or the newest for 0. -ENOENT. */
int snap_ref_read(SnapStore *s, const char *name, uint64_t number, SnapRef *out, char **err) MUST_CHECK;
/* A new generation that means `id`, which must be there (fork; also how a ref goes back). expected: the newest generation that the caller has seen (0: none): -EEXIST if
 * there is a newer one; UINT64_MAX: whatever is there. out may be NULL. -ESTALE: the snapshot is condemned already. */
int snap_ref_append(SnapStore *s, const char *name, uint64_t expected, const SnapId *id, SnapRef *out, char **err) MUST_CHECK;
/* Every generation of every ref below `name` ("": all), by listing. The first non-zero answer ends it and is returned. A damaged ref has id all zero. */
int snap_ref_list(SnapStore *s, const char *name, int (*visit)(void *ctx, const SnapRef *ref), void *ctx, char **err) MUST_CHECK;
/* Removes one generation; what only it leads to is the collector's. The newest one can be removed only after all others (0: all, oldest first). */
int snap_ref_delete(SnapStore *s, const char *name, uint64_t number, char **err) MUST_CHECK;

/* ---- writing: writer.c ---- */
typedef struct SnapProgress {
	uint64_t contents, content_bytes; /* read */
	uint64_t held, held_bytes;	  /* contents of records so far, read or known before */
	uint64_t new_plain, new_stored;	  /* chunks that the store did not have */
	uint64_t sent;			  /* bytes of packs that have arrived */
} SnapProgress;

typedef struct SnapWriterConfig {
	const SnapId *parent; /* whose chunks need not be sent again; NULL: none */
	struct timespec taken; /* when; zeroes: now */
	unsigned threads;     /* 0: as many as there are processors, at most 4 */
	/* Called after each pack that has arrived, from a thread of the store; may not call the writer. */
	void (*progress)(void *ctx, const SnapProgress *progress);
	void *ctx;
} SnapWriterConfig;

int snap_writer_begin(SnapStore *s, const SnapWriterConfig *config, SnapWriter **out, char **err) MUST_CHECK;
/* A content that shall be in the store: read, hashed, compressed and sent by other threads. Takes the descriptor over (also on failure), a regular file from offset 0 on,
 * which must not change any more. Waits while too many are under way. *number is for snap_writer_content. What fails later makes all that follow fail. */
int snap_writer_add_fd(SnapWriter *w, int fd, uint64_t *number) MUST_CHECK;
/* The same for a file that a worker opens when its turn comes, by its key, and that may change meanwhile if open says so (*stays false). `changed` is asked then when it was
 * read, and if it did, it is opened and read once more: what open gives then must stay. The source outlives the writer; its functions are called from several threads. */
typedef struct SnapSource {
	int (*open)(void *ctx, uint64_t key, int *fd, bool *stays, char **err);
	bool (*changed)(void *ctx, uint64_t key);
	void *ctx;
} SnapSource;
int snap_writer_add(SnapWriter *w, const SnapSource *source, uint64_t key, uint64_t *number) MUST_CHECK;
int snap_writer_add_bytes(SnapWriter *w, const void *data, size_t len, uint64_t *number) MUST_CHECK;
/* A reference from the parent that is used again. 1: fine; 0: the store may lose its chunks, add the content anew. */
int snap_writer_keep(SnapWriter *w, const void *ref, size_t len) MUST_CHECK;
/* Records and contents are all those of the parent: none is to be added. 1: fine; 0: there is no parent, or the store may lose some of it: add them. */
int snap_writer_same(SnapWriter *w) MUST_CHECK;
/* The reference of a content, when it is known (waits). It belongs to the writer. */
int snap_writer_content(SnapWriter *w, uint64_t number, const uint8_t **ref, size_t *len) MUST_CHECK;
/* In rising order of keys: -EINVAL. */
int snap_writer_record(SnapWriter *w, const Record *record) MUST_CHECK;
/* Something that the snapshot says of itself ("message", "command", "tag/NAME", ...), in any order; the last one of a name counts. */
int snap_writer_field(SnapWriter *w, const char *name, const void *value, size_t len) MUST_CHECK;
/* 1: all records are those of the parent: there is nothing to finish, free the writer. 0: there is; then only snap_writer_finish may follow. */
int snap_writer_unchanged(SnapWriter *w, char **err) MUST_CHECK;
/* Sends the rest and publishes the snapshot; then, if ref is not NULL, as its next generation (expected: as in snap_ref_append). *id may be known although the ref failed:
 * `*id` is set once the snapshot is in the store. out may be NULL. */
int snap_writer_finish(SnapWriter *w, const char *ref, uint64_t expected, SnapId *id, SnapRef *out, char **err) MUST_CHECK;
/* From any thread: everything under way ends soon, and all that follows fails with -ECANCELED. */
void snap_writer_cancel(SnapWriter *w);
SnapProgress snap_writer_progress(SnapWriter *w);
/* What went wrong, for the functions without err; NULL if nothing did. Valid until the writer is freed. */
const char *snap_writer_error(SnapWriter *w);
void snap_writer_free(SnapWriter *w); /* before finish: cancels. NULL is allowed */

/* ---- reading: reader.c, fetch.c ---- */
int snap_reader_open(SnapStore *s, const SnapId *id, SnapReader **out, char **err) MUST_CHECK;
void snap_reader_close(SnapReader *r); /* NULL is allowed */
const SnapInfo *snap_reader_info(const SnapReader *r);
/* All records whose key begins with `prefix`, in order. The record is valid during the call. The first non-zero answer ends it and is returned. */
int snap_reader_walk(SnapReader *r, const void *prefix, size_t len, int (*visit)(void *ctx, const Record *record), void *ctx, char **err) MUST_CHECK;
/* One record; *content and *value are the caller's to free. -ENOENT. */
int snap_reader_find(SnapReader *r, const void *key, size_t len, uint8_t **content, size_t *content_len, uint8_t **value, size_t *value_len, char **err) MUST_CHECK;
/* What two snapshots do not share: records that only one has (the other is NULL), or both with another content reference or value, in order of keys. Pieces of their manifests that are the same
 * are not read. The records are valid during the call. The first non-zero answer ends it and is returned. diff.c */
int snap_reader_diff(SnapReader *before, SnapReader *after, int (*visit)(void *ctx, const Record *before, const Record *after), void *ctx, char **err) MUST_CHECK;
/* The size of a content, without fetching anything. -EBADMSG. */
int snap_content_size(const void *ref, size_t len, uint64_t *size) MUST_CHECK;
/* Writes a content into an empty regular file (holes stay holes). */
int snap_reader_fetch_fd(SnapReader *r, const void *ref, size_t len, int fd, char **err) MUST_CHECK;
/* Bytes [offset, offset + length) of a content, less at its end, with only the chunks that are needed. *out is the caller's to free. */
int snap_reader_fetch_range(SnapReader *r, const void *ref, size_t len, uint64_t offset, uint64_t length, uint8_t **out, size_t *n, char **err) MUST_CHECK;
/* All bytes of a content in their order, holes as zeros; about 8 MiB are in memory at a time, and each chunk is fetched once. The sink's first non-zero answer ends it and is
 * returned. */
int snap_reader_stream(SnapReader *r, const void *ref, size_t len, int (*sink)(void *ctx, const void *data, size_t len), void *ctx, char **err) MUST_CHECK;
/* 1: the file has these bytes, 0: it has not. Nothing of the content is fetched (but the list of its chunks, if that is long). */
int snap_reader_same(SnapReader *r, const void *ref, size_t len, int fd, char **err) MUST_CHECK;

/* Where the first chunk of a content is: contents that are fetched in this order, many at a time, take the fewest requests. 0: nowhere (it stands in its record). */
uint64_t snap_reader_position(const SnapReader *r, const void *ref, size_t len);
/* Many contents at once: neighbouring chunks come with one request, several requests at a time. */
typedef struct SnapFetch {
	const void *ref;
	size_t len;
	int fd;	    /* an empty regular file, the caller's */
	int result; /* 0, or why this one is not complete */
} SnapFetch;
/* 0 if all are complete; else the first error, with its message. */
int snap_reader_fetch_many(SnapReader *r, SnapFetch *items, size_t n, char **err) MUST_CHECK;

#endif
