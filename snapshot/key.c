/* snapshot/key.c - keys of a store that are opened with a passphrase: the objects keys/<key id>, text.
 *
 *   bvkey 1
 *   id HEX           the key id of the master key
 *   scrypt LOG_N
 *   salt HEX
 *   master HEX       the master key, sealed (stored form without compression) with the key that scrypt makes of the passphrase
 *   sum HEX          SHA-256 of the lines above
 *
 * The master key is random, so a passphrase can be changed, or a second one added, without touching what is stored. Everything belongs to one call. */
#include "snapshot/store.h"

#include <stdio.h>

#define MASTER 32
#define SEALED (MASTER + SEAL_EXTRA)
#define LOG_N_NOW 16 /* 64 MiB, about 0.2 s */

static void put_hex(char *out, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", data[i]);
}

static int get_hex(const char *hex, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned v;
		if (sscanf(hex + 2 * i, "%2x", &v) != 1)
			return -EBADMSG;
		out[i] = (uint8_t)v;
	}
	return 0;
}

typedef struct KeyText {
	char id[2 * KEY_ID_SIZE + 1], salt[2 * SCRYPT_SALT + 1], master[2 * SEALED + 1];
	unsigned log_n;
} KeyText;

static int encode(Coder *coder, const KeyText *k, char text[512])
{
	char hex[65];
	SnapId sum;
	int len = snprintf(text, 512, "bvkey 1\nid %s\nscrypt %u\nsalt %s\nmaster %s\n", k->id, k->log_n, k->salt, k->master);
	int r = coder_hash(coder, text, (size_t)len, &sum);

	if (r < 0)
		return r;
	id_hex(&sum, hex);
	return len + snprintf(text + len, 512 - (size_t)len, "sum %s\n", hex);
}

/* Decoding is encoding again what was read, and comparing. */
static int decode(Coder *coder, const char *name, const uint8_t *body, size_t n, KeyText *out, char **err)
{
	char have[512], again[512];
	KeyText k = {0};

	if (n < sizeof have) {
		memcpy(have, body, n);
		have[n] = 0;
		int got = sscanf(have, "bvkey 1\nid %16[0-9a-f]\nscrypt %u\nsalt %32[0-9a-f]\nmaster %120[0-9a-f]\n", k.id, &k.log_n, k.salt, k.master);
		if (got == 4 && strlen(k.salt) == 2 * SCRYPT_SALT && strlen(k.master) == 2 * SEALED && encode(coder, &k, again) == (int)n && memcmp(again, have, n) == 0) {
			*out = k;
			return 0;
		}
	}
	return bv_fail(err, -EBADMSG, "%s is damaged, or was written by a newer bvisor", name);
}

/* With a coder whose key is made from the passphrase. */
static int with_passphrase(const char *passphrase, const uint8_t salt[SCRYPT_SALT], unsigned log_n, SnapKey **key, Coder **coder)
{
	int r = snap_key_from_passphrase(passphrase, strlen(passphrase), salt, log_n, key);

	if (r == 0)
		r = coder_new(*key, coder);
	return r;
}

static int seal_master(const char *passphrase, KeyText *k, uint8_t master[MASTER])
{
	CLEAN_BYTES Bytes sealed = {0};
	uint8_t salt[SCRYPT_SALT];
	SnapKey *wrapping = NULL;
	Coder *coder = NULL;
	unsigned flags = 0;
	int r = coder_random(salt, sizeof salt);

	if (r == 0)
		r = with_passphrase(passphrase, salt, k->log_n, &wrapping, &coder);
	if (r == 0)
		r = coder_encode(coder, master, MASTER, &sealed, &flags);
	if (r == 0 && (sealed.len != SEALED || flags != STORED_SEALED))
		r = -EIO;
	if (r == 0) {
		put_hex(k->salt, salt, sizeof salt);
		put_hex(k->master, sealed.data, SEALED);
	}
	coder_free(coder);
	snap_key_free(wrapping);
	return r;
}

static int put_key(ObjectStore *objects, const KeyText *k, char **err)
{
	char text[512], name[64];
	Coder *coder;
	int r = coder_new(NULL, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	int len = encode(coder, k, text);
	coder_free(coder);
	snprintf(name, sizeof name, "keys/%s", k->id);
	return len < 0 ? bv_fail(err, len, "not enough memory") : object_put(objects, name, text, (size_t)len, 0, err);
}

int snap_key_create(ObjectStore *objects, const char *passphrase, SnapKey **out, char **err)
{
	KeyText k = {.log_n = LOG_N_NOW};
	uint8_t master[MASTER];
	SnapKey *key = NULL;
	int r = coder_random(master, sizeof master);

	if (r == 0)
		r = snap_key_new(master, &key);
	if (r == 0)
		r = seal_master(passphrase, &k, master);
	explicit_bzero(master, sizeof master);
	if (r < 0) {
		bv_fail(err, r, "the key could not be made: %s", strerror(-r));
	} else {
		put_hex(k.id, snap_key_id(key), KEY_ID_SIZE);
		r = put_key(objects, &k, err);
	}
	if (r < 0)
		snap_key_free(key);
	else
		*out = key;
	return r;
}

/* -ENOKEY: another passphrase's. */
static int open_key(const KeyText *k, const char *passphrase, SnapKey **out)
{
	uint8_t salt[SCRYPT_SALT], sealed[SEALED], master[MASTER];
	SnapKey *wrapping = NULL, *key = NULL;
	Coder *coder = NULL;
	char id[2 * KEY_ID_SIZE + 1];
	int r = get_hex(k->salt, salt, sizeof salt);

	if (r == 0)
		r = get_hex(k->master, sealed, sizeof sealed);
	if (r == 0)
		r = with_passphrase(passphrase, salt, k->log_n, &wrapping, &coder);
	if (r == 0)
		r = coder_decode(coder, STORED_SEALED, sealed, sizeof sealed, master, sizeof master);
	if (r == 0)
		r = snap_key_new(master, &key);
	explicit_bzero(master, sizeof master);
	coder_free(coder);
	snap_key_free(wrapping);
	if (r < 0)
		return r == -EBADMSG ? -ENOKEY : r;
	put_hex(id, snap_key_id(key), KEY_ID_SIZE);
	if (strcmp(id, k->id) != 0) {
		snap_key_free(key);
		return -ENOKEY;
	}
	*out = key;
	return 0;
}

typedef struct KeyNames {
	char names[64][32];
	size_t n;
} KeyNames;

static int note_key(void *ctx, const char *name, uint64_t size, int64_t age)
{
	KeyNames *names = ctx;

	(void)size;
	(void)age;
	if (strlen(name) < sizeof names->names[0] && names->n < ARRAY_LEN(names->names))
		snprintf(names->names[names->n++], sizeof names->names[0], "%s", name);
	return 0;
}

static int try_key(ObjectStore *objects, Coder *coder, const char *name, const char *passphrase, SnapKey **out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	size_t n;
	KeyText k;
	int r = object_get(objects, name, 0, 0, &body, &n, err);

	if (r == 0)
		r = decode(coder, name, body, n, &k, err);
	if (r < 0)
		return r;
	r = open_key(&k, passphrase, out);
	return r < 0 ? bv_fail(err, r, r == -ENOKEY ? "the passphrase opens no key of this store" : "%s could not be opened", name) : 0;
}

int snap_key_open_id(ObjectStore *objects, const char *id, const char *passphrase, SnapKey **out, char **err)
{
	char name[64];
	Coder *coder;
	int r = coder_new(NULL, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	snprintf(name, sizeof name, "keys/%.16s", id);
	r = try_key(objects, coder, name, passphrase, out, err);
	coder_free(coder);
	return r;
}

int snap_key_delete(ObjectStore *objects, const SnapKey *key, char **err)
{
	char id[2 * KEY_ID_SIZE + 1], name[64];

	snap_key_name(snap_key_id(key), id);
	snprintf(name, sizeof name, "keys/%s", id);
	return object_delete(objects, name, err);
}

int snap_key_open(ObjectStore *objects, const char *passphrase, SnapKey **out, char **err)
{
	CLEAN_FREE KeyNames *names = calloc(1, sizeof *names);
	char *why = NULL;
	Coder *coder;
	int r = names ? coder_new(NULL, &coder) : -ENOMEM;

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	r = object_list(objects, "keys/", note_key, names, err);
	if (r == 0 && names->n == 0)
		r = bv_fail(err, -ENOENT, "this store has no key that a passphrase opens");
	if (r == 0) {
		r = -ENOKEY;
		for (size_t i = 0; r < 0 && i < names->n; i++)
			r = try_key(objects, coder, names->names[i], passphrase, out, &why);
		r = err_settle(err, &why, r);
	}
	coder_free(coder);
	return r;
}
