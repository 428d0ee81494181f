/* snapshot/presence.c - are the packs there that contents need? Told when a sandbox is restored, not only when somebody opens a file that is lost.
 *
 * Whether their bytes are right only reading them tells (fsck). A few packs are asked for one by one, on threads; for many the store lists all that it has. What a long content's list
 * names is not looked at, as that would have to be fetched. */
#include "snapshot/presence.h"
#include "snapshot/reader.h"

enum { ASKED_ONE_BY_ONE = 64, THREADS = 8, LISTED_MAX = 100000 };
enum { UNUSED, USED, THERE };

struct SnapPresence {
	SnapReader *r;
	Coder *coder;
	uint8_t *packs; /* of the reader's index: UNUSED, USED, THERE */
	size_t n_used;
	pthread_mutex_t lock;
	size_t next; /* pack to be asked for */
	int error;
	char *message;
};

int snap_presence_begin(SnapReader *r, SnapPresence **out)
{
	SnapPresence *p = calloc(1, sizeof *p);

	if (!p || !(p->packs = calloc(r->index.n_packs + 1, 1)) || coder_new(r->store->key, &p->coder) < 0) {
		if (p)
			free(p->packs);
		free(p);
		return -ENOMEM;
	}
	p->r = r;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

void snap_presence_end(SnapPresence *p)
{
	if (!p)
		return;
	coder_free(p->coder);
	pthread_mutex_destroy(&p->lock);
	free(p->packs);
	free(p->message);
	free(p);
}

/* Each chunk that the reference itself names; the first non-zero answer is returned. */
static int each_chunk(SnapPresence *p, const void *ref, size_t len, int (*visit)(SnapPresence *p, const SnapId *id))
{
	const uint8_t *at = ref;
	int r = 0;

	for (bool list = true; list && r == 0;) {
		Content c;
		r = content_decode(at, len, &c);
		if (r < 0)
			return r;
		list = c.kind == CONTENT_IS_LIST;
		for (size_t i = 0; !list && r == 0 && i < c.n_chunks; i++)
			r = visit(p, &c.chunks[i].id);
		at = c.inner;
		len = c.n_inner;
		content_release(&c);
	}
	return r;
}

static int use(SnapPresence *p, const SnapId *id)
{
	const ChunkPlace *place = index_find(&p->r->index, id);

	if (place && p->packs[place->pack] == UNUSED) {
		p->packs[place->pack] = USED;
		p->n_used++;
	}
	return 0;
}

void snap_presence_note(SnapPresence *p, const void *ref, size_t len)
{
	IGNORE_RESULT(each_chunk(p, ref, len, use));
}

/* ---- asking ---- */

static void *ask(void *ctx)
{
	SnapPresence *p = ctx;

	pthread_mutex_lock(&p->lock);
	while (p->next < p->r->index.n_packs && p->error == 0) {
		size_t i = p->next++;
		if (p->packs[i] != USED)
			continue;
		ObjectName name;
		uint64_t size;
		char *why = NULL;
		pthread_mutex_unlock(&p->lock);
		pack_name(&p->r->index.packs[i], name);
		int r = kept_head(p->r->store, name, &size, &why);
		pthread_mutex_lock(&p->lock);
		if (r == 0) {
			p->packs[i] = THERE;
		} else if (r != -ENOENT && p->error == 0) {
			p->error = r;
			p->message = TAKE_PTR(why);
		}
		free(why);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int ask_each(SnapPresence *p)
{
	pthread_t threads[THREADS];
	size_t n = 0;

	while (n + 1 < MIN(p->n_used, (size_t)THREADS) && pthread_create(&threads[n], NULL, ask, p) == 0)
		n++;
	ask(p);
	while (n)
		pthread_join(threads[--n], NULL);
	return p->error;
}

typedef struct Names {
	SnapId *all;
	size_t n, room;
} Names;

static int note_name(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Names *names = ctx;
	const char *slash = strrchr(name, '/');

	(void)size;
	(void)age;
	if (names->n == LISTED_MAX)
		return 1;
	if (!BV_GROW(names->all, names->n, names->room))
		return -ENOMEM;
	if (slash && id_parse(slash + 1, strlen(slash + 1), &names->all[names->n]) == 0)
		names->n++;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(SnapId));
}

/* Of a store that has very many, it is not told. */
static int list_all(SnapPresence *p)
{
	Names names = {0};
	int r = kept_list(p->r->store, "packs/", note_name, &names, &p->message);

	if (names.n)
		qsort(names.all, names.n, sizeof *names.all, by_id);
	for (size_t i = 0; r >= 0 && i < p->r->index.n_packs; i++)
		if (p->packs[i] == USED && (r == 1 || (names.n && bsearch(&p->r->index.packs[i], names.all, names.n, sizeof *names.all, by_id))))
			p->packs[i] = THERE;
	free(names.all);
	return MIN(r, 0);
}

int snap_presence_check(SnapPresence *p, char **err)
{
	int r = p->n_used <= ASKED_ONE_BY_ONE ? ask_each(p) : list_all(p);

	if (r < 0)
		return bv_fail(err, r, "%s", p->message ? p->message : strerror(-r));
	for (size_t i = 0; i < p->r->index.n_packs; i++)
		r |= p->packs[i] == USED;
	return r;
}

void snap_presence_lost(const SnapPresence *p, ObjectName out)
{
	size_t i = 0;

	while (i < p->r->index.n_packs && p->packs[i] != USED)
		i++;
	if (i < p->r->index.n_packs)
		pack_name(&p->r->index.packs[i], out);
	else
		out[0] = '\0';
}

/* -ENOENT: it is lost. What the collector has moved is elsewhere. */
static int look(SnapPresence *p, const SnapId *id)
{
	const ChunkPlace *place = index_find(&p->r->index, id);

	if (place && p->packs[place->pack] == THERE)
		return 0;
	return reader_find_moved(p->r, p->coder, id) ? 0 : -ENOENT;
}

bool snap_presence_has(SnapPresence *p, const void *ref, size_t len)
{
	return each_chunk(p, ref, len, look) == 0;
}
