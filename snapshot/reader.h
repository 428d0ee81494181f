/* snapshot/reader.h - what the files of the reader share.
 *
 * A reader's index never changes; what the collector has moved is looked up when a pack turns out to be gone, under `lock`, which also protects the kept pieces.
 * Everything else is local to a call, so several threads may use one reader. */
#ifndef SNAPSHOT_READER_H
#define SNAPSHOT_READER_H

#include "snapshot/condemned.h"
#include "snapshot/content.h"
#include "snapshot/header.h"

#include <pthread.h>

enum { FETCH_RING = 4 };		     /* requests at a time */
#define FETCH_JOIN ((uint64_t)128 << 10)     /* bytes that are rather read in vain than asked around */
#define FETCH_REQUEST ((uint64_t)8 << 20)    /* one request */
#define FETCH_WINDOW ((uint64_t)8 << 20)     /* pieces in memory at a time */
#define KEPT_PIECES 256			     /* of look-ups, in memory: about 16 MiB */

/* A piece that a look-up has read: the next one is likely to need it again. */
typedef struct KeptPiece {
	SnapId id;
	uint8_t *data; /* NULL: none */
	uint64_t plain;
} KeptPiece;

/* The records of the lowest piece in which one was found last, as the next one is mostly beside it. */
typedef struct KeptLeaf {
	uint8_t *data;
	Bytes keys;
	Record *records; /* by key; key is its offset in `keys` until all are there */
	size_t n;
} KeptLeaf;

struct SnapReader {
	SnapStore *store;
	SnapInfo info;
	SnapIndex index;
	char *index_error; /* why an index object could not be read; what the collector has moved or made again may do without it */
	pthread_mutex_t lock;
	SnapIndex moved; /* slots NULL: not loaded yet */
	KeptLeaf leaf;
	KeptPiece *pieces; /* KEPT_PIECES of them, once there is one; each has its place by its id */
};

/* A chunk that is wanted; item and offset are the caller's. */
typedef struct Want {
	SnapId id;
	uint64_t plain;
	size_t item;
	uint64_t offset;
	/* fetch_chunks' own */
	const SnapIndex *index;
	ChunkPlace place;
} Want;

typedef struct FetchSink {
	/* The chunk, compared with its id. A negative answer is that chunk's error. */
	int (*got)(void *ctx, const Want *want, const uint8_t *plain);
	/* It could not be had. */
	void (*lost)(void *ctx, const Want *want, int error);
	void *ctx;
} FetchSink;

/* Where the collector has moved a chunk to, as far as can be told; else NULL. */
const ChunkPlace *reader_find_moved(SnapReader *r, Coder *coder, const SnapId *id);
/* All chunks, in any order (wants is sorted). 0 if every one was got; else the first error and its message. */
int fetch_chunks(SnapReader *r, Coder *coder, Want *wants, size_t n, const FetchSink *sink, char **err) MUST_CHECK;

typedef struct PieceWanted {
	TreeRoot piece;
	uint8_t *data; /* once it was read: piece.plain bytes, the caller's to free */
	int error;
} PieceWanted;
/* keep: others are likely to ask for them again. 0 if all were got; else the first error, which message (may be NULL) tells of. */
int reader_read_pieces(SnapReader *r, Coder *coder, PieceWanted *pieces, size_t n, bool keep, char **message) MUST_CHECK;

/* Reads and checks the pieces of `roots` and visits, in order. Used by walk, by fsck and by the collector. */
typedef struct PieceVisitor {
	/* Asked before a piece is read; false: not this one and nothing below it. May be NULL. */
	bool (*enter)(void *ctx, const SnapId *piece);
	int (*record)(void *ctx, const Record *record);
	/* A piece that could not be read: 0 goes on without it. NULL: that is an error. */
	int (*lost)(void *ctx, const SnapId *piece, int error, const char *message);
	void *ctx;
	const void *prefix;
	size_t prefix_len;
	bool keep_leaf; /* for the next look-up */
} PieceVisitor;
int reader_visit(SnapReader *r, const PieceVisitor *v, char **err) MUST_CHECK;
/* A content with its list, if it is one, read. */
int content_open(SnapReader *r, Coder *coder, const void *ref, size_t len, Content *out, char **err) MUST_CHECK;
/* Calls `chunk` for each chunk of a content, those of its lists too. */
int content_chunks(SnapReader *r, Coder *coder, const void *ref, size_t len, int (*chunk)(void *ctx, const ContentChunk *chunk), void *ctx, char **err) MUST_CHECK;

#endif
