/* snapshot/pack.c - the end of a pack: its table, so that a lost index can be made again from the packs alone.
 *
 *   "BVSNAPP1", 8 random bytes, chunks, table in stored form, trailer: u32 flags, u32 stored and u64 plain length of the table, u32 count,
 *   SHA-256 of the stored table, "BVSNAPT1" */
#include "snapshot/index.h"

int pack_begin(Bytes *pack)
{
	uint8_t salt[SALT_SIZE];
	int r = coder_random(salt, sizeof salt);

	bytes_put(pack, MAGIC_PACK, MAGIC_SIZE);
	bytes_put(pack, salt, sizeof salt);
	return pack->failed ? -ENOMEM : r;
}

int pack_finish(Coder *coder, Bytes *pack, const ChunkTable *table, SnapId *id)
{
	CLEAN_BYTES Bytes plain = {0};
	size_t at = pack->len;
	unsigned flags;
	SnapId sum;

	table_encode(table, &plain);
	if (plain.failed)
		return -ENOMEM;
	int r = coder_encode(coder, plain.data, plain.len, pack, &flags);
	if (r == 0)
		r = coder_hash(coder, pack->data + at, pack->len - at, &sum);
	if (r < 0)
		return r;
	uint32_t stored = (uint32_t)(pack->len - at);
	bytes_u32(pack, flags);
	bytes_u32(pack, stored);
	bytes_u64(pack, plain.len);
	bytes_u32(pack, (uint32_t)table->n);
	bytes_id(pack, &sum);
	bytes_put(pack, MAGIC_TABLE, MAGIC_SIZE);
	return pack->failed ? -ENOMEM : coder_hash(coder, pack->data, pack->len, id);
}

int pack_trailer(const uint8_t *trailer, uint64_t pack_size, const char *name, uint64_t *tail, char **err)
{
	Cursor c = cursor_of(trailer, PACK_TRAILER);

	IGNORE_RESULT(cursor_u32(&c)); /* flags: pack_table's */
	uint64_t stored = cursor_u32(&c);
	if (memcmp(trailer + PACK_TRAILER - MAGIC_SIZE, MAGIC_TABLE, MAGIC_SIZE) != 0 || stored + PACK_TRAILER + PACK_HEAD > pack_size)
		return bv_fail(err, -EBADMSG, "%s is damaged: it does not end with a table", name);
	*tail = stored + PACK_TRAILER;
	return 0;
}

int pack_table(Coder *coder, const uint8_t *tail, size_t len, uint64_t pack_size, const char *name, ChunkTable *out, char **err)
{
	size_t stored = len - PACK_TRAILER;
	Cursor c = cursor_of(tail + stored, PACK_TRAILER);
	uint32_t flags = cursor_u32(&c);
	ChunkTable table = {0};
	SnapId sum, want;

	IGNORE_RESULT(cursor_u32(&c)); /* the length, which pack_trailer has looked at */
	uint64_t plain_len = cursor_u64(&c);
	uint32_t count = cursor_u32(&c);
	if (!cursor_id(&c, &want) || plain_len > PACK_MAX || coder_hash(coder, tail, stored, &sum) < 0 || !id_equal(&sum, &want))
		return bv_fail(err, -EBADMSG, "%s is damaged: its table has the wrong checksum", name);
	CLEAN_FREE uint8_t *plain = malloc((size_t)plain_len + 1);
	int r = plain ? coder_decode(coder, flags, tail, stored, plain, (size_t)plain_len) : -ENOMEM;
	if (r == -ENOKEY)
		return bv_fail(err, r, "%s is encrypted: give the key that it was written with", name);
	if (r < 0)
		return bv_fail(err, r, "%s is damaged: its table cannot be decoded", name);
	Cursor t = cursor_of(plain, (size_t)plain_len);
	r = table_decode(&t, &table);
	const ChunkRow *last = table.n ? &table.rows[table.n - 1] : NULL;
	uint64_t end = last ? (uint64_t)last->offset + last->stored : PACK_HEAD;
	if (r == 0 && (!cursor_done(&t) || table.n != count || end + len != pack_size))
		r = -EBADMSG;
	if (r < 0) {
		table_release(&table);
		return bv_fail(err, r, "%s is damaged: its table is not that of its chunks", name);
	}
	*out = table;
	return 0;
}
