/* snapshot/reader_content.c - contents: from references to bytes in descriptors or memory. Locks: reader.h. */
#include "snapshot/reader.h"

#include <stdio.h>

/* From an offset in the data (without holes) to one in the file: run k begins after hole k - 1. */
typedef struct Run {
	uint64_t data, file;
} Run;

typedef struct Target {
	Content content;
	Run *runs;
	size_t n_runs;
	int fd, error; /* fd -1: memory */
	uint8_t *memory;
	uint64_t from, to; /* memory: of the file */
} Target;

static int damaged_ref(char **err)
{
	return bv_fail(err, -EBADMSG, "a content reference of the snapshot is damaged");
}

int snap_content_size(const void *ref, size_t len, uint64_t *size)
{
	Cursor c = cursor_of(ref, len);
	unsigned kind = cursor_u8(&c);
	uint64_t n = cursor_varint(&c);

	if (c.bad || kind > CONTENT_IS_LIST || n > INT64_MAX)
		return -EBADMSG;
	*size = n;
	return 0;
}

uint64_t snap_reader_position(const SnapReader *r, const void *ref, size_t len)
{
	uint64_t position = 0;

	for (unsigned depth = 0; depth < CONTENT_DEPTH; depth++) {
		Content c;
		if (content_decode(ref, len, &c) < 0)
			break;
		const ChunkPlace *place = c.n_chunks ? index_find(&r->index, &c.chunks[0].id) : NULL;
		bool list = c.kind == CONTENT_IS_LIST;
		ref = c.inner;
		len = c.n_inner;
		content_release(&c);
		if (place)
			position = ((uint64_t)place->pack << 32 | place->offset) + 1;
		if (place || !list)
			break;
	}
	return position;
}

static void target_release(Target *t)
{
	content_release(&t->content);
	free(t->runs);
	t->runs = NULL;
}

static int target_runs(Target *t)
{
	const Content *c = &t->content;
	uint64_t holes = 0;

	t->runs = malloc((c->n_holes + 1) * sizeof *t->runs);
	if (!t->runs)
		return -ENOMEM;
	t->runs[t->n_runs++] = (Run){0, 0};
	for (size_t i = 0; i < c->n_holes; i++) {
		uint64_t end = c->holes[i].offset + c->holes[i].length;
		holes += c->holes[i].length;
		t->runs[t->n_runs++] = (Run){end - holes, end};
	}
	return 0;
}

/* The run in which an offset of the data lies; a run without bytes is passed over. */
static size_t run_of(const Target *t, uint64_t data)
{
	size_t low = 0, high = t->n_runs;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (t->runs[middle].data <= data)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int put_bytes(const Target *t, uint64_t at, const uint8_t *data, uint64_t len)
{
	if (t->fd < 0) {
		uint64_t from = MAX(at, t->from), to = MIN(at + len, t->to);
		if (from < to)
			memcpy(t->memory + (from - t->from), data + (from - at), to - from);
		return 0;
	}
	while (len) {
		ssize_t n = pwrite(t->fd, data, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		data += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int got_chunk(void *ctx, const Want *want, const uint8_t *plain)
{
	Target *targets = ctx, *t = &targets[want->item];
	uint64_t at = want->offset, end = at + want->plain;
	int r = 0;

	for (size_t run = run_of(t, at); r == 0 && at < end; run++) {
		uint64_t stop = run + 1 < t->n_runs ? MIN(end, t->runs[run + 1].data) : end;
		r = put_bytes(t, t->runs[run].file + (at - t->runs[run].data), plain + (at - want->offset), stop - at);
		at = stop;
	}
	return r;
}

static void lost_chunk(void *ctx, const Want *want, int error)
{
	Target *targets = ctx;

	if (targets[want->item].error == 0)
		targets[want->item].error = error;
}

/* Whether any byte of the chunk is asked for. */
static bool is_wanted(const Target *t, uint64_t data, uint64_t len)
{
	if (t->fd >= 0)
		return true;
	size_t first = run_of(t, data), last = run_of(t, data + len - 1);
	uint64_t from = t->runs[first].file + (data - t->runs[first].data), to = t->runs[last].file + (data + len - t->runs[last].data);
	return from < t->to && to > t->from;
}

static size_t add_wants(const Target *t, size_t item, Want *wants)
{
	uint64_t data = 0;
	size_t n = 0;

	for (size_t i = 0; i < t->content.n_chunks; i++) {
		const ContentChunk *chunk = &t->content.chunks[i];
		if (is_wanted(t, data, chunk->length))
			wants[n++] = (Want){.id = chunk->id, .plain = chunk->length, .item = item, .offset = data};
		data += chunk->length;
	}
	return n;
}

static int fetch_targets(SnapReader *r, Coder *coder, Target *targets, size_t n, char **err)
{
	FetchSink sink = {.got = got_chunk, .lost = lost_chunk, .ctx = targets};
	size_t room = 1, count = 0;

	for (size_t i = 0; i < n; i++)
		room += targets[i].content.n_chunks;
	Want *wants = calloc(room, sizeof *wants);
	if (!wants)
		return bv_fail(err, -ENOMEM, "not enough memory");
	for (size_t i = 0; i < n; i++)
		if (targets[i].error == 0)
			count += add_wants(&targets[i], i, wants + count);
	int e = fetch_chunks(r, coder, wants, count, &sink, err);
	free(wants);
	return e;
}

/* All bytes of a (nested) content, into memory. */
static int read_whole(SnapReader *r, Coder *coder, const void *ref, size_t len, unsigned depth, uint8_t **out, size_t *n, char **err);

static int open_at(SnapReader *r, Coder *coder, const void *ref, size_t len, unsigned depth, Content *out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	Content c;
	size_t n;
	int e = depth < CONTENT_DEPTH ? content_decode(ref, len, &c) : -EBADMSG;

	if (e < 0)
		return damaged_ref(err);
	if (c.kind == CONTENT_IS_LIST) {
		e = read_whole(r, coder, c.inner, c.n_inner, depth + 1, &body, &n, err);
		if (e == 0 && content_decode_body(&c, body, n) < 0)
			e = damaged_ref(err);
	}
	if (e < 0)
		content_release(&c);
	else
		*out = c;
	return e;
}

static int read_whole(SnapReader *r, Coder *coder, const void *ref, size_t len, unsigned depth, uint8_t **out, size_t *n, char **err)
{
	Target t = {.fd = -1};
	int e = open_at(r, coder, ref, len, depth, &t.content, err);

	if (e < 0)
		return e;
	uint64_t size = t.content.size;
	t.to = size;
	t.memory = size > ENVELOPE_MAX ? NULL : calloc(1, size + 1);
	e = t.memory ? target_runs(&t) : -ENOMEM;
	if (e < 0)
		bv_fail(err, e, "not enough memory for the list of a content");
	else if (t.content.kind == CONTENT_IS_INLINE)
		memcpy(t.memory, t.content.inner, size);
	else
		e = fetch_targets(r, coder, &t, 1, err);
	target_release(&t);
	if (e < 0) {
		free(t.memory);
		return e;
	}
	*out = t.memory;
	*n = size;
	return 0;
}

int content_open(SnapReader *r, Coder *coder, const void *ref, size_t len, Content *out, char **err)
{
	return open_at(r, coder, ref, len, 0, out, err);
}

int content_chunks(SnapReader *r, Coder *coder, const void *ref, size_t len, int (*chunk)(void *ctx, const ContentChunk *chunk), void *ctx, char **err)
{
	int e = 0;

	for (unsigned depth = 0; e == 0; depth++) {
		Content c;
		e = open_at(r, coder, ref, len, depth, &c, err);
		if (e < 0)
			return e;
		for (size_t i = 0; e == 0 && i < c.n_chunks; i++)
			e = chunk(ctx, &c.chunks[i]);
		bool list = c.kind == CONTENT_IS_LIST;
		ref = c.inner;
		len = c.n_inner;
		content_release(&c);
		if (!list)
			break;
	}
	return e;
}

static int prepare_fd(SnapReader *r, Coder *coder, const SnapFetch *item, Target *t, char **err)
{
	t->fd = item->fd;
	int e = open_at(r, coder, item->ref, item->len, 0, &t->content, err);
	if (e < 0)
		return e;
	e = target_runs(t);
	if (e == 0 && t->content.kind == CONTENT_IS_INLINE)
		e = put_bytes(t, 0, t->content.inner, t->content.size);
	else if (e == 0 && ftruncate(item->fd, (off_t)t->content.size) < 0)
		e = bv_neg_errno();
	return e < 0 ? bv_fail(err, e, "a content could not be written: %s", strerror(-e)) : 0;
}

int snap_reader_fetch_many(SnapReader *r, SnapFetch *items, size_t n, char **err)
{
	Target *targets = calloc(n + 1, sizeof *targets);
	Coder *coder = NULL;
	char *later = NULL;
	int first = 0;

	if (!targets || coder_new(r->store->key, &coder) < 0) {
		free(targets);
		return bv_fail(err, -ENOMEM, "not enough memory");
	}
	for (size_t i = 0; i < n; i++) {
		targets[i].error = prepare_fd(r, coder, &items[i], &targets[i], first ? &later : err);
		first = first ? first : targets[i].error;
	}
	int e = fetch_targets(r, coder, targets, n, first ? &later : err);
	for (size_t i = 0; i < n; i++) {
		items[i].result = targets[i].error ? targets[i].error : e == -ENOMEM ? e : 0;
		target_release(&targets[i]);
	}
	free(later);
	free(targets);
	coder_free(coder);
	return first ? first : e;
}

int snap_reader_fetch_fd(SnapReader *r, const void *ref, size_t len, int fd, char **err)
{
	SnapFetch item = {.ref = ref, .len = len, .fd = fd};

	return snap_reader_fetch_many(r, &item, 1, err);
}

int snap_reader_fetch_range(SnapReader *r, const void *ref, size_t len, uint64_t offset, uint64_t length, uint8_t **out, size_t *n, char **err)
{
	Target t = {.fd = -1, .from = offset};
	Coder *coder;
	int e = coder_new(r->store->key, &coder);

	if (e < 0)
		return bv_fail(err, e, "not enough memory");
	e = open_at(r, coder, ref, len, 0, &t.content, err);
	if (e == 0) {
		uint64_t size = t.content.size;
		t.from = MIN(offset, size);
		t.to = t.from + MIN(length, size - t.from);
		t.memory = t.to - t.from > ENVELOPE_MAX ? NULL : calloc(1, t.to - t.from + 1);
		e = t.memory ? target_runs(&t) : -ENOMEM;
		if (e < 0)
			bv_fail(err, e, "not enough memory for %llu bytes", (unsigned long long)(t.to - t.from));
	}
	if (e == 0 && t.content.kind == CONTENT_IS_INLINE)
		e = put_bytes(&t, 0, t.content.inner, t.content.size);
	else if (e == 0)
		e = fetch_targets(r, coder, &t, 1, err);
	target_release(&t);
	coder_free(coder);
	if (e < 0) {
		free(t.memory);
		return e;
	}
	*out = t.memory;
	*n = (size_t)(t.to - t.from);
	return 0;
}
