/* snapshot/repack.c - packs that are mostly dead are written anew, as stored bytes: nothing is decoded but for the comparison with its id.
 *
 * Snapshots cannot be changed to name other index objects, so the collector's state names the index of what was moved (condemned.h): writers read it, and
 * readers when a pack is gone. There is one such object at a time; what it said before and is still needed is taken over. Who owns what: collect.h. */
#include "snapshot/collect.h"

typedef struct Repack {
	Collect *c;
	Bytes pack;
	ChunkTable table;
	IndexList list; /* the new packs */
	SnapIndex done; /* chunks that were copied */
} Repack;

static int send(Repack *p, char **err)
{
	ObjectName name;
	SnapId id;

	if (p->table.n == 0)
		return 0;
	int r = pack_finish(p->c->coder, &p->pack, &p->table, &id);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	pack_name(&id, name);
	r = kept_put(p->c->s, name, p->pack.data, p->pack.len, 0, err);
	if (r == 0 && index_list_add(&p->list, &id, &p->table) < 0)
		r = bv_fail(err, -ENOMEM, "not enough memory");
	p->pack.len = 0;
	return r;
}

static int copy_chunk(Repack *p, const ChunkRow *row, const uint8_t *stored, char **err)
{
	CLEAN_FREE uint8_t *plain = malloc((size_t)row->plain + 1);
	ChunkRow moved = *row;
	SnapId id;
	char hex[65];
	int r = plain ? coder_decode(p->c->coder, row->flags, stored, row->stored, plain, row->plain) : -ENOMEM;

	if (r == 0)
		r = coder_id(p->c->coder, plain, row->plain, &id);
	id_hex(&row->id, hex);
	if (r == -EBADMSG || (r == 0 && !id_equal(&id, &row->id)))
		return bv_fail(err, -EBADMSG, "chunk %.16s is damaged: nothing was collected, fsck says what it hurts", hex);
	if (r == 0 && p->pack.len == 0)
		r = pack_begin(&p->pack);
	moved.offset = (uint32_t)p->pack.len;
	bytes_put(&p->pack, stored, row->stored);
	if (r == 0)
		r = p->pack.failed ? -ENOMEM : table_add(&p->table, &moved);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	p->c->result.moved_bytes += row->stored;
	return p->pack.len >= PACK_TARGET ? send(p, err) : 0;
}

static int copy_pack(Repack *p, const IndexPack *from, uint64_t size, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName name;
	size_t n;

	pack_name(&from->pack, name);
	int r = kept_get(p->c->s, name, 0, size, &body, &n, NULL, err);
	for (size_t i = 0; r >= 0 && i < from->table.n; i++) {
		const ChunkRow *row = &from->table.rows[i];
		if (!is_live(p->c, &from->pack, row))
			continue;
		r = index_claim(&p->done, &row->id);
		if (r < 0)
			return bv_fail(err, r, "not enough memory");
		if (r == 0)
			continue;
		r = (uint64_t)row->offset + row->stored > n ? bv_fail(err, -EBADMSG, "%s is damaged: it ends within a chunk", name) :
							     copy_chunk(p, row, body + row->offset, err);
	}
	return MIN(r, 0);
}

/* Worth it: old enough for everybody to know it, and less than the share is needed. */
static bool is_mostly_dead(const Collect *c, const Listed *pack, const PackUse *use)
{
	return use->live && pack->age >= c->config.grace && use->live * 100 < use->total * c->config.repack && !index_find(&c->sessions, &pack->id) &&
	       !condemned_has(&c->state, 'p', &pack->id);
}

/* What was moved before and is still where it was moved to. */
static int take_over(Repack *p, char **err)
{
	Collect *c = p->c;

	for (size_t i = 0; i < c->moved_list.n; i++) {
		const IndexPack *old = &c->moved_list.packs[i];
		ChunkTable copy = {0};
		bool there = inventory_find(&c->packs, &old->pack) != NULL;
		int r = 0;
		/* The whole table: rows have their offsets from those before. */
		for (size_t k = 0; r == 0 && there && k < old->table.n; k++)
			r = table_add(&copy, &old->table.rows[k]);
		if (r < 0) {
			table_release(&copy);
			return bv_fail(err, r, "not enough memory");
		}
		if (there && index_list_add(&p->list, &old->pack, &copy) < 0)
			return bv_fail(err, -ENOMEM, "not enough memory");
	}
	return 0;
}

/* The one index object of all that was moved; the ones before go when no snapshot names them. */
static int publish(Repack *p, char **err)
{
	Collect *c = p->c;
	CLEAN_BYTES Bytes plain = {0};
	SnapId *moved = malloc(sizeof *moved);
	int r = moved ? take_over(p, err) : bv_fail(err, -ENOMEM, "not enough memory");

	if (r == 0) {
		index_list_encode(&p->list, &plain);
		r = kept_save(c->s, c->coder, MAGIC_INDEX, index_name, &plain, moved, err);
	}
	if (r < 0) {
		free(moved);
		return r;
	}
	free(c->next.moved);
	c->next.moved = moved;
	c->next.n_moved = 1;
	c->changed = true;
	return 0;
}

int repack(Collect *c, char **err)
{
	Repack p = {.c = c};
	int r = index_init(&p.done) < 0 ? bv_fail(err, -ENOMEM, "not enough memory") : 0;

	for (size_t i = 0; r == 0 && i < c->tables.n; i++) {
		const IndexPack *from = &c->tables.packs[i];
		const Listed *pack = inventory_find(&c->packs, &from->pack);
		if (!pack || !is_mostly_dead(c, pack, &c->uses[pack - c->packs.all]))
			continue;
		c->uses[pack - c->packs.all].live = 0; /* once */
		c->result.repacked++;
		if (c->config.dry_run)
			continue;
		r = copy_pack(&p, from, pack->size, err);
		if (r == 0)
			r = condemn(c, 'p', &pack->id);
	}
	if (r == 0)
		r = send(&p, err);
	if (r == 0 && p.list.n)
		r = publish(&p, err);
	bytes_release(&p.pack);
	table_release(&p.table);
	index_list_release(&p.list);
	index_release(&p.done);
	return r;
}
