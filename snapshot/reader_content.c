/* snapshot/reader_content.c - contents: from references to bytes in descriptors or memory. Locks: reader.h. */
#include "snapshot/reader.h"

#include <stdio.h>
#include <sys/stat.h>

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

/* ---- a whole content, from its begin to its end ---- */

typedef int (*Sink)(void *ctx, const void *data, size_t len);

static int give_zeros(uint64_t n, Sink sink, void *ctx)
{
	static const uint8_t zeros[1 << 16];
	int r = 0;

	for (; r == 0 && n; n -= MIN(n, sizeof zeros))
		r = sink(ctx, zeros, MIN(n, sizeof zeros));
	return r;
}

/* Data from `from` on, with the holes that lie before or within it. *at is where the sink is in the file. */
static int give_data(const Target *t, const uint8_t *data, uint64_t from, uint64_t len, uint64_t *at, Sink sink, void *ctx)
{
	int r = 0;

	for (size_t run = run_of(t, from); r == 0 && len; run++) {
		uint64_t n = run + 1 < t->n_runs ? MIN(len, t->runs[run + 1].data - from) : len, file = t->runs[run].file + (from - t->runs[run].data);
		if (n == 0)
			continue;
		r = give_zeros(file - *at, sink, ctx);
		if (r == 0)
			r = sink(ctx, data, n);
		*at = file + n;
		data += n;
		from += n;
		len -= n;
	}
	return r;
}

/* Chunks first..last-1, whose data begin at `from`, into memory as if there were no holes. */
static int fetch_group(SnapReader *r, Coder *coder, const Content *c, size_t first, size_t last, uint64_t from, uint64_t len, uint8_t **out, char **err)
{
	Run whole = {0, 0};
	Target t = {.runs = &whole, .n_runs = 1, .fd = -1, .from = from, .to = from + len, .memory = malloc(len + 1)};
	FetchSink sink = {.got = got_chunk, .lost = lost_chunk, .ctx = &t};
	CLEAN_FREE Want *wants = calloc(last - first, sizeof *wants);
	uint64_t at = from;

	if (!wants || !t.memory) {
		free(t.memory);
		return bv_fail(err, -ENOMEM, "not enough memory");
	}
	for (size_t i = first; i < last; i++) {
		wants[i - first] = (Want){.id = c->chunks[i].id, .plain = c->chunks[i].length, .offset = at};
		at += c->chunks[i].length;
	}
	int e = fetch_chunks(r, coder, wants, last - first, &sink, err);
	if (e < 0)
		free(t.memory);
	else
		*out = t.memory;
	return e;
}

static int stream_chunks(SnapReader *r, Coder *coder, const Target *t, Sink sink, void *ctx, char **err)
{
	const Content *c = &t->content;
	uint64_t data = 0, at = 0;
	int e = 0;

	for (size_t first = 0, last; e == 0 && first < c->n_chunks; first = last) {
		CLEAN_FREE uint8_t *bytes = NULL;
		uint64_t len = 0;
		for (last = first; last < c->n_chunks && (last == first || len + c->chunks[last].length <= FETCH_WINDOW); last++)
			len += c->chunks[last].length;
		e = fetch_group(r, coder, c, first, last, data, len, &bytes, err);
		if (e == 0)
			e = give_data(t, bytes, data, len, &at, sink, ctx);
		data += len;
	}
	return e == 0 ? give_zeros(c->size - at, sink, ctx) : e;
}

static int target_open(SnapReader *r, Coder *coder, const void *ref, size_t len, Target *t, char **err)
{
	int e = open_at(r, coder, ref, len, 0, &t->content, err);

	if (e == 0 && (e = target_runs(t)) < 0)
		bv_fail(err, e, "not enough memory");
	return e;
}

int snap_reader_stream(SnapReader *r, const void *ref, size_t len, int (*sink)(void *ctx, const void *data, size_t len), void *ctx, char **err)
{
	Target t = {.fd = -1};
	Coder *coder;
	int e = coder_new(r->store->key, &coder);

	if (e < 0)
		return bv_fail(err, e, "not enough memory");
	e = target_open(r, coder, ref, len, &t, err);
	if (e == 0 && t.content.kind == CONTENT_IS_INLINE)
		e = sink(ctx, t.content.inner, t.content.size);
	else if (e == 0)
		e = stream_chunks(r, coder, &t, sink, ctx, err);
	target_release(&t);
	coder_free(coder);
	return e;
}

/* ---- a file against a content, without fetching it ---- */

/* 1: the same so far; the file has a hole, or bytes, where the content has one or not: only bytes count. */
static int same_zeros(int fd, uint64_t at, uint64_t end)
{
	uint8_t buf[1 << 16];

	while (at < end) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 1 : bv_neg_errno();
		at = MAX(at, (uint64_t)data);
		if (at >= end)
			return 1;
		ssize_t n = pread(fd, buf, MIN(end - at, sizeof buf), (off_t)at);
		if (n <= 0)
			return n < 0 ? bv_neg_errno() : 0;
		for (ssize_t i = 0; i < n; i++)
			if (buf[i])
				return 0;
		at += (uint64_t)n;
	}
	return 1;
}

/* The bytes outside of the content's holes, by their place among these. */
static int read_data(const Target *t, int fd, uint64_t data, uint8_t *out, uint64_t len)
{
	for (size_t run = run_of(t, data); len; run++) {
		uint64_t n = run + 1 < t->n_runs ? MIN(len, t->runs[run + 1].data - data) : len;
		for (uint64_t done = 0; done < n;) {
			ssize_t got = pread(fd, out + done, n - done, (off_t)(t->runs[run].file + (data - t->runs[run].data) + done));
			if (got <= 0)
				return got < 0 ? bv_neg_errno() : 0;
			done += (uint64_t)got;
		}
		out += n;
		data += n;
		len -= n;
	}
	return 1;
}

static int same_chunks(Coder *coder, const Target *t, int fd)
{
	const Content *c = &t->content;
	uint64_t data = 0;
	size_t room = 0;
	int e = 1;

	for (size_t i = 0; e == 1 && i < c->n_holes; i++)
		e = same_zeros(fd, c->holes[i].offset, c->holes[i].offset + c->holes[i].length);
	for (size_t i = 0; i < c->n_chunks; i++)
		room = MAX(room, c->chunks[i].length);
	CLEAN_FREE uint8_t *buf = malloc(room + 1);
	if (!buf)
		return -ENOMEM;
	for (size_t i = 0; e == 1 && i < c->n_chunks; i++) {
		SnapId id;
		e = read_data(t, fd, data, buf, c->chunks[i].length);
		if (e == 1 && (e = coder_id(coder, buf, c->chunks[i].length, &id)) == 0)
			e = id_equal(&id, &c->chunks[i].id);
		data += c->chunks[i].length;
	}
	return e;
}

int snap_reader_same(SnapReader *r, const void *ref, size_t len, int fd, char **err)
{
	Target t = {.fd = -1};
	uint8_t head[CONTENT_INLINE];
	struct stat st;
	Coder *coder;
	int e = coder_new(r->store->key, &coder);

	if (e < 0)
		return bv_fail(err, e, "not enough memory");
	e = target_open(r, coder, ref, len, &t, err);
	if (e == 0 && fstat(fd, &st) < 0)
		e = bv_fail(err, bv_neg_errno(), "a file cannot be read: %s", strerror(errno));
	else if (e == 0 && (uint64_t)st.st_size == t.content.size) {
		if (t.content.kind != CONTENT_IS_INLINE)
			e = same_chunks(coder, &t, fd);
		else if (t.content.size > sizeof head)
			e = damaged_ref(err);
		else
			e = pread(fd, head, t.content.size, 0) == (ssize_t)t.content.size && memcmp(head, t.content.inner, t.content.size) == 0;
		if (e < 0 && err && !*err)
			bv_fail(err, e, "a file cannot be compared with its content: %s", strerror(-e));
	}
	target_release(&t);
	coder_free(coder);
	return e;
}
