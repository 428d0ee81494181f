/* tests/unit/test_snap_coder.c - bytes, ids and stored forms: what is written is read, what is damaged is told. */
#include "snapshot/coder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint8_t master[32] = {1, 2, 3};

static void numbers_are_read_as_they_were_written(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 300, 1ULL << 32, UINT64_MAX >> 1, UINT64_MAX};
	CLEAN_BYTES Bytes b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		bytes_varint(&b, values[i]);
		bytes_signed(&b, (int64_t)values[i]);
		bytes_u64(&b, values[i]);
		bytes_u32(&b, (uint32_t)values[i]);
		bytes_u8(&b, (uint8_t)values[i]);
		bytes_blob(&b, "abc", 3);
	}
	assert_false(b.failed);
	Cursor c = cursor_of(b.data, b.len);
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		size_t len;
		assert_true(cursor_varint(&c) == values[i]);
		assert_true(cursor_signed(&c) == (int64_t)values[i]);
		assert_true(cursor_u64(&c) == values[i]);
		assert_true(cursor_u32(&c) == (uint32_t)values[i]);
		assert_true(cursor_u8(&c) == (uint8_t)values[i]);
		assert_memory_equal(cursor_blob(&c, &len), "abc", 3);
		assert_int_equal(len, 3);
	}
	assert_true(cursor_done(&c));
	assert_int_equal(cursor_u8(&c), 0);
	assert_true(c.bad);
}

static void varints_have_one_form_only(void **state)
{
	static const struct {
		uint8_t raw[11];
		size_t len;
	} wrong[] = {{{0x80, 0}, 2}, {{0x80}, 1}, {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, 10},
		     {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 11}, {{0}, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		Cursor c = cursor_of(wrong[i].raw, wrong[i].len);
		assert_true(cursor_varint(&c) == 0);
		assert_true(c.bad);
	}
}

static void ids_have_a_text_form(void **state)
{
	SnapId id, again;
	char hex[65];

	(void)state;
	for (size_t i = 0; i < 32; i++)
		id.b[i] = (uint8_t)(i * 37);
	id_hex(&id, hex);
	assert_int_equal(id_parse(hex, 64, &again), 0);
	assert_true(id_equal(&id, &again));
	assert_int_equal(id_parse(hex, 63, &again), -EINVAL);
	hex[5] = 'A';
	assert_int_equal(id_parse(hex, 64, &again), -EINVAL);
}

static void the_id_is_sha256_of_the_content(void **state)
{
	Coder *coder;
	SnapId id;
	char hex[65];

	(void)state;
	assert_int_equal(coder_new(NULL, &coder), 0);
	assert_int_equal(coder_id(coder, "abc", 3, &id), 0);
	id_hex(&id, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	coder_free(coder);
}

static void a_key_changes_ids_and_hides_the_content(void **state)
{
	SnapKey *key, *other;
	Coder *plain, *keyed, *wrong;
	SnapId a, b;
	char text[4000];
	uint8_t back[sizeof text];
	unsigned flags;
	CLEAN_BYTES Bytes out = {0};

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(snap_key_new(master, &key), 0);
	assert_int_equal(snap_key_from_passphrase("secret", 6, master, 10, &other), 0);
	assert_memory_not_equal(snap_key_id(key), snap_key_id(other), KEY_ID_SIZE);
	assert_int_equal(coder_new(NULL, &plain), 0);
	assert_int_equal(coder_new(key, &keyed), 0);
	assert_int_equal(coder_new(other, &wrong), 0);
	assert_int_equal(coder_id(plain, text, sizeof text, &a), 0);
	assert_int_equal(coder_id(keyed, text, sizeof text, &b), 0);
	assert_false(id_equal(&a, &b));
	assert_int_equal(coder_encode(keyed, text, sizeof text, &out, &flags), 0);
	assert_int_equal(flags, STORED_ZSTD | STORED_SEALED);
	assert_int_equal(coder_decode(keyed, flags, out.data, out.len, back, sizeof back), 0);
	assert_memory_equal(back, text, sizeof text);
	assert_int_equal(coder_decode(plain, flags, out.data, out.len, back, sizeof back), -ENOKEY);
	assert_int_equal(coder_decode(wrong, flags, out.data, out.len, back, sizeof back), -EBADMSG);
	coder_free(plain);
	coder_free(keyed);
	coder_free(wrong);
	snap_key_free(key);
	snap_key_free(other);
}

static void round_trip(Coder *coder, size_t len, bool compressible)
{
	CLEAN_FREE uint8_t *data = malloc(len + 1), *back = malloc(len + 1);
	CLEAN_BYTES Bytes out = {0};
	unsigned flags;

	for (size_t i = 0; i < len; i++)
		data[i] = compressible ? (uint8_t)(i / 50) : 0;
	if (!compressible)
		assert_int_equal(coder_random(data, len), 0);
	bytes_put(&out, "before", 6);
	assert_int_equal(coder_encode(coder, data, len, &out, &flags), 0);
	assert_memory_equal(out.data, "before", 6);
	uint8_t *stored = out.data + 6;
	size_t n = out.len - 6;
	assert_true(n <= len + SEAL_EXTRA);
	if (len > 100 || !compressible)
		assert_int_equal(!!(flags & STORED_ZSTD), compressible);
	assert_int_equal(coder_decode(coder, flags, stored, n, back, len), 0);
	assert_memory_equal(back, data, len);
	assert_int_equal(coder_decode(coder, flags, stored, n, back, len + 1), -EBADMSG);
	if (len)
		assert_int_equal(coder_decode(coder, flags, stored, n, back, len - 1), -EBADMSG);
	if (n)
		assert_int_equal(coder_decode(coder, flags, stored, n - 1, back, len), -EBADMSG);
	assert_int_equal(coder_decode(coder, flags | 4, stored, n, back, len), -EBADMSG);
	if (!(flags & STORED_SEALED))
		return;
	for (size_t i = 0; i < n; i += 1 + n / 50) { /* the tag covers everything */
		stored[i] ^= 1;
		assert_int_equal(coder_decode(coder, flags, stored, n, back, len), -EBADMSG);
		stored[i] ^= 1;
	}
}

static void every_size_makes_the_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 32, 33, 64, 1000, 70000, 1 << 20};
	SnapKey *key;
	Coder *plain, *keyed;

	(void)state;
	assert_int_equal(snap_key_new(master, &key), 0);
	assert_int_equal(coder_new(NULL, &plain), 0);
	assert_int_equal(coder_new(key, &keyed), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (int compressible = 0; compressible < 2; compressible++) {
			round_trip(plain, sizes[i], compressible);
			round_trip(keyed, sizes[i], compressible);
		}
	}
	coder_free(plain);
	coder_free(keyed);
	snap_key_free(key);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_as_they_were_written),
		cmocka_unit_test(varints_have_one_form_only),
		cmocka_unit_test(ids_have_a_text_form),
		cmocka_unit_test(the_id_is_sha256_of_the_content),
		cmocka_unit_test(a_key_changes_ids_and_hides_the_content),
		cmocka_unit_test(every_size_makes_the_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
