/* base/bytes.h - reading and writing of formats: a growing buffer, and a cursor that cannot leave its input.
 *
 * Numbers are little-endian or LEB128 varints (7 bits a byte, lowest first, shortest form only). A Bytes that ran out of memory is `failed` and ignores what
 * follows; a Cursor that met something wrong is `bad` and answers zeros: both are looked at once, at the end. No locking. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/util.h"

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
/* Everything was read and nothing was wrong. */
static inline bool cursor_done(const Cursor *c)
{
	return !c->bad && c->at == c->end;
}

#endif
