#include "snapshot/envelope.h"

int magic_check(const void *data, size_t len, const char *magic, const char *name, char **err)
{
	const char *have = data;

	if (len >= MAGIC_SIZE && memcmp(have, magic, MAGIC_SIZE) == 0)
		return 0;
	if (len >= MAGIC_SIZE && memcmp(have, magic, MAGIC_SIZE - 1) == 0 && have[MAGIC_SIZE - 1] > magic[MAGIC_SIZE - 1])
		return bv_fail(err, -EPROTO, "%s was written by a newer bvisor: use that one to read it", name);
	return bv_fail(err, -EBADMSG, "%s is damaged: it does not begin as it should", name);
}

int envelope_encode(Coder *coder, const char *magic, const void *plain, size_t len, Bytes *out)
{
	static const uint8_t no_key[KEY_ID_SIZE];
	const SnapKey *key = coder_key(coder);
	unsigned flags;

	if (len > ENVELOPE_MAX)
		return -EFBIG;
	bytes_put(out, magic, MAGIC_SIZE);
	size_t at = out->len;
	bytes_u32(out, 0);
	bytes_put(out, key ? snap_key_id(key) : no_key, KEY_ID_SIZE);
	bytes_u64(out, len);
	uint8_t salt[SALT_SIZE];
	int r = coder_random(salt, sizeof salt);
	if (r < 0)
		return r;
	bytes_put(out, salt, sizeof salt);
	r = out->failed ? -ENOMEM : coder_encode(coder, plain, len, out, &flags);
	if (r == 0)
		out->data[at] = (uint8_t)flags;
	return r;
}

int envelope_decode(Coder *coder, const char *magic, const char *name, const void *data, size_t len, uint8_t **plain, size_t *n, char **err)
{
	Cursor c = cursor_of(data, len);
	const SnapKey *key = coder_key(coder);
	int r = magic_check(data, len, magic, name, err);

	if (r < 0)
		return r;
	IGNORE_RESULT(cursor_take(&c, MAGIC_SIZE)); /* magic_check has seen them */
	uint32_t flags = cursor_u32(&c);
	const uint8_t *key_id = cursor_take(&c, KEY_ID_SIZE);
	uint64_t size = cursor_u64(&c);
	IGNORE_RESULT(cursor_take(&c, SALT_SIZE));
	if (c.bad || size > ENVELOPE_MAX)
		return bv_fail(err, -EBADMSG, "%s is damaged: its head is no head", name);
	if (flags & STORED_SEALED && (!key || memcmp(key_id, snap_key_id(key), KEY_ID_SIZE) != 0))
		return bv_fail(err, -ENOKEY, "%s is encrypted with %s: give the key that it was written with", name, key ? "another key" : "a key");
	if (key && !(flags & STORED_SEALED)) /* whoever can write to the store could have put it there */
		return bv_fail(err, -EBADMSG, "%s is not encrypted, as it has to be in a store with a key", name);
	CLEAN_FREE uint8_t *out = malloc((size_t)size + 1);
	if (!out)
		return bv_fail(err, -ENOMEM, "%s: not enough memory", name);
	r = coder_decode(coder, flags, c.at, cursor_left(&c), out, (size_t)size);
	if (r < 0)
		return bv_fail(err, r, "%s is damaged: it cannot be decoded", name);
	*plain = TAKE_PTR(out);
	*n = (size_t)size;
	return 0;
}
