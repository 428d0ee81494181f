/* snapshot/check.c - fsck: is all that refs lead to there, and is it what was stored?
 *
 * Packs are looked at one by one (`good` is what they hold, under an id mixed from the chunk's and the pack's); then each snapshot is walked, and each chunk must be
 * in `good` where the snapshot's index says. Pieces that several snapshots share are walked once; only if something is wrong, each snapshot is walked as
 * a whole once more, so that all that are hurt are named. Everything belongs to one call. */
#include "snapshot/inventory.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Check {
	SnapStore *s;
	const SnapCheckConfig *config;
	SnapCheckResult result;
	Coder *coder;
	Inventory packs;
	SnapIndex good, pieces;
	SnapIndex told; /* damaged chunks and index objects that were reported */
	/* of the snapshot that is walked */
	SnapReader *r;
	bool again; /* second pass: walk everything, report nothing but hurt */
	char *lacks;
	bool failed; /* out of memory */
} Check;

static void damage(Check *c, const char *object, const char *message)
{
	if (c->again)
		return;
	c->result.damaged++;
	if (c->config->damage)
		c->config->damage(c->config->ctx, object, message);
}

static void lack(Check *c, const char *message)
{
	if (!c->lacks)
		c->lacks = strdup(message ? message : "not enough memory");
}

static void step(Check *c, const char *what, uint64_t done, uint64_t total)
{
	if (c->config->step)
		c->config->step(c->config->ctx, what, done, total);
}

static SnapId mixed(const SnapId *chunk, const SnapId *pack)
{
	SnapId id;

	for (size_t i = 0; i < sizeof id.b; i++)
		id.b[i] = chunk->b[i] ^ pack->b[(i + 7) % sizeof id.b];
	return id;
}

/* Rows that are right go into `good`. */
static int keep_good(Check *c, const SnapId *pack, ChunkTable *table)
{
	for (size_t i = 0; i < table->n; i++)
		table->rows[i].id = mixed(&table->rows[i].id, pack);
	return index_add(&c->good, pack, table);
}

static int check_chunk(Check *c, const ChunkRow *row, const uint8_t *stored, const char *name)
{
	CLEAN_FREE uint8_t *plain = malloc((size_t)row->plain + 1);
	char hex[65], what[32];
	SnapId id;

	if (!plain)
		return -ENOMEM;
	int r = coder_decode(c->coder, row->flags, stored, row->stored, plain, row->plain);
	if (r == 0)
		r = coder_id(c->coder, plain, row->plain, &id);
	if (r == 0 && id_equal(&id, &row->id))
		return 1;
	if (r < 0 && r != -EBADMSG)
		return r;
	id_hex(&row->id, hex);
	snprintf(what, sizeof what, "chunk %.16s", hex);
	CLEAN_FREE char *message = bv_asprintf("%s: its bytes in %s are not those that were stored", what, name);
	damage(c, what, message);
	return 0;
}

/* The whole pack. */
static int read_pack(Check *c, const Listed *pack, const char *name, ChunkTable *table, char **why)
{
	CLEAN_FREE uint8_t *body = NULL;
	uint64_t tail;
	size_t n, kept = 0;
	SnapId sum;
	int r = kept_get(c->s, name, 0, 0, &body, &n, NULL, why);

	if (r < 0)
		return r;
	c->result.bytes += n;
	if (n < PACK_HEAD + PACK_TRAILER)
		return bv_fail(why, -EBADMSG, "%s is damaged: it is too short", name);
	r = coder_hash(c->coder, body, n, &sum);
	if (r == 0 && !id_equal(&sum, &pack->id))
		damage(c, name, "its bytes are not those that it is named after");
	if (r == 0)
		r = magic_check(body, n, MAGIC_PACK, name, why);
	if (r == 0)
		r = pack_trailer(body + n - PACK_TRAILER, n, name, &tail, why);
	if (r == 0)
		r = pack_table(c->coder, body + (n - tail), (size_t)tail, n, name, table, why);
	for (size_t i = 0; r >= 0 && i < table->n; i++) {
		r = check_chunk(c, &table->rows[i], body + table->rows[i].offset, name);
		if (r == 1)
			table->rows[kept++] = table->rows[i];
	}
	table->n = r < 0 ? 0 : kept;
	return MIN(r, 0);
}

static int check_pack(Check *c, const Listed *pack, char **err)
{
	ChunkTable table = {0};
	ObjectName name;
	char *why = NULL;

	pack_name(&pack->id, name);
	int r = c->config->read_data ? read_pack(c, pack, name, &table, &why) : read_pack_table(c->s, c->coder, &pack->id, pack->size, &table, &why);
	c->result.packs++;
	if (r == -EBADMSG || r == -ENOENT || r == -EPROTO) {
		damage(c, name, why);
		r = 0;
	} else if (r < 0) {
		bv_fail(err, r, "%s", why ? why : strerror(-r));
	} else if (keep_good(c, &pack->id, &table) < 0) {
		r = bv_fail(err, -ENOMEM, "not enough memory");
	}
	free(why);
	table_release(&table);
	return r;
}

static bool enter_piece(void *ctx, const SnapId *piece)
{
	Check *c = ctx;

	if (c->again)
		return true;
	int r = index_claim(&c->pieces, piece);
	c->failed |= r < 0;
	c->result.pieces += r == 1;
	return r != 0;
}

static int lost_piece(void *ctx, const SnapId *piece, int error, const char *message)
{
	Check *c = ctx;
	char hex[65], what[40];

	if (error != -EBADMSG && error != -ENOENT && error != -EPROTO)
		return error;
	id_hex(piece, hex);
	snprintf(what, sizeof what, "piece %.16s", hex);
	damage(c, what, message ? message : "it cannot be read");
	lack(c, message);
	return 0;
}

static bool rows_agree(const ChunkPlace *a, const ChunkPlace *b)
{
	return a->offset == b->offset && a->stored == b->stored && a->plain == b->plain && a->flags == b->flags;
}

/* Whether a chunk is where an index says; message if not. */
static char *look_for(Check *c, const SnapIndex *index, const ContentChunk *chunk)
{
	const ChunkPlace *place = index_find(index, &chunk->id);
	ObjectName name;
	char hex[65];

	id_hex(&chunk->id, hex);
	if (!place)
		return bv_asprintf("chunk %.16s is in no index of the snapshot", hex);
	const SnapId *pack = &index->packs[place->pack];
	SnapId mix = mixed(&chunk->id, pack);
	const ChunkPlace *there = index_find(&c->good, &mix);
	if (there && rows_agree(place, there) && place->plain == chunk->length)
		return NULL;
	pack_name(pack, name);
	return bv_asprintf("chunk %.16s is damaged or missing in %s", hex, name);
}

static int take_chunk(void *ctx, const Want *want, const uint8_t *plain)
{
	(void)ctx;
	(void)want;
	(void)plain;
	return 0;
}

/* The last word: a pack may have lost its table, and the chunk be whole. */
static bool can_be_read(Check *c, const ContentChunk *chunk)
{
	Want want = {.id = chunk->id, .plain = chunk->length};

	return fetch_chunks(c->r, c->coder, &want, 1, &(FetchSink){.got = take_chunk}, NULL) == 0;
}

static int visit_chunk(void *ctx, const ContentChunk *chunk)
{
	Check *c = ctx;
	char hex[65], what[32];

	c->result.chunks += !c->again;
	CLEAN_FREE char *message = look_for(c, &c->r->index, chunk);
	if (!message)
		return 0;
	if (c->r->moved.slots) { /* where a walk had to look, too */
		CLEAN_FREE char *moved = look_for(c, &c->r->moved, chunk);
		if (!moved)
			return 0;
	}
	if (can_be_read(c, chunk))
		return 0;
	lack(c, message);
	int r = index_claim(&c->told, &chunk->id);
	if (r == 1) {
		id_hex(&chunk->id, hex);
		snprintf(what, sizeof what, "chunk %.16s", hex);
		damage(c, what, message);
	}
	return MIN(r, 0);
}

static int visit_record(void *ctx, const Record *record)
{
	Check *c = ctx;
	CLEAN_FREE char *why = NULL;

	if (!record->content_len)
		return 0;
	int r = content_chunks(c->r, c->coder, record->content, record->content_len, visit_chunk, c, &why);
	if (r == -EBADMSG || r == -ENOENT) {
		damage(c, "content", why);
		lack(c, why);
		return 0;
	}
	return r;
}

/* Chunks that were moved count where they are now. */
static int load_moved(Check *c)
{
	Condemned condemned;
	int r = condemned_load(c->s, c->coder, &condemned, NULL);

	if (r < 0)
		return 0; /* then what is missing is missing */
	if (condemned.n_moved)
		r = index_init(&c->r->moved);
	for (size_t i = 0; r == 0 && i < condemned.n_moved; i++) {
		IndexList list = {0};
		if (kept_load_index(c->s, c->coder, &condemned.moved[i], &list, NULL, NULL) < 0)
			continue;
		for (size_t k = 0; r == 0 && k < list.n; k++)
			r = index_add(&c->r->moved, &list.packs[k].pack, &list.packs[k].table);
		index_list_release(&list);
	}
	condemned_release(&condemned);
	return r;
}

static bool is_damage(int r)
{
	return r == -EBADMSG || r == -ENOENT || r == -EPROTO;
}

static int check_snapshot(Check *c, const SnapId *id, char **err)
{
	char *why = NULL;
	ObjectName name;
	int r = snap_reader_open(c->s, id, &c->r, &why);

	snapshot_name(id, name);
	if (r == 0 && c->r->index_error && index_claim(&c->told, id) == 1)
		damage(c, name, c->r->index_error);
	if (r == 0)
		r = load_moved(c);
	if (r == 0)
		r = reader_visit(c->r, &(PieceVisitor){enter_piece, visit_record, lost_piece, c, NULL, 0}, &why);
	if (is_damage(r)) {
		damage(c, name, why);
		lack(c, why);
		r = 0;
	}
	if (r < 0)
		bv_fail(err, r, "%s", why ? why : strerror(-r));
	free(why);
	snap_reader_close(c->r);
	c->r = NULL;
	return c->failed ? bv_fail(err, -ENOMEM, "not enough memory") : r;
}

static int check_refs(Check *c, const RefList *refs, char **err)
{
	static const SnapId none;
	SnapIndex seen;
	int r = index_init(&seen);

	for (size_t i = 0; r >= 0 && i < refs->n; i++) {
		const SnapRef *ref = &refs->all[i];
		bool damaged = id_equal(&ref->id, &none);
		step(c, c->again ? "damaged snapshots" : "snapshots", i, refs->n);
		if (damaged) {
			CLEAN_FREE char *name = bv_asprintf("refs/%s/%016" PRIx64, ref->name, ref->number);
			damage(c, name, "its checksum is wrong");
			lack(c, "the ref itself is damaged");
		} else if (c->again || (r = index_claim(&seen, &ref->id)) == 1) {
			r = check_snapshot(c, &ref->id, err);
			c->result.snapshots += !c->again;
		}
		if (c->again && c->lacks) {
			c->result.hurt++;
			if (c->config->hurt)
				c->config->hurt(c->config->ctx, ref, c->lacks);
		}
		free(TAKE_PTR(c->lacks));
	}
	index_release(&seen);
	return MIN(r, 0);
}

/* The state of collections: a damaged one hurts no snapshot, but nothing is collected any more. */
static int check_collections(Check *c)
{
	Condemned condemned = {0};
	CLEAN_FREE char *why = NULL;
	int r = condemned_load(c->s, c->coder, &condemned, &why);

	for (size_t i = 0; r == 0 && i < condemned.n_moved; i++) {
		IndexList list = {0};
		r = kept_load_index(c->s, c->coder, &condemned.moved[i], &list, NULL, &why);
		index_list_release(&list);
	}
	condemned_release(&condemned);
	if (is_damage(r))
		damage(c, COLLECT_LOG, why);
	return is_damage(r) ? 0 : r;
}

int snap_check(SnapStore *s, const SnapCheckConfig *config, SnapCheckResult *out, char **err)
{
	Check c = {.s = s, .config = config};
	RefList refs = {0};
	int r = coder_new(s->key, &c.coder);

	if (r < 0 || index_init(&c.good) < 0 || index_init(&c.pieces) < 0 || index_init(&c.told) < 0)
		r = bv_fail(err, -ENOMEM, "not enough memory");
	if (r == 0)
		r = ref_list_all(s, &refs, err);
	if (r == 0)
		r = inventory_list(s, "packs/", &c.packs, err);
	for (size_t i = 0; r == 0 && i < c.packs.n; i++) {
		step(&c, "packs", i, c.packs.n);
		r = check_pack(&c, &c.packs.all[i], err);
	}
	if (r == 0)
		r = check_collections(&c);
	if (r == 0)
		r = check_refs(&c, &refs, err);
	c.again = true;
	if (r == 0 && c.result.damaged)
		r = check_refs(&c, &refs, err);
	c.result.refs = refs.n;
	if (r == 0)
		*out = c.result;
	free(refs.all);
	free(c.lacks);
	inventory_release(&c.packs);
	index_release(&c.good);
	index_release(&c.pieces);
	index_release(&c.told);
	coder_free(c.coder);
	return r;
}
