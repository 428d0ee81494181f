/* snapshot/copy.c - a snapshot from one store into another.
 *
 * The records are walked twice: first contents that the target lacks go to its writer, then the records with the references that those became. With the same key (or none on
 * both sides) ids are the same, so a reference whose chunks the target's parent has is taken as it is. Else nothing can be told from an id, but where the snapshot before was
 * copied, too, a record with the same reference as there has a known counterpart. All other contents are fetched, compared with their ids by the reader, and cut and
 * sealed anew by the writer.
 *
 * What is fetched waits in memory files of up to SPOOL_SMALL bytes, or one large one at a time in an unlinked file of $TMPDIR. Everything belongs to one call. */
#include "snapshot/housekeeping.h"

#include "base/hmap.h"
#include "snapshot/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

enum { FETCH_AT_ONCE = 64 };
#define SPOOL_SMALL ((uint64_t)1 << 20)

/* A record's content in the snapshot that was copied before, and in its copy. */
typedef struct Known {
	HmapNode node;
	size_t key_len, from_len, to_len;
	uint8_t *to;
	uint8_t bytes[]; /* key, reference there */
} Known;

typedef struct Copy {
	SnapStore *to;
	const SnapCopyConfig *config;
	bool same_key;
	SnapReader *reader;
	SnapWriter *writer;
	Hmap known; /* by key */
	uint64_t *numbers; /* of the writer, for each content in the order of records; AS_IT_IS, AS_KNOWN */
	size_t n, room, next;
	SnapFetch waiting[FETCH_AT_ONCE];
	size_t places[FETCH_AT_ONCE]; /* of numbers */
	size_t n_waiting;
	uint64_t done, total; /* bytes of contents */
	char **why;
} Copy;

#define AS_IT_IS UINT64_MAX
#define AS_KNOWN (UINT64_MAX - 1)

static int no_memory(char **err)
{
	return bv_fail(err, -ENOMEM, "not enough memory");
}

static int writer_failed(Copy *c, int code)
{
	const char *said = snap_writer_error(c->writer);

	return bv_fail(c->why, code, "%s", said ? said : strerror(-code));
}

/* ---- what the copy before knows ---- */

static Known *find_known(const Copy *c, const Record *record)
{
	if (!c->known.buckets)
		return NULL;
	for (HmapNode *n = hmap_first(&c->known, hash_bytes(record->key, record->key_len, 0)); n; n = hmap_next(n)) {
		Known *k = CONTAINER_OF(n, Known, node);
		if (k->key_len == record->key_len && memcmp(k->bytes, record->key, record->key_len) == 0)
			return k;
	}
	return NULL;
}

static int note_source(void *ctx, const Record *record)
{
	Copy *c = ctx;

	if (!record->content_len)
		return 0;
	Known *k = malloc(sizeof *k + record->key_len + record->content_len);
	if (!k)
		return no_memory(c->why);
	*k = (Known){.key_len = record->key_len, .from_len = record->content_len};
	memcpy(k->bytes, record->key, record->key_len);
	memcpy(k->bytes + record->key_len, record->content, record->content_len);
	hmap_insert(&c->known, &k->node, hash_bytes(record->key, record->key_len, 0));
	return 0;
}

static int note_target(void *ctx, const Record *record)
{
	Copy *c = ctx;
	Known *k = record->content_len ? find_known(c, record) : NULL;

	if (!k)
		return 0;
	k->to = malloc(record->content_len);
	if (!k->to)
		return no_memory(c->why);
	memcpy(k->to, record->content, record->content_len);
	k->to_len = record->content_len;
	return 0;
}

static int walk_all(SnapStore *s, const SnapId *id, int (*visit)(void *, const Record *), Copy *c)
{
	SnapReader *r;
	int e = snap_reader_open(s, id, &r, c->why);

	if (e < 0)
		return e;
	e = snap_reader_walk(r, NULL, 0, visit, c, c->why);
	snap_reader_close(r);
	return e;
}

static int load_known(Copy *c, SnapStore *from)
{
	if (c->same_key || !c->config->from_base || !c->config->to_base)
		return 0;
	int r = hmap_init(&c->known);
	if (r < 0)
		return no_memory(c->why);
	r = walk_all(from, c->config->from_base, note_source, c);
	return r < 0 ? r : walk_all(c->to, c->config->to_base, note_target, c);
}

/* ---- contents ---- */

static bool known_is(const Known *k, const Record *record)
{
	return k && k->to && k->from_len == record->content_len && memcmp(k->bytes + k->key_len, record->content, record->content_len) == 0;
}

static void progress(Copy *c, uint64_t bytes)
{
	c->done += bytes;
	if (c->config->step)
		c->config->step(c->config->ctx, c->config->what ? c->config->what : "bytes", c->done, c->total);
}

static int add_waiting(Copy *c)
{
	int r = c->n_waiting ? snap_reader_fetch_many(c->reader, c->waiting, c->n_waiting, c->why) : 0;

	for (size_t i = 0; i < c->n_waiting; i++) {
		free((void *)(uintptr_t)c->waiting[i].ref);
		if (r < 0) {
			close(c->waiting[i].fd);
			continue;
		}
		r = snap_writer_add_fd(c->writer, c->waiting[i].fd, &c->numbers[c->places[i]]);
		if (r < 0)
			writer_failed(c, r);
	}
	c->n_waiting = 0;
	return r;
}

static int spool_fd(char **err)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];

	dir = dir && *dir ? dir : "/var/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof path, "%s/bvisor-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && unlink(path) == 0)
		return fd;
	int code = bv_neg_errno();
	if (fd >= 0)
		close(fd);
	return bv_fail(err, code, "a large file needs room in %s, which cannot be written (%s): set TMPDIR to another directory", dir, strerror(-code));
}

/* One at a time: what is on the disk is at most one file. */
static int add_large(Copy *c, const Record *record)
{
	const uint8_t *ref;
	size_t len;
	int fd = spool_fd(c->why);

	if (fd < 0)
		return fd;
	int r = snap_reader_fetch_fd(c->reader, record->content, record->content_len, fd, c->why);
	if (r < 0) {
		close(fd);
		return r;
	}
	uint64_t *number = &c->numbers[c->n - 1];
	r = snap_writer_add_fd(c->writer, fd, number);
	if (r == 0)
		r = snap_writer_content(c->writer, *number, &ref, &len);
	return r < 0 ? writer_failed(c, r) : 0;
}

static int add_small(Copy *c, const Record *record)
{
	void *ref = malloc(record->content_len);
	int fd = ref ? memfd_create("content", MFD_CLOEXEC) : -1;

	if (fd < 0) {
		free(ref);
		return ref ? bv_fail(c->why, bv_neg_errno(), "no memory file: %s", strerror(errno)) : no_memory(c->why);
	}
	memcpy(ref, record->content, record->content_len);
	c->places[c->n_waiting] = c->n - 1;
	c->waiting[c->n_waiting++] = (SnapFetch){.ref = ref, .len = record->content_len, .fd = fd};
	return c->n_waiting < FETCH_AT_ONCE ? 0 : add_waiting(c);
}

/* Whether the target has it, so that nothing is read. Contents that stand in their record need no key. */
static int take_what_is_there(Copy *c, const Record *record, uint64_t *number)
{
	const uint8_t *kind = record->content;
	const Known *k = find_known(c, record);
	int r = 0;

	if (c->same_key || *kind == 0) {
		r = snap_writer_keep(c->writer, record->content, record->content_len);
		*number = AS_IT_IS;
	}
	if (r == 0 && known_is(k, record)) {
		r = snap_writer_keep(c->writer, k->to, k->to_len);
		*number = AS_KNOWN;
	}
	return r < 0 ? bv_fail(c->why, r, "a record of the snapshot is damaged") : r;
}

static int add_content(void *ctx, const Record *record)
{
	Copy *c = ctx;
	uint64_t size, number = 0;

	if (!record->content_len)
		return 0;
	if (snap_content_size(record->content, record->content_len, &size) < 0)
		return bv_fail(c->why, -EBADMSG, "a record of the snapshot is damaged: its content has no size");
	if (!BV_GROW(c->numbers, c->n, c->room))
		return no_memory(c->why);
	int r = take_what_is_there(c, record, &number);
	c->numbers[c->n++] = number;
	if (r == 0)
		r = size > SPOOL_SMALL ? add_large(c, record) : add_small(c, record);
	progress(c, size);
	return MIN(r, 0);
}

static int add_record(void *ctx, const Record *record)
{
	Copy *c = ctx;
	Record copy = *record;
	int r = 0;

	if (record->content_len) {
		uint64_t number = c->numbers[c->next++];
		const Known *k = number == AS_KNOWN ? find_known(c, record) : NULL;
		const uint8_t *ref;
		if (k) {
			copy.content = k->to;
			copy.content_len = k->to_len;
		} else if (number != AS_IT_IS) {
			r = snap_writer_content(c->writer, number, &ref, &copy.content_len);
			copy.content = r == 0 ? ref : NULL;
		}
	}
	if (r == 0)
		r = snap_writer_record(c->writer, &copy);
	return r < 0 ? writer_failed(c, r) : 0;
}

/* ---- the snapshot's own record ---- */

static int copy_field(void *ctx, const char *name, const uint8_t *value, size_t len)
{
	return snap_writer_field(ctx, name, value, len);
}

int snap_origin(const SnapInfo *info, char hex[65])
{
	const uint8_t *value;
	size_t n;
	int r = snap_info_field(info, "origin", &value, &n);

	if (r == -ENOENT) {
		id_hex(&info->id, hex);
		return 0;
	}
	if (r == 0 && n == 64)
		memcpy(hex, value, n);
	hex[64] = 0;
	return r < 0 ? r : n == 64 ? 0 : -EBADMSG;
}

static int copy_fields(Copy *c)
{
	const SnapInfo *info = snap_reader_info(c->reader);
	char origin[65];
	int r = snap_info_each(info, copy_field, c->writer);

	if (r == 0)
		r = snap_origin(info, origin);
	if (r == 0)
		r = snap_writer_field(c->writer, "origin", origin, 64);
	return r < 0 ? bv_fail(c->why, r, "what the snapshot says of itself is damaged") : 0;
}

static bool keys_are_same(const SnapKey *a, const SnapKey *b)
{
	return a == b || (a && b && memcmp(snap_key_id(a), snap_key_id(b), KEY_ID_SIZE) == 0);
}

static int run(Copy *c, SnapStore *from, const SnapId *id, SnapId *out)
{
	int r = snap_reader_open(from, id, &c->reader, c->why);

	if (r < 0)
		return r;
	const SnapInfo *info = snap_reader_info(c->reader);
	SnapWriterConfig config = {.parent = c->config->to_base, .taken = {info->seconds, info->nanoseconds}};
	c->total = info->totals.content_bytes;
	r = snap_writer_begin(c->to, &config, &c->writer, c->why);
	if (r == 0)
		r = load_known(c, from);
	if (r == 0)
		r = snap_reader_walk(c->reader, NULL, 0, add_content, c, c->why);
	int rest = r < 0 ? 0 : add_waiting(c);
	if (r == 0)
		r = rest;
	if (r == 0)
		r = snap_reader_walk(c->reader, NULL, 0, add_record, c, c->why);
	if (r == 0)
		r = copy_fields(c);
	return r < 0 ? r : snap_writer_finish(c->writer, NULL, 0, out, NULL, c->why);
}

int snap_copy(SnapStore *from, const SnapId *id, SnapStore *to, const SnapCopyConfig *config, SnapId *out, SnapProgress *result, char **err)
{
	char *why = NULL;
	Copy *c = calloc(1, sizeof *c);

	if (!c)
		return no_memory(err);
	*c = (Copy){.to = to, .config = config, .same_key = keys_are_same(from->key, to->key), .why = &why};
	int r = run(c, from, id, out);
	if (r == 0)
		*result = snap_writer_progress(c->writer);
	snap_writer_free(c->writer);
	snap_reader_close(c->reader);
	for (size_t i = 0; i < c->n_waiting; i++) {
		close(c->waiting[i].fd);
		free((void *)(uintptr_t)c->waiting[i].ref);
	}
	HMAP_FOREACH_SAFE(&c->known, n, next) {
		Known *k = CONTAINER_OF(n, Known, node);
		free(k->to);
		free(k);
	}
	hmap_release(&c->known);
	free(c->numbers);
	free(c);
	return err_settle(err, &why, r);
}
