/* snapshot/writer_index.c - what the parent has, and the index of what is new. Runs on the caller's thread, when no worker is busy. */
#include "snapshot/writer.h"

/* The tables of one index object go into `known`, but for packs that are condemned. */
static int load_one(SnapWriter *w, const SnapId *id, char **err)
{
	ParentIndex *p = &w->parents[w->n_parents];
	IndexList list;
	size_t n;
	char *why = NULL;
	int r = kept_load_index(w->store, w->coder, id, &list, &n, &why);

	if (r == -ENOENT || r == -EBADMSG) { /* what only it knows is stored again; fsck tells of it */
		free(why);
		return 0;
	}
	r = err_settle(err, &why, r);
	if (r < 0)
		return r;
	bool condemned = condemned_has(&w->condemned, 'i', id);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		/* One that lists such a pack is written anew without it: readers take the first place that they find. */
		if (condemned_has(&w->condemned, 'p', &list.packs[i].pack))
			condemned = true;
		else
			r = index_add(&w->known, &list.packs[i].pack, &list.packs[i].table);
	}
	index_list_release(&list);
	if (r < 0)
		return bv_fail(err, r, "not enough memory for the parent's index");
	*p = (ParentIndex){*id, n, condemned};
	w->n_parents++;
	return 0;
}

static bool is_moved(const SnapWriter *w, const SnapId *id)
{
	for (size_t i = 0; i < w->condemned.n_moved; i++)
		if (id_equal(&w->condemned.moved[i], id))
			return true;
	return false;
}

/* Where chunks were moved to counts before what the parent says. */
int parents_load(SnapWriter *w, char **err)
{
	size_t n = w->condemned.n_moved + w->parent.n_index;
	int r = 0;

	if (!w->config.parent)
		return 0;
	w->parents = calloc(n + 1, sizeof *w->parents);
	if (!w->parents)
		return bv_fail(err, -ENOMEM, "not enough memory");
	for (size_t i = 0; r == 0 && i < w->condemned.n_moved; i++)
		r = load_one(w, &w->condemned.moved[i], err);
	for (size_t i = 0; r == 0 && i < w->parent.n_index; i++)
		if (!is_moved(w, &w->parent.index[i]))
			r = load_one(w, &w->parent.index[i], err);
	w->shared = r == 0 ? calloc(w->known.n_packs + 1, sizeof *w->shared) : NULL;
	return r == 0 && !w->shared ? bv_fail(err, -ENOMEM, "not enough memory") : r;
}

static int absorb(SnapWriter *w, const ParentIndex *p, IndexList *into, char **err)
{
	IndexList list;
	int r = kept_load_index(w->store, w->coder, &p->id, &list, NULL, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.n; i++)
		if (!condemned_has(&w->condemned, 'p', &list.packs[i].pack))
			r = index_list_add(into, &list.packs[i].pack, &list.packs[i].table);
	index_list_release(&list);
	return r < 0 ? bv_fail(err, r, "not enough memory") : 0;
}

/* Which of the parent's index objects go into the new one: those that are condemned, and the last ones as long as they are not much longer than what goes
 * into it anyway. So their number stays logarithmic, and each entry is written again a logarithmic number of times. */
static int merge(SnapWriter *w, IndexList *into, size_t *kept, char **err)
{
	bool any = into->n > 0;
	CLEAN_BYTES Bytes size = {0};
	int r = 0;

	for (size_t i = 0; i < w->n_parents; i++)
		any = any || w->parents[i].condemned;
	*kept = w->n_parents;
	index_list_encode(into, &size);
	size_t total = size.len;
	while (r == 0 && any && *kept && w->parents[*kept - 1].n <= 2 * total) {
		ParentIndex *p = &w->parents[--*kept];
		total += p->n;
		r = absorb(w, p, into, err);
	}
	for (size_t i = 0; r == 0 && i < *kept; i++)
		if (w->parents[i].condemned)
			r = absorb(w, &w->parents[i], into, err);
	return r;
}

int index_publish(SnapWriter *w, SnapInfo *info, char **err)
{
	CLEAN_BYTES Bytes plain = {0};
	size_t kept = 0;
	int r = merge(w, &w->packs, &kept, err);

	if (r < 0)
		return r;
	info->index = calloc(w->n_parents + 1, sizeof *info->index);
	if (!info->index)
		return bv_fail(err, -ENOMEM, "not enough memory");
	for (size_t i = 0; i < kept; i++)
		if (!w->parents[i].condemned)
			info->index[info->n_index++] = w->parents[i].id;
	if (w->packs.n == 0)
		return 0;
	index_list_encode(&w->packs, &plain);
	return kept_save(w->store, w->coder, MAGIC_INDEX, index_name, &plain, &info->index[info->n_index++], err);
}

/* What the new snapshot stands on: packs of the parent and its own, and index objects. */
static bool stands_on(const SnapWriter *w, const CondemnedName *name)
{
	if (name->kind == 'p') {
		for (size_t i = 0; i < w->known.n_packs; i++)
			if (w->shared[i] && id_equal(&w->known.packs[i], &name->id))
				return true;
		for (size_t i = 0; i < w->packs.n; i++)
			if (id_equal(&w->packs.packs[i].pack, &name->id))
				return true;
	}
	for (size_t i = 0; name->kind == 'i' && i < w->n_parents; i++)
		if (!w->parents[i].condemned && id_equal(&w->parents[i].id, &name->id))
			return true;
	return false;
}

int recheck_condemned(SnapWriter *w, char **err)
{
	int64_t now = boot_seconds();
	Condemned fresh;

	if (now - w->checked < SESSION_SECONDS)
		return 0;
	int r = condemned_since(w->store, w->coder, w->condemned.number, &fresh, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < fresh.n; i++)
		if (stands_on(w, &fresh.names[i]))
			r = bv_fail(err, -ESTALE, "the snapshot took so long that some of what it shares with older ones is being removed: take it again");
	condemned_release(&fresh);
	w->checked = now;
	return r;
}
