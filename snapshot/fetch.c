/* snapshot/fetch.c - chunks by ranged gets: neighbours with one request, a few requests at a time, each chunk compared with its id.
 *
 * A pack that is gone may have been repacked: then the collector's index objects say where its chunks are now. Locks: reader.h. */
#include "snapshot/reader.h"

typedef struct Slot {
	ObjectRequest request;
	ObjectName name;
	struct Fetch *fetch;
	size_t first, n; /* wants */
	bool busy, done;
} Slot;

typedef struct Fetch {
	SnapReader *r;
	Coder *coder;
	const FetchSink *sink;
	Want *wants;
	size_t n, next;
	Bytes plain;
	const Want *last; /* whose bytes are in plain */
	int error;
	char **err;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	Slot slots[FETCH_RING];
} Fetch;

static int by_place(const void *a, const void *b)
{
	const Want *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->place.pack != y->place.pack)
		return x->place.pack < y->place.pack ? -1 : 1;
	return (x->place.offset > y->place.offset) - (x->place.offset < y->place.offset);
}

static void lose(Fetch *f, const Want *want, int error)
{
	if (f->error == 0)
		f->error = error;
	if (f->sink->lost)
		f->sink->lost(f->sink->ctx, want, error);
}

/* With a message, if it is the first one. */
#define LOSE(f, want, code, ...) \
	do { \
		if ((f)->error == 0) \
			bv_fail((f)->err, 0, __VA_ARGS__); \
		lose(f, want, code); \
	} while (0)

static const SnapId *pack_of(const Want *want)
{
	return &want->index->packs[want->place.pack];
}

static void deliver(Fetch *f, const Want *want, const uint8_t *stored)
{
	SnapId id;
	char hex[65];
	ObjectName name;
	int r = 0;

	if (!f->last || !id_equal(&f->last->id, &want->id)) {
		f->last = NULL;
		f->plain.len = 0;
		r = bytes_reserve(&f->plain, want->place.plain + 1) ? 0 : -ENOMEM;
		if (r == 0)
			r = coder_decode(f->coder, want->place.flags, stored, want->place.stored, f->plain.data, want->place.plain);
		if (r == 0)
			r = coder_id(f->coder, f->plain.data, want->place.plain, &id);
		if (r == 0 && !id_equal(&id, &want->id))
			r = -EBADMSG;
		if (r == 0)
			f->last = want;
	}
	if (r == 0 && want->plain != want->place.plain)
		r = -EBADMSG;
	id_hex(&want->id, hex);
	pack_name(pack_of(want), name);
	if (r == -ENOKEY)
		LOSE(f, want, r, "%s is encrypted: give the key that it was written with", name);
	else if (r < 0)
		LOSE(f, want, r, "chunk %.16s in %s is damaged: its bytes are not those that were stored", hex, name);
	if (r < 0)
		return;
	r = f->sink->got(f->sink->ctx, want, f->plain.data);
	if (r < 0)
		LOSE(f, want, r, "chunk %.16s could not be written: %s", hex, strerror(-r));
}

/* Loads what the collector has moved, once. */
static int load_moved(SnapReader *r, Coder *coder, char **err)
{
	Condemned condemned;
	int e = condemned_load(r->store, coder, &condemned, err);

	if (e < 0)
		return e;
	SnapIndex moved;
	e = index_init(&moved);
	for (size_t i = 0; e == 0 && i < condemned.n_moved; i++) {
		IndexList list = {0};
		e = kept_load_index(r->store, coder, &condemned.moved[i], &list, NULL, err);
		for (size_t k = 0; e == 0 && k < list.n; k++)
			e = index_add(&moved, &list.packs[k].pack, &list.packs[k].table);
		index_list_release(&list);
	}
	condemned_release(&condemned);
	if (e < 0)
		index_release(&moved);
	else
		r->moved = moved;
	return e;
}

const ChunkPlace *reader_find_moved(SnapReader *r, Coder *coder, const SnapId *id)
{
	const ChunkPlace *place = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->moved.slots || load_moved(r, coder, NULL) == 0)
		place = index_find(&r->moved, id);
	pthread_mutex_unlock(&r->lock);
	return place;
}

/* One by one: only after a collection that this snapshot's index does not know of. */
static void fetch_again(Fetch *f, Want *want, int error, const char *message)
{
	const ChunkPlace *place = error == -ENOENT && want->index != &f->r->moved ? reader_find_moved(f->r, f->coder, &want->id) : NULL;
	uint8_t *body;
	ObjectName name;
	char hex[65];
	size_t n;

	id_hex(&want->id, hex);
	if (!place) {
		pack_name(pack_of(want), name);
		LOSE(f, want, error, "chunk %.16s is not to be had: %s", hex, message ? message : name);
		return;
	}
	want->place = *place;
	want->index = &f->r->moved;
	pack_name(pack_of(want), name);
	char *why = NULL;
	int r = kept_get(f->r->store, name, place->offset, MAX(place->stored, 1), &body, &n, NULL, &why);
	if (r < 0)
		LOSE(f, want, r, "chunk %.16s is not to be had: %s", hex, why ? why : name);
	else
		deliver(f, want, body);
	free(why);
	if (r == 0)
		free(body);
}

static void arrived(ObjectRequest *request)
{
	Slot *slot = request->user;
	Fetch *f = slot->fetch;

	pthread_mutex_lock(&f->lock);
	slot->done = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

static uint64_t end_of(const Want *want)
{
	return (uint64_t)want->place.offset + want->place.stored;
}

/* The next wants that one request can bring. */
static void begin(Fetch *f, Slot *slot)
{
	Want *first = &f->wants[f->next];
	uint64_t end = end_of(first);
	size_t n = 1;

	while (f->next + n < f->n) {
		const Want *want = first + n;
		if (want->index != first->index || want->place.pack != first->place.pack || want->place.offset > end + FETCH_JOIN ||
		    end_of(want) - first->place.offset > FETCH_REQUEST)
			break;
		end = MAX(end, end_of(want));
		n++;
	}
	pack_name(pack_of(first), slot->name);
	slot->fetch = f;
	slot->first = f->next;
	slot->n = n;
	slot->busy = true;
	slot->done = false;
	slot->request = (ObjectRequest){.verb = OBJECT_GET, .name = slot->name, .offset = first->place.offset, .done = arrived, .user = slot};
	slot->request.length = MAX(end - first->place.offset, 1);
	f->next += n;
	kept_submit(f->r->store, &slot->request);
}

static void finish(Fetch *f, Slot *slot)
{
	ObjectRequest *q = &slot->request;
	Want *first = &f->wants[slot->first];

	pthread_mutex_lock(&f->lock);
	while (!slot->done)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
	slot->busy = false;
	if (q->result == 0)
		f->r->store->received += q->n_body;
	for (size_t i = 0; i < slot->n; i++) {
		Want *want = first + i;
		uint64_t at = want->place.offset - q->offset;
		if (q->result < 0)
			fetch_again(f, want, q->result, q->error);
		else if (at + want->place.stored > q->n_body)
			LOSE(f, want, -EBADMSG, "%s is damaged: it ends within a chunk", slot->name);
		else
			deliver(f, want, q->body + at);
	}
	object_request_release(q);
}

/* Where each want is; those that are nowhere are lost and left out. */
static size_t locate(Fetch *f, Want *wants, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		Want want = wants[i];
		const ChunkPlace *place = index_find(&f->r->index, &want.id);
		want.index = &f->r->index;
		if (!place) {
			place = reader_find_moved(f->r, f->coder, &want.id); /* an index that was made again from the packs is there, too */
			want.index = &f->r->moved;
		}
		if (!place) {
			char hex[65];
			id_hex(&want.id, hex);
			const char *why = f->r->index_error;
			LOSE(f, &want, -EBADMSG, "chunk %.16s is in no index of the snapshot%s%s", hex, why ? ": " : "", why ? why : "");
			continue;
		}
		want.place = *place;
		wants[kept++] = want;
	}
	return kept;
}

int fetch_chunks(SnapReader *r, Coder *coder, Want *wants, size_t n, const FetchSink *sink, char **err)
{
	Fetch f = {.r = r, .coder = coder, .sink = sink, .wants = wants, .err = err, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	size_t at = 0;

	f.n = locate(&f, wants, n);
	qsort(wants, f.n, sizeof *wants, by_place);
	for (size_t i = 0; i < FETCH_RING && f.next < f.n; i++)
		begin(&f, &f.slots[i]);
	for (; f.slots[at].busy; at = (at + 1) % FETCH_RING) {
		finish(&f, &f.slots[at]);
		if (f.next < f.n)
			begin(&f, &f.slots[at]);
	}
	bytes_release(&f.plain);
	pthread_mutex_destroy(&f.lock);
	pthread_cond_destroy(&f.cond);
	return f.error;
}
