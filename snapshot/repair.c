/* snapshot/repair.c - an index from the packs alone. It becomes one of those that the collector's state names, which readers ask when the ones that a snapshot names are
 * not there. Everything belongs to one call. */
#include "snapshot/inventory.h"

static int add_pack(SnapStore *s, Coder *coder, const Listed *pack, IndexList *list, char **err)
{
	ChunkTable table;
	char *why = NULL;
	int r = read_pack_table(s, coder, &pack->id, pack->size, &table, &why);

	if (r == -EBADMSG || r == -ENOENT) { /* fsck says so, and what it hurts */
		free(why);
		return 0;
	}
	r = err_settle(err, &why, r);
	if (r < 0)
		return r;
	r = index_list_add(list, &pack->id, &table);
	return r < 0 ? bv_fail(err, r, "not enough memory") : 0;
}

/* As the next generation after `state`, so that a collector that was faster is noticed. */
static int publish(SnapStore *s, Coder *coder, Condemned *state, const IndexList *list, char **err)
{
	CLEAN_BYTES Bytes plain = {0};
	SnapId *moved = malloc(sizeof *moved);

	if (!moved)
		return bv_fail(err, -ENOMEM, "not enough memory");
	free(state->moved);
	state->moved = moved;
	state->n_moved = 1;
	index_list_encode(list, &plain);
	int r = kept_save(s, coder, MAGIC_INDEX, index_name, &plain, moved, err);
	return r < 0 ? r : condemned_append(s, coder, state, err);
}

static int rebuild(SnapStore *s, Coder *coder, uint64_t *packs, char **err)
{
	Inventory inventory = {0};
	IndexList list = {0};
	Condemned state;
	int r = condemned_load(s, coder, &state, err);

	if (r < 0)
		return r;
	r = inventory_list(s, "packs/", &inventory, err);
	for (size_t i = 0; r == 0 && i < inventory.n; i++)
		if (!condemned_has(&state, 'p', &inventory.all[i].id)) /* what is needed of it is elsewhere */
			r = add_pack(s, coder, &inventory.all[i], &list, err);
	if (r == 0)
		r = publish(s, coder, &state, &list, err);
	if (r == 0)
		*packs = list.n;
	index_list_release(&list);
	inventory_release(&inventory);
	condemned_release(&state);
	return r;
}

int snap_rebuild_index(SnapStore *s, uint64_t *packs, char **err)
{
	Coder *coder;
	int r = coder_new(s->key, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	r = rebuild(s, coder, packs, err);
	coder_free(coder);
	return r;
}
