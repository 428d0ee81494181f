#include "snapshot/index.h"

#include "base/hmap.h"

void table_release(ChunkTable *t)
{
	free(t->rows);
	*t = (ChunkTable){0};
}

int table_add(ChunkTable *t, const ChunkRow *row)
{
	if (!BV_GROW(t->rows, t->n, t->room))
		return -ENOMEM;
	t->rows[t->n++] = *row;
	return 0;
}

void table_encode(const ChunkTable *t, Bytes *out)
{
	bytes_varint(out, t->n);
	for (size_t i = 0; i < t->n; i++) {
		bytes_id(out, &t->rows[i].id);
		bytes_varint(out, t->rows[i].stored);
		bytes_varint(out, t->rows[i].plain);
		bytes_u8(out, (unsigned)t->rows[i].kind << 4 | t->rows[i].flags);
	}
}

int table_decode(Cursor *c, ChunkTable *out)
{
	uint64_t n = cursor_varint(c), offset = PACK_HEAD;
	ChunkTable t = {0};

	if (c->bad || n > cursor_left(c) / 35)
		return -EBADMSG;
	t.rows = malloc((size_t)(n ? n : 1) * sizeof *t.rows);
	if (!t.rows)
		return -ENOMEM;
	t.room = (size_t)n;
	for (; t.n < n; t.n++) {
		ChunkRow *row = &t.rows[t.n];
		cursor_id(c, &row->id);
		uint64_t stored = cursor_varint(c), plain = cursor_varint(c);
		unsigned how = cursor_u8(c);
		if (c->bad || plain > PLAIN_MAX || stored > PLAIN_MAX + SEAL_EXTRA || offset + stored > PACK_MAX || how & 0x0f & ~STORED_KNOWN) {
			table_release(&t);
			return -EBADMSG;
		}
		row->offset = (uint32_t)offset;
		row->stored = (uint32_t)stored;
		row->plain = (uint32_t)plain;
		row->kind = (uint8_t)(how >> 4);
		row->flags = how & 0x0f;
		offset += stored;
	}
	*out = t;
	return 0;
}

int index_init(SnapIndex *x)
{
	*x = (SnapIndex){.mask = 255, .seed = hash_bytes(&x, sizeof x, 0)};
	x->slots = calloc(x->mask + 1, sizeof *x->slots);
	return x->slots ? 0 : -ENOMEM;
}

void index_release(SnapIndex *x)
{
	free(x->slots);
	free(x->packs);
	*x = (SnapIndex){0};
}

/* Where an id is, or where it would be. */
static ChunkPlace *slot_of(const SnapIndex *x, const SnapId *id)
{
	uint64_t h = hash_u64(id_hash(id, x->seed), 0);

	for (size_t i = h & x->mask;; i = (i + 1) & x->mask)
		if (!x->slots[i].used || id_equal(&x->slots[i].id, id))
			return &x->slots[i];
}

static int make_room(SnapIndex *x, size_t more)
{
	SnapIndex bigger = *x;

	while ((x->n + more) * 4 > (bigger.mask + 1) * 3)
		bigger.mask = bigger.mask * 2 + 1;
	if (bigger.mask == x->mask)
		return 0;
	bigger.slots = calloc(bigger.mask + 1, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i <= x->mask; i++)
		if (x->slots[i].used)
			*slot_of(&bigger, &x->slots[i].id) = x->slots[i];
	free(x->slots);
	*x = bigger;
	return 0;
}

int index_add(SnapIndex *x, const SnapId *pack, const ChunkTable *table)
{
	int r = make_room(x, table->n);

	if (r == 0 && !BV_GROW(x->packs, x->n_packs, x->room_packs))
		r = -ENOMEM;
	if (r < 0)
		return r;
	for (size_t i = 0; i < table->n; i++) {
		const ChunkRow *row = &table->rows[i];
		ChunkPlace *slot = slot_of(x, &row->id);
		if (slot->used)
			continue;
		*slot = (ChunkPlace){row->id, (uint32_t)x->n_packs, row->offset, row->stored, row->plain, row->kind, row->flags, true};
		x->n++;
	}
	x->packs[x->n_packs++] = *pack;
	return 0;
}

int index_claim(SnapIndex *x, const SnapId *id)
{
	int r = make_room(x, 1);
	ChunkPlace *slot = r < 0 ? NULL : slot_of(x, id);

	if (!slot)
		return r;
	if (slot->used)
		return 0;
	*slot = (ChunkPlace){.id = *id, .used = true};
	x->n++;
	return 1;
}

const ChunkPlace *index_find(const SnapIndex *x, const SnapId *id)
{
	const ChunkPlace *slot = x->slots ? slot_of(x, id) : NULL;

	return slot && slot->used ? slot : NULL;
}

void index_list_release(IndexList *list)
{
	for (size_t i = 0; i < list->n; i++)
		table_release(&list->packs[i].table);
	free(list->packs);
	*list = (IndexList){0};
}

int index_list_add(IndexList *list, const SnapId *pack, ChunkTable *table)
{
	if (!BV_GROW(list->packs, list->n, list->room)) {
		table_release(table);
		return -ENOMEM;
	}
	list->packs[list->n++] = (IndexPack){*pack, *table};
	*table = (ChunkTable){0};
	return 0;
}

void index_list_encode(const IndexList *list, Bytes *out)
{
	bytes_varint(out, list->n);
	for (size_t i = 0; i < list->n; i++) {
		bytes_id(out, &list->packs[i].pack);
		table_encode(&list->packs[i].table, out);
	}
}

int index_list_decode(const void *data, size_t len, IndexList *out)
{
	Cursor c = cursor_of(data, len);
	uint64_t n = cursor_varint(&c);
	IndexList list = {0};
	int r = c.bad ? -EBADMSG : 0;

	for (uint64_t i = 0; r == 0 && i < n; i++) {
		SnapId pack;
		ChunkTable table = {0};
		r = cursor_id(&c, &pack) ? table_decode(&c, &table) : -EBADMSG;
		if (r == 0)
			r = index_list_add(&list, &pack, &table);
	}
	if (r == 0 && !cursor_done(&c))
		r = -EBADMSG;
	if (r < 0)
		index_list_release(&list);
	else
		*out = list;
	return r;
}
