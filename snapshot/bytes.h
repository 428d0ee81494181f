/* snapshot/bytes.h - reading and writing of the format's bytes: a growing buffer, a cursor that cannot leave its input, 32-byte ids.
 *
 * Numbers are little-endian or LEB128 varints (7 bits a byte, lowest first, shortest form only). A Bytes that ran out of memory is `failed` and ignores what
 * follows; a Cursor that met something wrong is `bad` and answers zeros: both are looked at once, at the end. No locking. */
#ifndef SNAPSHOT_BYTES_H
#define SNAPSHOT_BYTES_H

#include "base/util.h"

typedef struct SnapId {
	uint8_t b[32];
} SnapId;

typedef struct Bytes {
	uint8_t *data;
	size_t len, room;
	bool failed;
} Bytes;

void bytes_release(Bytes *b);		     /* a table of zeroes is fine */
bool bytes_reserve(Bytes *b, size_t more);   /* false: failed */
void bytes_put(Bytes *b, const void *data, size_t len);
void bytes_u8(Bytes *b, unsigned v);
void bytes_u32(Bytes *b, uint32_t v);
void bytes_u64(Bytes *b, uint64_t v);
void bytes_varint(Bytes *b, uint64_t v);
void bytes_signed(Bytes *b, int64_t v); /* zigzag, then varint */
void bytes_blob(Bytes *b, const void *data, size_t len); /* varint length, then the bytes */
void bytes_id(Bytes *b, const SnapId *id);

#define CLEAN_BYTES __attribute__((cleanup(bytes_release)))

typedef struct Cursor {
	const uint8_t *at, *end;
	bool bad;
} Cursor;

static inline Cursor cursor_of(const void *data, size_t len)
{
	const uint8_t *at = data;
	return (Cursor){at, len ? at + len : at, false};
}
static inline size_t cursor_left(const Cursor *c)
{
	return (size_t)(c->end - c->at);
}
unsigned cursor_u8(Cursor *c);
uint32_t cursor_u32(Cursor *c);
uint64_t cursor_u64(Cursor *c);
uint64_t cursor_varint(Cursor *c);
int64_t cursor_signed(Cursor *c);
const uint8_t *cursor_take(Cursor *c, uint64_t len); /* NULL (and bad) if there is less; never NULL for len 0 of a good cursor with input */
const uint8_t *cursor_blob(Cursor *c, size_t *len);
bool cursor_id(Cursor *c, SnapId *out);
/* Everything was read and nothing was wrong. */
static inline bool cursor_done(const Cursor *c)
{
	return !c->bad && c->at == c->end;
}

static inline bool id_equal(const SnapId *a, const SnapId *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline int id_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(SnapId));
}
static inline uint64_t id_hash(const SnapId *id, uint64_t seed)
{
	uint64_t h;
	memcpy(&h, id->b, sizeof h);
	return h ^ seed;
}
void id_hex(const SnapId *id, char out[65]);
int id_parse(const char *hex, size_t len, SnapId *out) MUST_CHECK; /* 64 lower-case digits, else -EINVAL */

#endif
