#include "base/bytes.h"

void bytes_release(Bytes *b)
{
	free(b->data);
	*b = (Bytes){0};
}

bool bytes_reserve(Bytes *b, size_t more)
{
	if (b->failed)
		return false;
	if (b->room - b->len >= more)
		return true;
	size_t want = MAX(b->len + more, b->room + b->room / 2 + 64);
	uint8_t *bigger = more > SIZE_MAX / 4 - b->len ? NULL : realloc(b->data, want);
	if (!bigger) {
		b->failed = true;
		return false;
	}
	b->data = bigger;
	b->room = want;
	return true;
}

void bytes_put(Bytes *b, const void *data, size_t len)
{
	if (len && bytes_reserve(b, len)) {
		memcpy(b->data + b->len, data, len);
		b->len += len;
	}
}

void bytes_u8(Bytes *b, unsigned v)
{
	uint8_t byte = (uint8_t)v;

	bytes_put(b, &byte, 1);
}

static void put_little(Bytes *b, uint64_t v, unsigned size)
{
	uint8_t raw[8];

	for (unsigned i = 0; i < size; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	bytes_put(b, raw, size);
}

void bytes_u32(Bytes *b, uint32_t v)
{
	put_little(b, v, 4);
}

void bytes_u64(Bytes *b, uint64_t v)
{
	put_little(b, v, 8);
}

void bytes_varint(Bytes *b, uint64_t v)
{
	uint8_t raw[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		raw[n++] = (uint8_t)(v | 0x80);
	raw[n++] = (uint8_t)v;
	bytes_put(b, raw, n);
}

void bytes_signed(Bytes *b, int64_t v)
{
	bytes_varint(b, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void bytes_blob(Bytes *b, const void *data, size_t len)
{
	bytes_varint(b, len);
	bytes_put(b, data, len);
}

static uint64_t take_little(Cursor *c, unsigned size)
{
	const uint8_t *raw = cursor_take(c, size);
	uint64_t v = 0;

	for (unsigned i = 0; raw && i < size; i++)
		v |= (uint64_t)raw[i] << (8 * i);
	return v;
}

unsigned cursor_u8(Cursor *c)
{
	return (unsigned)take_little(c, 1);
}

uint32_t cursor_u32(Cursor *c)
{
	return (uint32_t)take_little(c, 4);
}

uint64_t cursor_u64(Cursor *c)
{
	return take_little(c, 8);
}

uint64_t cursor_varint(Cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; !c->bad && c->at < c->end && shift < 70; shift += 7) {
		uint8_t byte = *c->at++;
		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte == 0 && shift)
			break; /* not the shortest form */
		return v;
	}
	c->bad = true;
	return 0;
}

int64_t cursor_signed(Cursor *c)
{
	uint64_t v = cursor_varint(c);

	return (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
}

const uint8_t *cursor_take(Cursor *c, uint64_t len)
{
	if (c->bad || len > cursor_left(c)) {
		c->bad = true;
		return NULL;
	}
	const uint8_t *taken = c->at;
	c->at += len;
	return taken;
}

const uint8_t *cursor_blob(Cursor *c, size_t *len)
{
	uint64_t n = cursor_varint(c);
	const uint8_t *taken = cursor_take(c, n);

	*len = c->bad ? 0 : (size_t)n;
	return taken;
}
