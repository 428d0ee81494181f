/* snapshot/writer_read.c - one content: read in order, holes left out, cut, hashed; what is new is stored. Runs on a worker, without a lock. */
#include "snapshot/writer.h"

#include <inttypes.h>
#include <sys/stat.h>

#define READ_STEP ((size_t)256 << 10)

/* A content on its way; at most one chunk and one step of it in memory. */
typedef struct Stream {
	Worker *worker;
	Content content;
	Chunker chunker;
	bool whole; /* not cut */
	uint8_t *buf;
	size_t len, room;
} Stream;

static int keep_ref(SnapWriter *w, uint64_t number, Bytes *ref, uint64_t size)
{
	if (ref->failed)
		return -ENOMEM;
	pthread_mutex_lock(&w->lock);
	w->contents[number] = (ContentRef){ref->data, (uint32_t)ref->len};
	w->progress.contents++;
	w->progress.content_bytes += size;
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
	*ref = (Bytes){0};
	return 0;
}

/* The chunk in buf[0..len) is complete; `carry` bytes after it begin the next one. */
static int chunk_done(Stream *s, size_t len, size_t carry)
{
	SnapWriter *w = s->worker->w;
	SnapId id;
	int r = coder_id(s->worker->coder, s->buf, len, &id);

	if (r == 0)
		r = content_add_chunk(&s->content, &id, (uint32_t)len);
	if (r == 0)
		r = chunk_claim(w, &id);
	if (r < 0)
		return r;
	if (r == 0) {
		memmove(s->buf, s->buf + len, carry);
	} else {
		uint8_t *fresh = carry ? malloc(s->room) : NULL;
		if (carry && !fresh)
			return -ENOMEM;
		if (carry)
			memcpy(fresh, s->buf + len, carry);
		uint8_t *shrunk = realloc(s->buf, len), *data = shrunk ? shrunk : s->buf;
		s->buf = fresh;
		r = chunk_store(w, s->worker->coder, &s->worker->out, &id, CHUNK_DATA, data, len);
	}
	s->len = carry;
	return MIN(r, 0);
}

/* n more bytes stand at buf + len. */
static int stream_grown(Stream *s, size_t n)
{
	while (n) {
		size_t cut = s->whole ? 0 : chunker_cut(&s->chunker, s->buf + s->len, n);
		if (!cut) {
			s->len += n;
			return 0;
		}
		int r = chunk_done(s, s->len + cut, n - cut);
		if (r < 0)
			return r;
		n -= cut;
		s->len = 0;
	}
	return 0;
}

static int stream_room(Stream *s)
{
	if (!s->buf)
		s->buf = malloc(s->room);
	return s->buf ? 0 : -ENOMEM;
}

static int stream_segment(Stream *s, int fd, uint64_t from, uint64_t to)
{
	SnapWriter *w = s->worker->w;

	while (from < to) {
		int r = w->failed ? -ECANCELED : stream_room(s);
		if (r < 0)
			return r;
		ssize_t n = pread(fd, s->buf + s->len, MIN(READ_STEP, to - from), (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			return -EAGAIN; /* it became shorter */
		from += (uint64_t)n;
		r = stream_grown(s, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The next data at or after `at`; a file system that cannot tell has no holes. */
static int next_data(int fd, uint64_t at, uint64_t size, uint64_t *from, uint64_t *to)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0 && errno == ENXIO) {
		*from = *to = size;
		return 0;
	}
	if (data < 0 && errno != EINVAL)
		return bv_neg_errno();
	off_t hole = data < 0 ? (off_t)size : lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return bv_neg_errno();
	*from = data < 0 ? at : MIN((uint64_t)data, size);
	*to = MIN((uint64_t)hole, size);
	return 0;
}

static int stream_file(Stream *s, int fd, uint64_t size)
{
	uint64_t at = 0;
	int r = 0;

	while (r == 0 && at < size) {
		uint64_t from, to;
		r = next_data(fd, at, size, &from, &to);
		if (r == 0 && from > at)
			r = content_add_hole(&s->content, at, from - at);
		if (r == 0)
			r = stream_segment(s, fd, from, to);
		at = MAX(to, from);
	}
	return r == 0 && s->len ? chunk_done(s, s->len, 0) : r;
}

static int bytes_content(Worker *worker, const uint8_t *data, size_t len, Bytes *ref);

/* The reference; a body that is too long for one is stored as a content itself: that ends, as a body is a thousandth of what it stands for. */
static int make_ref(Worker *worker, const Content *c, Bytes *out)
{
	CLEAN_BYTES Bytes body = {0};

	content_body(c, &body);
	if (body.failed)
		return -ENOMEM;
	bytes_u8(out, body.len > CONTENT_REF_MAX ? CONTENT_IS_LIST : CONTENT_IS_CHUNKS);
	bytes_varint(out, c->size);
	if (body.len > CONTENT_REF_MAX)
		return bytes_content(worker, body.data, body.len, out);
	bytes_put(out, body.data, body.len);
	return 0;
}

/* One that is small enough to be one chunk, or to stand in the record. */
static int small_content(Worker *worker, const uint8_t *data, size_t len, Bytes *ref)
{
	Content c = {.size = len};
	SnapId id;
	int r;

	if (len <= CONTENT_INLINE) {
		bytes_u8(ref, CONTENT_IS_INLINE);
		bytes_varint(ref, len);
		bytes_put(ref, data, len);
		return 0;
	}
	r = coder_id(worker->coder, data, len, &id);
	if (r == 0)
		r = content_add_chunk(&c, &id, (uint32_t)len);
	if (r == 0)
		r = chunk_claim(worker->w, &id);
	if (r == 1)
		r = chunk_encode(worker->w, worker->coder, &worker->out, &id, CHUNK_DATA, data, len);
	if (r == 0)
		r = make_ref(worker, &c, ref);
	content_release(&c);
	return r;
}

static int large_content(Worker *worker, const uint8_t *data, size_t len, Bytes *ref)
{
	Stream s = {.worker = worker, .content = {.size = len}, .chunker = {.gear = &worker->w->store->gear}, .room = CHUNK_MAX + READ_STEP};
	int r = 0;

	for (size_t at = 0; r == 0 && at < len;) {
		size_t n = MIN(READ_STEP, len - at);
		r = stream_room(&s);
		if (r == 0) {
			memcpy(s.buf + s.len, data + at, n);
			r = stream_grown(&s, n);
		}
		at += n;
	}
	if (r == 0 && s.len)
		r = chunk_done(&s, s.len, 0);
	if (r == 0)
		r = make_ref(worker, &s.content, ref);
	free(s.buf);
	content_release(&s.content);
	return r;
}

static int bytes_content(Worker *worker, const uint8_t *data, size_t len, Bytes *ref)
{
	return len <= CHUNK_WHOLE ? small_content(worker, data, len, ref) : large_content(worker, data, len, ref);
}

static int read_small(Worker *worker, int fd, size_t size, Bytes *ref)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, worker->small + done, size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			return -EAGAIN;
		done += (size_t)n;
	}
	return small_content(worker, worker->small, size, ref);
}

static int read_large(Worker *worker, int fd, uint64_t size, Bytes *ref)
{
	Stream s = {.worker = worker, .content = {.size = size}, .chunker = {.gear = &worker->w->store->gear}};

	s.whole = size <= CHUNK_WHOLE;
	s.room = s.whole ? CHUNK_WHOLE : CHUNK_MAX + READ_STEP;
	int r = stream_file(&s, fd, size);
	if (r == 0)
		r = make_ref(worker, &s.content, ref);
	free(s.buf);
	content_release(&s.content);
	return r;
}

static int read_fd(Worker *worker, const WorkFile *file, int fd, Bytes *ref, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bv_neg_errno();
	if (!S_ISREG(st.st_mode))
		return writer_fail(worker->w, -EINVAL, bv_asprintf("content %" PRIu64 " is no regular file", file->number));
	*size = (uint64_t)st.st_size;
	bool solid = (uint64_t)st.st_blocks * 512 >= *size || *size <= CONTENT_INLINE;
	return *size <= CHUNK_WHOLE && solid ? read_small(worker, fd, (size_t)*size, ref) : read_large(worker, fd, *size, ref);
}

static int read_source(Worker *worker, const WorkFile *file, Bytes *ref, uint64_t *size)
{
	const SnapSource *source = file->source;
	bool stays = false;
	int r = -EAGAIN;

	for (unsigned tries = 0; tries < 2; tries++) {
		CLEAN_FD int fd = -1;
		char *why = NULL;
		r = source->open(source->ctx, file->key, &fd, &stays, &why);
		if (r < 0)
			return writer_fail(worker->w, r, why);
		ref->len = 0;
		r = read_fd(worker, file, fd, ref, size);
		if (stays || !source->changed(source->ctx, file->key))
			return r;
		r = -EAGAIN;
	}
	return r;
}

int file_read(Worker *worker, WorkFile *file)
{
	CLEAN_BYTES Bytes ref = {0};
	uint64_t size = file->len;
	int r;

	if (file->source)
		r = read_source(worker, file, &ref, &size);
	else if (file->fd >= 0)
		r = read_fd(worker, file, file->fd, &ref, &size);
	else
		r = bytes_content(worker, file->data, file->len, &ref);
	if (r == -EAGAIN)
		return writer_fail(worker->w, r, bv_asprintf("a file changed while its content was read"));
	return r < 0 ? r : keep_ref(worker->w, file->number, &ref, size);
}
