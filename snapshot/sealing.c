/* snapshot/sealing.c - whether a store is encrypted, and with which key: decided once, by whoever writes first, as generation 1 of the log `sealing` (log.h), text:
 *
 *   bvsealing 1
 *   by WORD          none, file (a key that is kept elsewhere) or passphrase (keys/<key id>)
 *   key HEX          the key id; zeros for none
 *   sum HEX          SHA-256 of the lines above
 *
 * In a store without it the first snapshot tells: its envelope names its key. So a lost one costs nothing, and nobody writes plain snapshots beside sealed ones. Everything
 * belongs to one call. */
#include "snapshot/condemned.h"

#include <stdio.h>

#define SEALING_LOG "sealing"

static const char *const words[] = {[SNAP_PLAIN] = "none", [SNAP_KEY_FILE] = "file", [SNAP_PASSPHRASE] = "passphrase"};

static int encode(Coder *coder, const SnapSealing *sealing, char text[256])
{
	char hex[65];
	SnapId sum;
	int len = snprintf(text, 256, "bvsealing 1\nby %s\nkey %s\n", words[sealing->by], sealing->key_id);
	int r = coder_hash(coder, text, (size_t)len, &sum);

	if (r < 0)
		return r;
	id_hex(&sum, hex);
	return len + snprintf(text + len, 256 - (size_t)len, "sum %s\n", hex);
}

/* Decoding is encoding again what was read, and comparing. */
static int decode(Coder *coder, const char *name, const uint8_t *body, size_t n, SnapSealing *out, char **err)
{
	char have[256], again[256], word[16];
	unsigned version = 0;
	SnapSealing sealing = {0};

	if (n < sizeof have) {
		memcpy(have, body, n);
		have[n] = 0;
		int got = sscanf(have, "bvsealing %u\nby %15[a-z]\nkey %16[0-9a-f]\n", &version, word, sealing.key_id);
		if (version > 1)
			return bv_fail(err, -EPROTO, "%s was written by a newer bvisor: use that one", name);
		for (size_t i = SNAP_PLAIN; got == 3 && i < ARRAY_LEN(words); i++) {
			sealing.by = (SnapSealedBy)i;
			if (strcmp(word, words[i]) == 0 && encode(coder, &sealing, again) == (int)n && memcmp(again, have, n) == 0) {
				*out = sealing;
				return 0;
			}
		}
	}
	return bv_fail(err, -EBADMSG, "%s is damaged: it says with which key the snapshots are encrypted; if it is removed, they are asked themselves", name);
}

static int first_name(void *ctx, const char *name, uint64_t size, int64_t age)
{
	(void)size;
	(void)age;
	snprintf(ctx, OBJECT_NAME_MAX + 1, "%s", name);
	return 1;
}

void snap_key_name(const uint8_t id[KEY_ID_SIZE], char out[2 * KEY_ID_SIZE + 1])
{
	for (size_t i = 0; i < KEY_ID_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

/* What the first snapshot was written with. */
static int ask_snapshots(SnapStore *s, SnapSealing *out, char **err)
{
	CLEAN_FREE uint8_t *head = NULL;
	SnapSealing sealing = {.by = SNAP_PLAIN};
	ObjectName name;
	uint64_t size;
	size_t n;
	int r = kept_list(s, "snapshots/", first_name, name, err);

	if (r <= 0) {
		if (r == 0)
			*out = (SnapSealing){.by = SNAP_UNDECIDED};
		return r;
	}
	r = kept_get(s, name, 0, MAGIC_SIZE + 4 + KEY_ID_SIZE, &head, &n, NULL, err);
	if (r < 0)
		return r;
	Cursor c = cursor_of(head + MAGIC_SIZE, n - MAGIC_SIZE);
	if (cursor_u32(&c) & STORED_SEALED) {
		snap_key_name(cursor_take(&c, KEY_ID_SIZE), sealing.key_id);
		snprintf(name, sizeof name, "keys/%s", sealing.key_id);
		r = kept_head(s, name, &size, NULL);
		sealing.by = r == 0 ? SNAP_PASSPHRASE : SNAP_KEY_FILE;
		if (r < 0 && r != -ENOENT)
			return bv_fail(err, r, "%s: %s", name, strerror(-r));
	}
	*out = sealing;
	return 0;
}

int snap_sealing_read(SnapStore *s, SnapSealing *out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName name;
	Coder *coder;
	size_t n;

	log_name(SEALING_LOG, 1, name);
	int r = kept_get_maybe(s, name, &body, &n, err);
	if (r == -ENOENT)
		return ask_snapshots(s, out, err);
	if (r < 0)
		return r;
	r = coder_new(NULL, &coder);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	r = decode(coder, name, body, n, out, err);
	coder_free(coder);
	return r;
}

int snap_sealing_decide(SnapStore *s, SnapSealedBy by, const SnapKey *key, char **err)
{
	SnapSealing sealing = {by, "0000000000000000"};
	char text[256];
	Coder *coder;
	int r = coder_new(NULL, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	if (key)
		snap_key_name(snap_key_id(key), sealing.key_id);
	int len = encode(coder, &sealing, text);
	coder_free(coder);
	return len < 0 ? bv_fail(err, len, "not enough memory") : log_append(s, SEALING_LOG, 1, text, (size_t)len, err);
}
