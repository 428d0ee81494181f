/* snapshot/collect.c - one round of collection. The order of the steps, and why it is so: docs/SNAPSHOT_FORMAT.md, "Collection".
 *
 *   state, sessions, refs, mark (what can be reached, also by snapshots without a name that are not listed), list (what is there), remove what was
 *   condemned long ago and is not reached, repack, publish what is condemned now.
 *
 * An error before `remove` changes nothing. Everything belongs to one call. */
#include "snapshot/collect.h"

#include <inttypes.h>

static int no_memory(char **err)
{
	return bv_fail(err, -ENOMEM, "not enough memory");
}

static void step(const Collect *c, const char *what, uint64_t done, uint64_t total)
{
	if (c->config.step)
		c->config.step(c->config.ctx, what, done, total);
}

/* A name of the new state. */
static int keep_name(Collect *c, const CondemnedName *name)
{
	CondemnedName *more = realloc(c->next.names, (c->next.n + 1) * sizeof *more);

	if (!more)
		return -ENOMEM;
	c->next.names = more;
	more[c->next.n++] = *name;
	return 0;
}

int condemn(Collect *c, uint8_t kind, const SnapId *id)
{
	c->result.condemned++;
	c->changed = true;
	return keep_name(c, &(CondemnedName){.kind = kind, .id = *id, .since = c->state.number + 1});
}

/* ---- sessions, before refs: one that has ended by now has published its ref ---- */
typedef struct Names {
	char **all;
	int64_t *ages;
	size_t n;
} Names;

static int note_name(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Names *names = ctx;
	char **all = realloc(names->all, (names->n + 1) * sizeof *all);

	(void)size;
	if (all)
		names->all = all;
	int64_t *ages = realloc(names->ages, (names->n + 1) * sizeof *ages);
	if (ages)
		names->ages = ages;
	char *copy = strdup(name);
	if (!all || !ages || !copy) {
		free(copy);
		return -ENOMEM;
	}
	all[names->n] = copy;
	ages[names->n++] = age;
	return 0;
}

static void names_release(Names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i]);
	free(names->all);
	free(names->ages);
}

static int read_session(Collect *c, const char *name, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	size_t n;
	SnapId id;
	int r = kept_get_maybe(c->s, name, &body, &n, err);

	if (r == -ENOENT) /* it ends: its ref is there */
		return 0;
	Cursor in = cursor_of(body, r < 0 ? 0 : n);
	while (r >= 0 && cursor_left(&in) && cursor_id(&in, &id))
		r = index_claim(&c->sessions, &id);
	return r == -ENOMEM ? no_memory(err) : MIN(r, 0);
}

static int read_sessions(Collect *c, char **err)
{
	Names names = {0};
	int r = kept_list(c->s, SESSIONS, note_name, &names, err);

	for (size_t i = 0; r == 0 && i < names.n; i++) {
		if (names.ages[i] < SNAP_GRACE)
			r = read_session(c, names.all[i], err);
		else if (!c->config.dry_run) /* its writer is gone, or will find that it was too slow */
			r = kept_delete(c->s, names.all[i], err);
	}
	names_release(&names);
	return r;
}

/* ---- mark ---- */
/* Snapshots that have no ref yet, or lost theirs: as long as they are not condemned, somebody may give them one. A damaged one is no reason to stop. */
static int mark_nameless(Collect *c, char **err)
{
	int r = inventory_list(c->s, "snapshots/", &c->snapshots, err);

	for (size_t i = 0; r == 0 && i < c->snapshots.n; i++) {
		const SnapId *id = &c->snapshots.all[i].id;
		char *why = NULL;
		if (condemned_has(&c->state, 's', id))
			continue;
		r = mark_snapshot(c->s, &c->mark, id, &why);
		if (r == -EBADMSG || r == -ENOENT || r == -EPROTO || r == -ENOKEY)
			r = 0;
		if (r < 0)
			bv_fail(err, r, "%s", why ? why : strerror(-r));
		free(why);
	}
	c->result.snapshots = c->referenced.n;
	return r;
}

static int mark_all(Collect *c, char **err)
{
	static const SnapId none;
	RefList refs = {0};
	int r = ref_list_all(c->s, &refs, err);

	for (size_t i = 0; r == 0 && i < refs.n; i++) {
		const SnapRef *ref = &refs.all[i];
		step(c, "snapshots", i, refs.n);
		if (id_equal(&ref->id, &none))
			r = bv_fail(err, -EBADMSG, "refs/%s/%016" PRIx64 " is damaged: nothing was collected, as it may be needed", ref->name, ref->number);
		else if (index_claim(&c->referenced, &ref->id) < 0)
			r = no_memory(err);
		else
			r = mark_snapshot(c->s, &c->mark, &ref->id, err);
	}
	free(refs.all);
	return r < 0 ? r : mark_nameless(c, err);
}

static int add_tables(Collect *c, const SnapId *id, IndexList *into, char **err)
{
	IndexList list;
	int r = kept_load_index(c->s, c->coder, id, &list, NULL, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = index_list_add(into, &list.packs[i].pack, &list.packs[i].table);
	index_list_release(&list);
	return r < 0 ? no_memory(err) : 0;
}

/* What was moved into a pack that is gone, or may go, does not count as moved: it may be needed again where it was before. */
static int note_moved(Collect *c, char **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->moved_list.n; i++) {
		const IndexPack *p = &c->moved_list.packs[i];
		if (inventory_find(&c->packs, &p->pack) && !condemned_has(&c->state, 'p', &p->pack))
			r = index_add(&c->moved, &p->pack, &p->table);
	}
	return r < 0 ? no_memory(err) : 0;
}

static int load_tables(Collect *c, char **err)
{
	int r = inventory_list(c->s, "packs/", &c->packs, err);

	for (size_t i = 0; r == 0 && i < c->state.n_moved; i++)
		r = add_tables(c, &c->state.moved[i], &c->moved_list, err);
	if (r == 0)
		r = note_moved(c, err);
	for (size_t i = 0; r == 0 && i < c->state.n_moved; i++)
		r = add_tables(c, &c->state.moved[i], &c->tables, err);
	for (size_t i = 0; r == 0 && i <= c->mark.indexes.mask; i++)
		if (c->mark.indexes.slots[i].used)
			r = add_tables(c, &c->mark.indexes.slots[i].id, &c->tables, err);
	return r;
}

bool is_live(const Collect *c, const SnapId *pack, const ChunkRow *row)
{
	const ChunkPlace *moved = index_find(&c->moved, &row->id);

	return index_find(&c->mark.ids, &row->id) && (!moved || id_equal(&c->moved.packs[moved->pack], pack));
}

static int measure(Collect *c, char **err)
{
	int r = inventory_list(c->s, "index/", &c->indexes, err);

	if (r < 0)
		return r;
	c->uses = calloc(c->packs.n + 1, sizeof *c->uses);
	if (!c->uses)
		return no_memory(err);
	for (size_t i = 0; i < c->tables.n; i++) {
		const IndexPack *p = &c->tables.packs[i];
		const Listed *pack = inventory_find(&c->packs, &p->pack);
		PackUse *use = pack ? &c->uses[pack - c->packs.all] : NULL;
		if (!use || use->listed) /* several index objects may list it */
			continue;
		use->listed = true;
		for (size_t k = 0; k < p->table.n; k++) {
			use->total += p->table.rows[k].stored;
			use->live += is_live(c, &p->pack, &p->table.rows[k]) ? p->table.rows[k].stored : 0;
		}
	}
	for (size_t i = 0; i < c->packs.n; i++) {
		c->result.live_packs += c->uses[i].live > 0;
		c->result.live_bytes += c->uses[i].live;
	}
	return 0;
}

/* ---- what is dead ---- */
static bool is_moved_index(const Condemned *state, const SnapId *id)
{
	for (size_t i = 0; i < state->n_moved; i++)
		if (id_equal(&state->moved[i], id))
			return true;
	return false;
}

static bool is_dead(const Collect *c, uint8_t kind, const Listed *object)
{
	if (kind == 'p')
		return c->uses[object - c->packs.all].live == 0 && !index_find(&c->sessions, &object->id);
	if (kind == 'i')
		return !index_find(&c->mark.indexes, &object->id) && !is_moved_index(&c->state, &object->id) && !is_moved_index(&c->next, &object->id);
	return !index_find(&c->referenced, &object->id);
}

/* ---- remove ---- */
typedef struct Ages {
	uint64_t *numbers;
	int64_t *ages;
	size_t n;
} Ages;

static int note_generation(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Ages *a = ctx;
	uint64_t number;

	(void)size;
	if (log_number(name, &number) < 0)
		return 0;
	uint64_t *numbers = realloc(a->numbers, (a->n + 1) * sizeof *numbers);
	if (numbers)
		a->numbers = numbers;
	int64_t *ages = realloc(a->ages, (a->n + 1) * sizeof *ages);
	if (ages)
		a->ages = ages;
	if (!numbers || !ages)
		return -ENOMEM;
	numbers[a->n] = number;
	ages[a->n++] = age;
	return 0;
}

/* A generation that is not shown has no age: what it condemned stays. */
static bool is_due(const Collect *c, const Ages *ages, const CondemnedName *name)
{
	for (size_t i = 0; i < ages->n; i++)
		if (ages->numbers[i] == name->since)
			return ages->ages[i] >= c->config.grace;
	return false;
}

static const Inventory *inventory_of(const Collect *c, uint8_t kind)
{
	return kind == 'p' ? &c->packs : kind == 'i' ? &c->indexes : &c->snapshots;
}

static int remove_one(Collect *c, const CondemnedName *name, uint64_t size, char **err)
{
	ObjectName object;

	/* What others may have done since refs were read is bounded by this (docs/SNAPSHOT_FORMAT.md). */
	if (!c->config.alone && boot_seconds() - c->began > c->config.grace / 2)
		return bv_fail(err, -ESTALE, "collection took so long that what it knows is stale: run it again, with a longer grace period");
	(name->kind == 'p' ? pack_name : name->kind == 'i' ? index_name : snapshot_name)(&name->id, object);
	int r = c->config.dry_run ? 0 : kept_delete(c->s, object, err);
	if (r == 0) {
		step(c, "objects removed", ++c->result.removed, 0);
		c->result.removed_bytes += size;
	}
	return r;
}

/* Packs that index objects list, those too that are to go: a writer may still have any of them as its parent's. */
static int list_packs(Collect *c, SnapIndex *listed, char **err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->tables.n; i++)
		r = index_claim(listed, &c->tables.packs[i].pack);
	for (size_t i = 0; r >= 0 && i < c->indexes.n; i++) {
		IndexList list = {0};
		char *why = NULL;
		if (!is_dead(c, 'i', &c->indexes.all[i]))
			continue;
		r = kept_load_index(c->s, c->coder, &c->indexes.all[i].id, &list, NULL, &why);
		if (r == -ENOENT) { /* another collector has removed it */
			free(why);
			r = 0;
			continue;
		}
		r = err_settle(err, &why, r);
		for (size_t k = 0; r >= 0 && k < list.n; k++)
			r = index_claim(listed, &list.packs[k].pack);
		index_list_release(&list);
	}
	return r == -ENOMEM ? no_memory(err) : MIN(r, 0);
}

/* A pack that is gone stays condemned as long as an index object lists it, as a writer would share what it held. */
static int keep_gone(Collect *c, char **err)
{
	SnapIndex listed = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->state.n; i++) {
		const CondemnedName *name = &c->state.names[i];
		if (name->kind != 'p' || inventory_find(&c->packs, &name->id))
			continue;
		if (!listed.slots) {
			r = index_init(&listed) < 0 ? no_memory(err) : list_packs(c, &listed, err);
			if (r < 0)
				break;
		}
		if (!index_find(&listed, &name->id))
			c->changed = true;
		else if (keep_name(c, name) < 0)
			r = no_memory(err);
	}
	index_release(&listed);
	return r;
}

/* One name of the old state whose object is there. */
static int settle_name(Collect *c, const CondemnedName *name, const Listed *there, const Ages *ages, char **err)
{
	bool dead = is_dead(c, name->kind, there), old = is_due(c, ages, name);
	CondemnedName next = *name;
	int r = 0;

	if (!dead && name->spared && old) { /* no collector that still thinks otherwise is at work */
		c->changed = true;
		return 0;
	}
	if (dead == name->spared) { /* needed again, or not needed after all: from now on */
		next.spared = !dead;
		next.since = c->state.number + 1;
		c->changed = true;
	} else if (dead && old) {
		r = remove_one(c, name, there->size, err);
		if (name->kind != 'p') { /* a pack: keep_gone's, from the next round on */
			c->changed = true;
			return r;
		}
	}
	return r == 0 && keep_name(c, &next) < 0 ? no_memory(err) : r;
}

/* Snapshots, then index objects, then packs: in the reverse order of writing. What is left of the old state goes into the new one. */
static int remove_due(Collect *c, const Ages *ages, char **err)
{
	int r = 0;

	for (const char *kind = "sip"; r == 0 && *kind; kind++) {
		for (size_t i = 0; r == 0 && i < c->state.n; i++) {
			const CondemnedName *name = &c->state.names[i];
			const Listed *there = name->kind == (uint8_t)*kind ? inventory_find(inventory_of(c, name->kind), &name->id) : NULL;
			if (there)
				r = settle_name(c, name, there, ages, err);
			else if (name->kind == (uint8_t)*kind && name->kind != 'p')
				c->changed = true; /* gone */
		}
	}
	return r;
}

static int condemn_dead(Collect *c, uint8_t kind, char **err)
{
	const Inventory *inventory = inventory_of(c, kind);

	for (size_t i = 0; i < inventory->n; i++) {
		const Listed *object = &inventory->all[i];
		bool known = condemned_has(&c->state, kind, &object->id);
		if (known || object->age < c->config.grace || !is_dead(c, kind, object))
			continue;
		if (condemn(c, kind, &object->id) < 0)
			return no_memory(err);
	}
	return 0;
}

static int run(Collect *c, char **err)
{
	Ages ages = {0};
	c->began = boot_seconds();
	int r = condemned_load(c->s, c->coder, &c->state, err);

	/* Now, not when they are needed: what is due must have been so before refs were read, however long that takes. */
	if (r == 0)
		r = kept_list(c->s, COLLECT_LOG "/", note_generation, &ages, err);
	if (r == 0)
		r = read_sessions(c, err);
	if (r == 0)
		r = mark_all(c, err);
	if (r == 0)
		r = load_tables(c, err);
	if (r == 0)
		r = measure(c, err);
	c->next.number = c->state.number;
	c->next.moved = r == 0 ? malloc((c->state.n_moved + 1) * sizeof *c->next.moved) : NULL;
	if (r == 0 && !c->next.moved)
		r = no_memory(err);
	if (r == 0 && c->state.n_moved)
		memcpy(c->next.moved, c->state.moved, c->state.n_moved * sizeof *c->next.moved);
	if (r == 0)
		c->next.n_moved = c->state.n_moved;
	if (r == 0)
		r = keep_gone(c, err);
	if (r == 0)
		r = remove_due(c, &ages, err);
	for (const char *kind = "sip"; r == 0 && *kind; kind++)
		r = condemn_dead(c, (uint8_t)*kind, err);
	if (r == 0 && c->config.repack <= 100)
		r = repack(c, err);
	if (r == 0 && c->changed && !c->config.dry_run)
		r = condemned_append(c->s, c->coder, &c->next, err);
	free(ages.numbers);
	free(ages.ages);
	return r;
}

int snap_collect(SnapStore *s, const SnapCollectConfig *config, SnapCollectResult *out, char **err)
{
	Collect c = {.s = s, .config = *config};
	int r;

	if (config->grace && config->grace < SNAP_GRACE && !config->alone)
		return bv_fail(err, -EINVAL, "a grace period of less than %d s would take what others are about to use: only if nobody else writes here", SNAP_GRACE);
	if (!config->grace && !config->alone)
		c.config.grace = SNAP_GRACE;
	if (!c.config.repack)
		c.config.repack = 50;
	r = coder_new(s->key, &c.coder);
	if (r < 0 || index_init(&c.sessions) < 0 || index_init(&c.referenced) < 0 || mark_init(&c.mark) < 0 || index_init(&c.moved) < 0)
		r = no_memory(err);
	if (r == 0)
		r = run(&c, err);
	if (r == 0)
		*out = c.result;
	condemned_release(&c.state);
	condemned_release(&c.next);
	index_release(&c.sessions);
	index_release(&c.referenced);
	mark_release(&c.mark);
	index_release(&c.moved);
	index_list_release(&c.moved_list);
	index_list_release(&c.tables);
	inventory_release(&c.packs);
	inventory_release(&c.indexes);
	inventory_release(&c.snapshots);
	free(c.uses);
	coder_free(c.coder);
	return r;
}
