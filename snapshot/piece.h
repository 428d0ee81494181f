/* snapshot/piece.h - records (key and value, in rising order of keys), and the tree of pieces that a manifest is cut into.
 *
 * A piece is: u8 level, varint count, then per record: varint bytes shared with the key before, the rest of the key, a content reference (content.h; may be empty)
 * and the value, each with varint length. That contents stand apart lets the collector and fsck follow them without knowing what values mean.
 * Level 0 holds the caller's records; above, a record's key is the first key of a piece one level below and its value that piece's id and varint plain length.
 * Whether a piece ends after a record is decided by the record's key and its size alone, so a change of a value changes one piece a level, and
 * an insertion hardly more. No locking. */
#ifndef SNAPSHOT_PIECE_H
#define SNAPSHOT_PIECE_H

#include "snapshot/id.h"

#define KEY_MAX ((size_t)4096)
#define VALUE_MAX ((size_t)1 << 20)
#define PIECE_MIN ((size_t)16 << 10)
#define PIECE_AVERAGE ((size_t)64 << 10)
#define PIECE_FULL ((size_t)256 << 10)
#define TREE_LEVELS 8

/* ---- reading ---- */
typedef struct PieceReader {
	Cursor c;
	unsigned level;
	uint64_t left;
	uint8_t key[KEY_MAX];
	size_t key_len;
	bool any;
	const uint8_t *content, *value; /* in the piece */
	size_t content_len, value_len;
} PieceReader;

/* The piece must outlive the reader. -EBADMSG. */
int piece_open(PieceReader *p, const void *data, size_t len) MUST_CHECK;
/* 1: key and value are those of the next record; 0: that was all; -EBADMSG. */
int piece_next(PieceReader *p) MUST_CHECK;
/* Of a record above level 0. -EBADMSG. */
int piece_child(const PieceReader *p, SnapId *id, uint64_t *plain) MUST_CHECK;
int key_compare(const void *a, size_t a_len, const void *b, size_t b_len);

/* ---- writing ---- */
typedef struct TreeRoot {
	SnapId id;
	uint64_t plain; /* its length */
} TreeRoot;

typedef struct Record {
	const void *key, *content, *value;
	size_t key_len, content_len, value_len;
} Record;

typedef struct TreeLevel {
	Bytes body, first, last; /* records so far; first and last key */
	uint64_t n, pieces;
	TreeRoot lone; /* the last piece that was ended */
} TreeLevel;

typedef struct TreeWriter {
	/* Keeps a piece and says its id. */
	int (*emit)(void *ctx, const void *piece, size_t len, SnapId *id);
	void *ctx;
	TreeLevel levels[TREE_LEVELS];
	Bytes last; /* key */
	bool any;
} TreeWriter;

/* Appends a record to one piece's body. */
void record_put(Bytes *body, const Bytes *last, const Record *record);
/* -EINVAL (keys do not rise, too long, empty), -EFBIG (value), -ENOMEM, those of emit. */
int tree_add(TreeWriter *t, const Record *record) MUST_CHECK;
int tree_finish(TreeWriter *t, TreeRoot *root) MUST_CHECK;
void tree_release(TreeWriter *t);

#endif
