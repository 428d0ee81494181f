/* tests/unit/test_snap_record.c - rows of a sandbox and pieces of a manifest: what is encoded is decoded, keys sort as they count, and a change is local. */
#include "base/hmap.h"
#include "snapshot/piece.h"
#include "snapshot/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static void an_inode_is_decoded_as_it_was_encoded(void **state)
{
	SnapInode in = {.flags = 2048, .have = 255, .mode = S_IFREG | 0644, .uid = 1000, .gid = UINT32_MAX, .nlink = -3, .rdev = 1ULL << 40, .vdev = 7, .vino = UINT64_MAX,
			.atime = {-5, 999999999}, .mtime = {1700000000, 1}, .ctime = {0, 5}, .origin = "/etc/x", .origin_len = 6, .target = "", .base_known = true};
	SnapInode out;
	CLEAN_BYTES Bytes b = {0};

	(void)state;
	in.base = (SnapIdentity){.dev = 1, .ino = 2, .size = 3, .mtime = {4, 5}, .ctime = {6, 7}, .mode = 8, .uid = 9, .gid = 10};
	snap_inode_encode(&in, &b);
	assert_int_equal(snap_inode_decode(b.data, b.len, &out), 0);
	assert_memory_equal(out.origin, "/etc/x", 6);
	assert_non_null(out.target);
	out.origin = in.origin;
	out.target = in.target;
	assert_memory_equal(&in, &out, sizeof in);
	for (size_t len = 0; len < b.len; len++) /* a part is an error or fewer fields */
		IGNORE_RESULT(snap_inode_decode(b.data, len, &out));
	assert_int_equal(snap_inode_decode("\200\1\1", 3, &out), -EPROTO);
	assert_int_equal(snap_inode_decode("\100\1\1", 3, &out), 0);
	assert_int_equal(snap_inode_decode("\2\1\1\1\1\1", 6, &out), -EBADMSG);
	assert_int_equal(snap_inode_decode("", 0, &out), 0);
}

static void dentries_and_xattrs_too(void **state)
{
	SnapDentry d = {.inode = 99, .flags = 8}, d2;
	SnapXattr x = {.value = "v", .len = 1}, x2;
	CLEAN_BYTES Bytes b = {0};

	(void)state;
	snap_dentry_encode(&d, &b);
	assert_int_equal(snap_dentry_decode(b.data, b.len, &d2), 0);
	assert_memory_equal(&d, &d2, sizeof d);
	b.len = 0;
	snap_dentry_encode(&(SnapDentry){0}, &b);
	assert_int_equal(b.len, 0);
	snap_xattr_encode(&x, &b);
	assert_int_equal(snap_xattr_decode(b.data, b.len, &x2), 0);
	assert_false(x2.removed);
	assert_int_equal(x2.len, 1);
	b.len = 0;
	snap_xattr_encode(&(SnapXattr){.removed = true}, &b);
	assert_int_equal(snap_xattr_decode(b.data, b.len, &x2), 0);
	assert_true(x2.removed);
	assert_int_equal(snap_xattr_decode("", 0, &x2), -EBADMSG);
}

static void keys_sort_as_they_count(void **state)
{
	static const uint64_t ids[] = {1, 2, 255, 256, 1ULL << 33, UINT64_MAX};
	uint8_t a[RECORD_KEY_MAX], b[RECORD_KEY_MAX];
	const char *name;
	uint64_t id;
	char kind;
	size_t n;

	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_LEN(ids); i++) {
		size_t an = record_key_dentry(a, ids[i], "zz", 2), bn = record_key_dentry(b, ids[i + 1], "a", 1);
		assert_true(key_compare(a, an, b, bn) < 0);
		assert_int_equal(record_key_parse(a, an, &kind, &id, &name, &n), 0);
		assert_int_equal(kind, 'd');
		assert_true(id == ids[i]);
		assert_int_equal(n, 2);
		assert_memory_equal(name, "zz", 2);
		assert_int_equal(record_key_parse(a, 9, &kind, &id, &name, &n), -EBADMSG);
		assert_int_equal(record_key_parse(a, 5, &kind, &id, &name, &n), -EBADMSG);
	}
	assert_int_equal(record_key_parse(a, record_key_inode(a, 5), &kind, &id, &name, &n), 0);
	assert_int_equal(record_key_parse(a, record_key_state(a, "clean"), &kind, &id, &name, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(record_key_parse("q", 1, &kind, &id, &name, &n), -EBADMSG);
}

static void keys_of_what_is_carried_are_paths(void **state)
{
	uint8_t a[RECORD_BASE_KEY_MAX], b[RECORD_BASE_KEY_MAX], c[RECORD_BASE_KEY_MAX];
	char path[RECORD_BASE_KEY_MAX + 1];
	const char *name;
	uint64_t id;
	char kind;
	size_t n;

	(void)state;
	size_t an = record_key_base(a, "/dir", NULL), bn = record_key_base(b, "/dir", "user.a"), cn = record_key_base(c, "/dir/f", NULL);
	assert_true(key_compare(a, an, b, bn) < 0 && key_compare(b, bn, c, cn) < 0); /* an object, its attributes, what is in it */
	assert_int_equal(record_key_parse(b, bn, &kind, &id, &name, &n), 0);
	assert_int_equal(kind, 'b');
	assert_int_equal(n, sizeof "/dir" + strlen("user.a"));
	assert_memory_equal(name, "/dir\0user.a", n);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = 0;
	assert_int_equal(record_key_base(a, path, NULL), 0);
	path[sizeof a - 1] = 0;
	assert_int_equal(record_key_base(a, path, NULL), sizeof a);
	assert_int_equal(record_key_base(a, path, "user.a"), 0);
	path[3000] = 0;
	cn = record_key_base(c, path, NULL);
	assert_int_equal(record_key_parse(c, cn, &kind, &id, &name, &n), 0);
	assert_int_equal(n, 3000);
	assert_int_equal(record_key_parse("b", 1, &kind, &id, &name, &n), -EBADMSG);
}

/* ---- the tree ---- */
typedef struct Pieces {
	SnapId ids[4000];
	size_t n, bytes;
} Pieces;

/* A piece's id is made from its bytes. */
static int keep_piece(void *ctx, const void *piece, size_t len, SnapId *id)
{
	Pieces *p = ctx;
	uint64_t h = hash_stable(piece, len);

	memset(id, 0, sizeof *id);
	memcpy(id->b, &h, sizeof h);
	assert_true(p->n < ARRAY_LEN(p->ids));
	assert_true(len <= PIECE_FULL + 2000);
	p->ids[p->n++] = *id;
	p->bytes += len;
	return 0;
}

static TreeRoot build(Pieces *p, unsigned records, unsigned changed, unsigned inserted)
{
	TreeWriter t = {.emit = keep_piece, .ctx = p};
	TreeRoot root;

	p->n = p->bytes = 0;
	for (unsigned i = 0; i < records; i++) {
		uint8_t key[RECORD_KEY_MAX], value[120];
		for (unsigned twice = 0; twice < 1 + (i == inserted); twice++) {
			size_t len = record_key_dentry(key, i / 10 + 2, (char[]){(char)('a' + i % 10), (char)('a' + twice)}, 2);
			memset(value, (int)(i + (i == changed)), sizeof value);
			assert_int_equal(tree_add(&t, &(Record){.key = key, .key_len = len, .value = value, .value_len = sizeof value}), 0);
		}
	}
	assert_int_equal(tree_finish(&t, &root), 0);
	tree_release(&t);
	return root;
}

static size_t not_in(const Pieces *a, const Pieces *b)
{
	size_t missing = 0;

	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;
		while (k < b->n && !id_equal(&a->ids[i], &b->ids[k]))
			k++;
		missing += k == b->n;
	}
	return missing;
}

static void a_change_or_an_insertion_makes_few_new_pieces(void **state)
{
	static Pieces before, after;
	enum { RECORDS = 100000, NEVER = 1 << 30 };

	(void)state;
	build(&before, RECORDS, NEVER, NEVER);
	print_message("%zu pieces of %zu bytes\n", before.n, before.bytes / before.n);
	assert_in_range(before.bytes / before.n, PIECE_AVERAGE / 2, PIECE_AVERAGE * 3 / 2);
	for (unsigned at = 0; at < RECORDS; at += RECORDS / 23) {
		build(&after, RECORDS, at, NEVER);
		assert_int_equal(not_in(&after, &before), 2); /* the leaf and the root */
		build(&after, RECORDS, NEVER, at);
		assert_in_range(not_in(&after, &before), 2, 5);
	}
}

static void small_trees_have_one_piece(void **state)
{
	static Pieces p;

	(void)state;
	for (unsigned n = 0; n < 3; n++) {
		TreeRoot root = build(&p, n, 0, 1000);
		assert_int_equal(p.n, 1);
		assert_true(id_equal(&root.id, &p.ids[0]));
	}
}

static void damaged_pieces_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {
		{"", 0}, {"\0", 1}, {"\0\1", 2}, {"\11\0", 2}, {"\0\0x", 3}, {"\0\1\0\0\0\0", 6}, {"\0\1\1\1a\0\0", 7}, {"\0\2\0\1b\0\0\0\1a\0\0", 12}, {"\0\2\0\1b\0\0\1\0\0\0", 11},
	};
	PieceReader *p = malloc(sizeof *p);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int r = piece_open(p, wrong[i].bytes, wrong[i].len);
		while (r >= 0 && (r = piece_next(p)) > 0)
			;
		if (r != -EBADMSG)
			fail_msg("case %zu", i);
	}
	free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_inode_is_decoded_as_it_was_encoded),
		cmocka_unit_test(dentries_and_xattrs_too),
		cmocka_unit_test(keys_sort_as_they_count),
		cmocka_unit_test(keys_of_what_is_carried_are_paths),
		cmocka_unit_test(a_change_or_an_insertion_makes_few_new_pieces),
		cmocka_unit_test(small_trees_have_one_piece),
		cmocka_unit_test(damaged_pieces_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
