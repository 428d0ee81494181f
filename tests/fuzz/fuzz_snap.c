/* tests/fuzz/fuzz_snap.c - any bytes as parts of snapshots, and any damage to a small store: refused with a message, or read as what was stored; never a crash.
 *
 * The first byte says what the rest is: 0 table, 1 index, 2 piece, 3 snapshot, 4 content reference, 5 body, 6 condemned, 7 records, 8 end of a pack, 9 envelope; from 10
 * on a list of changes to a valid store: (object 1 byte, offset 2, length 1, bytes), after which its snapshot is read and checked. */
#include "snapshot/housekeeping.h"
#include "snapshot/inventory.h"
#include "snapshot/record.h"
#include "tests/unit/object_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static MemStore *valid;
static SnapId valid_id;
static Coder *coder;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static size_t content_at(unsigned i, uint8_t out[3000])
{
	for (unsigned k = 0; k < 3000; k++)
		out[k] = (uint8_t)(k * k * i >> 3);
	return i * 370;
}

static void make_valid(void)
{
	SnapWriterConfig config = {.threads = 1};
	SnapStore *s;
	SnapWriter *w;
	uint64_t numbers[8];
	uint8_t text[3000];

	valid = mem_new();
	valid->at_once = true;
	if (coder_new(NULL, &coder) < 0 || snap_store_open(&valid->base, NULL, &s, NULL) < 0 || snap_writer_begin(s, &config, &w, NULL) < 0)
		fail("cannot begin");
	for (unsigned i = 0; i < 8; i++)
		if (snap_writer_add_bytes(w, text, content_at(i, text), &numbers[i]) < 0)
			fail("cannot add");
	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *ref;
		size_t len;
		char key = (char)('a' + i);
		if (snap_writer_content(w, numbers[i], &ref, &len) < 0 ||
		    snap_writer_record(w, &(Record){.key = &key, .key_len = 1, .content = ref, .content_len = len, .value = &key, .value_len = 1}) < 0)
			fail("cannot write a record");
	}
	if (snap_writer_finish(w, "fuzz", 0, &valid_id, NULL, NULL) < 0)
		fail("cannot finish");
	snap_writer_free(w);
	snap_store_close(s);
}

static __attribute__((destructor)) void clean_up(void)
{
	if (!valid)
		return;
	object_close(&valid->base);
	coder_free(coder);
	valid = NULL;
}

/* ---- parts ---- */
static void fuzz_table(const uint8_t *data, size_t size)
{
	Cursor c = cursor_of(data, size);
	ChunkTable t = {0};
	SnapIndex x;

	if (table_decode(&c, &t) < 0)
		return;
	if (index_init(&x) == 0 && index_add(&x, &valid_id, &t) == 0)
		for (size_t i = 0; i < t.n; i++)
			if (!index_find(&x, &t.rows[i].id))
				fail("a chunk is not in the index");
	index_release(&x);
	table_release(&t);
}

static void fuzz_index(const uint8_t *data, size_t size)
{
	IndexList list;
	Bytes again = {0};

	if (index_list_decode(data, size, &list) < 0)
		return;
	index_list_encode(&list, &again);
	if (!again.failed && (again.len != size || (size && memcmp(again.data, data, size) != 0)))
		fail("an index has two forms");
	bytes_release(&again);
	index_list_release(&list);
}

static void fuzz_piece(const uint8_t *data, size_t size)
{
	PieceReader *p = malloc(sizeof *p);
	SnapId id;
	uint64_t plain;

	if (piece_open(p, data, size) == 0)
		while (piece_next(p) > 0)
			IGNORE_RESULT(piece_child(p, &id, &plain));
	free(p);
}

static void fuzz_header(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	SnapInfo info;
	const uint8_t *value;
	size_t len;

	if (size)
		memcpy(copy, data, size);
	if (header_decode(copy, size, "fuzz", &info, NULL) < 0)
		return;
	IGNORE_RESULT(snap_info_field(&info, "message", &value, &len));
	snap_info_release(&info);
}

static void fuzz_content(const uint8_t *data, size_t size, bool body)
{
	Content c = {.size = 1 << 20};
	uint64_t said;
	int r = body ? content_decode_body(&c, data, size) : content_decode(data, size, &c);

	if (r == 0 && !body && (snap_content_size(data, size, &said) < 0 || said != c.size))
		fail("a content has two sizes");
	if (r == 0 || body)
		content_release(&c);
}

static void fuzz_records(const uint8_t *data, size_t size)
{
	SnapInode inode;
	SnapDentry dentry;
	SnapXattr xattr;
	const char *name;
	uint64_t id;
	size_t n;
	char kind;

	IGNORE_RESULT(record_key_parse(data, size, &kind, &id, &name, &n));
	IGNORE_RESULT(snap_inode_decode(data, size, &inode));
	IGNORE_RESULT(snap_dentry_decode(data, size, &dentry));
	IGNORE_RESULT(snap_xattr_decode(data, size, &xattr));
}

static void fuzz_tail(const uint8_t *data, size_t size)
{
	ChunkTable t;
	uint64_t tail;

	if (size < PACK_TRAILER || pack_trailer(data + size - PACK_TRAILER, size, "fuzz", &tail, NULL) < 0)
		return;
	if (pack_table(coder, data + size - tail, (size_t)tail, size, "fuzz", &t, NULL) == 0)
		table_release(&t);
}

static void fuzz_part(unsigned kind, const uint8_t *data, size_t size)
{
	Condemned condemned;
	uint8_t *plain;
	size_t n;

	switch (kind) {
	case 0:
		fuzz_table(data, size);
		break;
	case 1:
		fuzz_index(data, size);
		break;
	case 2:
		fuzz_piece(data, size);
		break;
	case 3:
		fuzz_header(data, size);
		break;
	case 4:
	case 5:
		fuzz_content(data, size, kind == 5);
		break;
	case 6:
		if (condemned_decode(data, size, &condemned) == 0)
			condemned_release(&condemned);
		break;
	case 7:
		fuzz_records(data, size);
		break;
	case 8:
		fuzz_tail(data, size);
		break;
	default:
		if (envelope_decode(coder, MAGIC_INDEX, "fuzz", data, size, &plain, &n, NULL) == 0)
			free(plain);
	}
}

/* ---- a damaged store ---- */
typedef struct Reading {
	SnapReader *r;
	unsigned next;
} Reading;

static int read_record(void *ctx, const Record *record)
{
	Reading *reading = ctx;
	unsigned i = reading->next++;
	uint8_t want[3000], *got;
	size_t len = content_at(i, want), n;

	if (i >= 8 || record->key_len != 1 || *(const char *)record->key != (char)('a' + i))
		fail("a wrong record was read");
	if (snap_reader_fetch_range(reading->r, record->content, record->content_len, 0, UINT64_MAX, &got, &n, NULL) < 0)
		return 0;
	if (n != len || memcmp(got, want, n) != 0)
		fail("wrong data was read");
	free(got);
	return 0;
}

static void read_store(MemStore *m)
{
	SnapCheckConfig config = {.read_data = true};
	SnapCheckResult result;
	SnapStore *s;
	SnapRef ref;
	Reading reading = {0};

	if (snap_store_open(&m->base, NULL, &s, NULL) < 0)
		return;
	if (snap_ref_read(s, "fuzz", 0, &ref, NULL) == 0 && snap_reader_open(s, &ref.id, &reading.r, NULL) == 0) {
		if (!id_equal(&ref.id, &valid_id))
			fail("a wrong snapshot was read");
		if (snap_reader_walk(reading.r, NULL, 0, read_record, &reading, NULL) == 0 && reading.next != 8)
			fail("records are missing");
		snap_reader_close(reading.r);
	}
	IGNORE_RESULT(snap_check(s, &config, &result, NULL));
	snap_store_close(s);
}

static void fuzz_store(const uint8_t *data, size_t size)
{
	MemStore *m = mem_new();

	m->at_once = true;
	for (size_t i = 0; i < valid->n; i++)
		if (object_put(&m->base, valid->objects[i].name, valid->objects[i].data, valid->objects[i].size, 0, NULL) < 0)
			fail("cannot copy the store");
	for (size_t at = 0; at + 4 <= size;) {
		MemObject *o = &m->objects[data[at] % m->n];
		size_t offset = (size_t)(data[at + 1] | data[at + 2] << 8) % (o->size + 1), len = MIN((size_t)data[at + 3], size - at - 4);
		if (len == 0) /* cut */
			o->size = offset;
		len = MIN(len, o->size - MIN(offset, o->size));
		memcpy(o->data + offset, data + at + 4, len);
		at += 4 + data[at + 3];
	}
	read_store(m);
	object_close(&m->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!valid)
		make_valid();
	if (size == 0)
		return 0;
	if (data[0] < 10)
		fuzz_part(data[0], data + 1, size - 1);
	else
		fuzz_store(data + 1, size - 1);
	return 0;
}
