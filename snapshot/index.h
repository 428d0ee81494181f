/* snapshot/index.h - where chunks are: tables of packs, index objects, and the map in memory.
 *
 * A table lists the chunks of one pack in the order in which they stand there, without gaps; it ends each pack, and an index object holds the tables of many.
 * The map (SnapIndex) keeps the first place it is told for an id. No locking: whoever shares an index has a lock of his own. */
#ifndef SNAPSHOT_INDEX_H
#define SNAPSHOT_INDEX_H

#include "snapshot/envelope.h"

#define PACK_TARGET ((size_t)16 << 20)	/* a pack with so many bytes of chunks is full */
#define PLAIN_MAX ((size_t)32 << 20)	/* of one chunk */
#define PACK_MAX ((uint64_t)1 << 31)
#define PACK_HEAD (MAGIC_SIZE + SALT_SIZE)
#define PACK_TRAILER (4 + 4 + 8 + 4 + 32 + MAGIC_SIZE) /* flags, stored and plain length, count, SHA-256 of the stored table, magic */

enum { CHUNK_DATA = 1, CHUNK_PIECE = 2 };

typedef struct ChunkRow {
	SnapId id;
	uint32_t offset, stored, plain; /* offset in the pack */
	uint8_t kind, flags;		/* CHUNK_*, STORED_* */
} ChunkRow;

/* The chunks of one pack. */
typedef struct ChunkTable {
	ChunkRow *rows;
	size_t n, room;
} ChunkTable;

void table_release(ChunkTable *t);
int table_add(ChunkTable *t, const ChunkRow *row) MUST_CHECK;
void table_encode(const ChunkTable *t, Bytes *out); /* varint count, then per row: id, varint stored, varint plain, u8 kind << 4 | flags */
/* Appends to an empty table. -EBADMSG, -ENOMEM. */
int table_decode(Cursor *c, ChunkTable *out) MUST_CHECK;

typedef struct ChunkPlace {
	SnapId id;
	uint32_t pack; /* index of SnapIndex.packs */
	uint32_t offset, stored, plain;
	uint8_t kind, flags;
	bool used;
} ChunkPlace;

typedef struct SnapIndex {
	ChunkPlace *slots; /* open addressing; size is a power of two */
	size_t n, mask;
	SnapId *packs;
	size_t n_packs, room_packs;
	uint64_t seed; /* ids are chosen by who writes content: not their places */
} SnapIndex;

int index_init(SnapIndex *x) MUST_CHECK;
void index_release(SnapIndex *x); /* a table of zeroes is fine */
/* Adds the chunks of a pack; ids that are known stay where they are. -ENOMEM. */
int index_add(SnapIndex *x, const SnapId *pack, const ChunkTable *table) MUST_CHECK;
/* Remembers an id without a place. 1: it is new; 0: it was there; -ENOMEM. */
int index_claim(SnapIndex *x, const SnapId *id) MUST_CHECK;
const ChunkPlace *index_find(const SnapIndex *x, const SnapId *id);

/* One pack of an index object. */
typedef struct IndexPack {
	SnapId pack;
	ChunkTable table;
} IndexPack;
typedef struct IndexList {
	IndexPack *packs;
	size_t n, room;
} IndexList;
void index_list_release(IndexList *list);
/* Takes the table over, also on failure. */
int index_list_add(IndexList *list, const SnapId *pack, ChunkTable *table) MUST_CHECK;
void index_list_encode(const IndexList *list, Bytes *out);
int index_list_decode(const void *data, size_t len, IndexList *out) MUST_CHECK;

/* The head of an empty pack. */
int pack_begin(Bytes *pack) MUST_CHECK;
/* Ends a pack whose head and chunks are in `pack` and gives its name. */
int pack_finish(Coder *coder, Bytes *pack, const ChunkTable *table, SnapId *id) MUST_CHECK;
/* How many bytes at the end of a pack are its table and trailer, from the last PACK_TRAILER bytes. -EBADMSG with message. */
int pack_trailer(const uint8_t *trailer, uint64_t pack_size, const char *name, uint64_t *tail, char **err) MUST_CHECK;
/* The table, from those bytes. */
int pack_table(Coder *coder, const uint8_t *tail, size_t len, uint64_t pack_size, const char *name, ChunkTable *out, char **err) MUST_CHECK;

#endif
