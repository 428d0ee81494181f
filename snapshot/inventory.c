#include "snapshot/inventory.h"

static int note(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Inventory *inventory = ctx;
	const char *last = strrchr(name, '/');
	SnapId id;

	last = last ? last + 1 : name;
	if (id_parse(last, strlen(last), &id) < 0)
		return 0; /* not ours */
	if (!BV_GROW(inventory->all, inventory->n, inventory->room))
		return -ENOMEM;
	inventory->all[inventory->n++] = (Listed){id, size, age};
	return 0;
}

int inventory_list(SnapStore *s, const char *prefix, Inventory *out, char **err)
{
	Inventory inventory = {0};
	int r = kept_list(s, prefix, note, &inventory, err);

	if (r < 0) {
		inventory_release(&inventory);
		return r;
	}
	if (inventory.n)
		qsort(inventory.all, inventory.n, sizeof *inventory.all, id_compare); /* the id is the first member */
	*out = inventory;
	return 0;
}

void inventory_release(Inventory *inventory)
{
	free(inventory->all);
	*inventory = (Inventory){0};
}

const Listed *inventory_find(const Inventory *inventory, const SnapId *id)
{
	return inventory->n ? bsearch(id, inventory->all, inventory->n, sizeof *inventory->all, id_compare) : NULL;
}

static int note_ref(void *ctx, const SnapRef *ref)
{
	RefList *list = ctx;

	if (!BV_GROW(list->all, list->n, list->room))
		return -ENOMEM;
	list->all[list->n++] = *ref;
	return 0;
}

int ref_list_all(SnapStore *s, RefList *out, char **err)
{
	RefList list = {0};
	int r = snap_ref_list(s, "", note_ref, &list, err);

	if (r < 0)
		free(list.all);
	else
		*out = list;
	return r;
}

int mark_init(Mark *m)
{
	*m = (Mark){0};
	return index_init(&m->ids) < 0 || index_init(&m->snapshots) < 0 || index_init(&m->indexes) < 0 ? -ENOMEM : 0;
}

void mark_release(Mark *m)
{
	index_release(&m->ids);
	index_release(&m->snapshots);
	index_release(&m->indexes);
}

typedef struct Marking {
	SnapReader *r;
	Coder *coder;
	Mark *m;
	char **err;
	bool failed;
} Marking;

/* A piece that was marked by another snapshot was read then, with all below it. */
static bool enter_piece(void *ctx, const SnapId *piece)
{
	Marking *k = ctx;
	int r = index_claim(&k->m->ids, piece);

	k->failed |= r < 0;
	return r != 0;
}

static int mark_chunk(void *ctx, const ContentChunk *chunk)
{
	Marking *k = ctx;

	return MIN(index_claim(&k->m->ids, &chunk->id), 0);
}

static int mark_record(void *ctx, const Record *record)
{
	Marking *k = ctx;

	if (!record->content_len)
		return 0;
	int r = content_chunks(k->r, k->coder, record->content, record->content_len, mark_chunk, k, k->err);
	return r == -ENOMEM ? bv_fail(k->err, r, "not enough memory") : r;
}

int mark_snapshot(SnapStore *s, Mark *m, const SnapId *id, char **err)
{
	Marking k = {.m = m, .err = err};
	int r = index_claim(&m->snapshots, id);

	if (r <= 0)
		return r < 0 ? bv_fail(err, r, "not enough memory") : 0;
	r = snap_reader_open(s, id, &k.r, err);
	if (r < 0)
		return r;
	r = coder_new(s->key, &k.coder);
	for (size_t i = 0; r >= 0 && i < k.r->info.n_index; i++)
		r = index_claim(&m->indexes, &k.r->info.index[i]);
	if (r < 0)
		bv_fail(err, r, "not enough memory");
	else
		r = reader_visit(k.r, &(PieceVisitor){.enter = enter_piece, .record = mark_record, .ctx = &k}, err);
	if (r >= 0 && k.failed)
		r = bv_fail(err, -ENOMEM, "not enough memory");
	coder_free(k.coder);
	snap_reader_close(k.r);
	return MIN(r, 0);
}

int read_pack_table(SnapStore *s, Coder *coder, const SnapId *id, uint64_t size, ChunkTable *out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName name;
	uint64_t guess = MIN(size, (uint64_t)64 << 10), tail;
	size_t n;

	pack_name(id, name);
	if (size < PACK_HEAD + PACK_TRAILER)
		return bv_fail(err, -EBADMSG, "%s is damaged: it is too short", name);
	int r = kept_get(s, name, size - guess, guess, &body, &n, NULL, err);
	if (r == 0)
		r = pack_trailer(body + n - PACK_TRAILER, size, name, &tail, err);
	if (r == 0 && tail > n) {
		free(TAKE_PTR(body));
		r = kept_get(s, name, size - tail, tail, &body, &n, NULL, err);
	}
	return r < 0 ? r : pack_table(coder, body + (n - tail), (size_t)tail, size, name, out, err);
}
