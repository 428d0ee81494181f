#include "snapshot/content.h"

void content_release(Content *c)
{
	free(c->holes);
	free(c->chunks);
	*c = (Content){0};
}

int content_add_hole(Content *c, uint64_t offset, uint64_t length)
{
	if (!BV_GROW(c->holes, c->n_holes, c->room_holes))
		return -ENOMEM;
	c->holes[c->n_holes++] = (ContentHole){offset, length};
	return 0;
}

int content_add_chunk(Content *c, const SnapId *id, uint32_t length)
{
	if (!BV_GROW(c->chunks, c->n_chunks, c->room_chunks))
		return -ENOMEM;
	c->chunks[c->n_chunks++] = (ContentChunk){*id, length};
	return 0;
}

void content_body(const Content *c, Bytes *out)
{
	uint64_t end = 0;

	bytes_varint(out, c->n_holes);
	for (size_t i = 0; i < c->n_holes; i++) {
		bytes_varint(out, c->holes[i].offset - end);
		bytes_varint(out, c->holes[i].length);
		end = c->holes[i].offset + c->holes[i].length;
	}
	bytes_varint(out, c->n_chunks);
	for (size_t i = 0; i < c->n_chunks; i++) {
		bytes_id(out, &c->chunks[i].id);
		bytes_varint(out, c->chunks[i].length);
	}
}

static int read_holes(Content *c, Cursor *in, uint64_t *total)
{
	uint64_t n = cursor_varint(in), end = 0;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < n; i++) {
		uint64_t gap = cursor_varint(in), length = cursor_varint(in);
		if (in->bad || gap > c->size - end || length > c->size - end - gap || length == 0)
			return -EBADMSG;
		r = content_add_hole(c, end + gap, length);
		end += gap + length;
		*total += length;
	}
	return r;
}

int content_decode_body(Content *c, const void *body, size_t len)
{
	Cursor in = cursor_of(body, len);
	uint64_t total = 0;
	int r = read_holes(c, &in, &total);
	uint64_t n = cursor_varint(&in);

	for (uint64_t i = 0; r == 0 && i < n; i++) {
		SnapId id;
		cursor_id(&in, &id);
		uint64_t length = cursor_varint(&in);
		if (in.bad || length == 0 || length > c->size - total || length > UINT32_MAX)
			return -EBADMSG;
		r = content_add_chunk(c, &id, (uint32_t)length);
		total += length;
	}
	if (r == 0 && (!cursor_done(&in) || total != c->size))
		r = -EBADMSG;
	return r;
}

int content_decode(const void *ref, size_t len, Content *out)
{
	Cursor in = cursor_of(ref, len);
	Content c = {.kind = cursor_u8(&in), .size = cursor_varint(&in)};
	int r = 0;

	if (in.bad || c.kind > CONTENT_IS_LIST || c.size > INT64_MAX)
		return -EBADMSG;
	c.inner = in.at;
	c.n_inner = cursor_left(&in);
	if (c.kind == CONTENT_IS_INLINE && c.n_inner != c.size)
		return -EBADMSG;
	if (c.kind == CONTENT_IS_CHUNKS)
		r = content_decode_body(&c, in.at, cursor_left(&in));
	if (r < 0)
		content_release(&c);
	else
		*out = c;
	return r;
}
