/* snapshot/content.h - a content reference: how the bytes of one file are named in a record.
 *
 *   inline  u8 0, varint size, the bytes
 *   chunks  u8 1, varint size, body
 *   list    u8 2, varint size, the content reference of the body
 *   body    varint number of holes, per hole: varint distance from the end of the one before (or 0), varint length;
 *           varint number of chunks, per chunk: id, varint length
 * The chunks one after another are the bytes outside of holes. No locking; memory belongs to the Content. */
#ifndef SNAPSHOT_CONTENT_H
#define SNAPSHOT_CONTENT_H

#include "snapshot/id.h"

#define CONTENT_INLINE 64	/* a chunk of so few bytes would cost more in ids and tables */
#define CONTENT_REF_MAX 4096	/* a longer body goes into chunks itself */
#define CONTENT_DEPTH 4

enum { CONTENT_IS_INLINE, CONTENT_IS_CHUNKS, CONTENT_IS_LIST };

typedef struct ContentHole {
	uint64_t offset, length;
} ContentHole;
typedef struct ContentChunk {
	SnapId id;
	uint32_t length;
} ContentChunk;

typedef struct Content {
	unsigned kind;
	uint64_t size;
	const uint8_t *inner; /* inline: the bytes; list: the reference of the body (both in the decoded reference) */
	size_t n_inner;
	ContentHole *holes;
	size_t n_holes, room_holes;
	ContentChunk *chunks;
	size_t n_chunks, room_chunks;
} Content;

void content_release(Content *c);
int content_add_hole(Content *c, uint64_t offset, uint64_t length) MUST_CHECK;
int content_add_chunk(Content *c, const SnapId *id, uint32_t length) MUST_CHECK;
void content_body(const Content *c, Bytes *out);
/* The reference stays in use for `inner`. -EBADMSG, -ENOMEM. */
int content_decode(const void *ref, size_t len, Content *out) MUST_CHECK;
/* Of a list, once its body was fetched. */
int content_decode_body(Content *c, const void *body, size_t len) MUST_CHECK;

#endif
