#include "snapshot/coder.h"
#include "snapshot/libraries.h"

#include "base/secret.h"

#include <limits.h>
#include <sys/random.h>

#define LEVEL 3 /* what restic's default amounts to; 1 is faster and stores 5 to 8 % more */

struct SnapKey {
	uint8_t seal[32], content[32];
	uint8_t id[KEY_ID_SIZE];
	uint64_t chunk_seed;
};

struct Coder {
	const Libraries *lib;
	const SnapKey *key;
	EVP_MD *sha256;
	EVP_MD_CTX *hash;
	EVP_MAC *hmac;
	EVP_MAC_CTX *mac;
	EVP_CIPHER *gcm;
	EVP_CIPHER_CTX *cipher;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
	Bytes scratch;
};

int coder_random(void *out, size_t len)
{
	uint8_t *at = out;

	while (len) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0 && errno != EINTR)
			return bv_neg_errno();
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int hmac_sha256(Coder *c, const uint8_t key[32], const void *data, size_t len, uint8_t out[32])
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {c->lib->OSSL_PARAM_construct_utf8_string("digest", digest, 0), c->lib->OSSL_PARAM_construct_end()};
	size_t size;

	if (c->lib->EVP_MAC_init(c->mac, key, 32, params) != 1 || c->lib->EVP_MAC_update(c->mac, data, len) != 1 || c->lib->EVP_MAC_final(c->mac, out, &size, 32) != 1)
		return -ENOMEM;
	return 0;
}

/* The keys for each purpose: HMAC-SHA256 of a name under the master key. */
static int derive(SnapKey *key, const uint8_t master[32])
{
	static const char seal[] = "bvisor snapshot seal", content[] = "bvisor snapshot content", chunk[] = "bvisor snapshot chunk", id[] = "bvisor snapshot key id";
	uint8_t out[32];
	Coder *c;
	int r = coder_new(NULL, &c);

	if (r < 0)
		return r;
	r = hmac_sha256(c, master, seal, sizeof seal - 1, key->seal);
	if (r == 0)
		r = hmac_sha256(c, master, content, sizeof content - 1, key->content);
	if (r == 0)
		r = hmac_sha256(c, master, chunk, sizeof chunk - 1, out);
	if (r == 0) {
		memcpy(&key->chunk_seed, out, sizeof key->chunk_seed);
		r = hmac_sha256(c, master, id, sizeof id - 1, out);
	}
	memcpy(key->id, out, sizeof key->id);
	explicit_bzero(out, sizeof out);
	coder_free(c);
	return r;
}

int snap_key_new(const uint8_t master[32], SnapKey **out)
{
	SnapKey *key = secret_new(sizeof *key);
	int r = key ? derive(key, master) : -ENOMEM;

	if (r < 0) {
		snap_key_free(key);
		return r;
	}
	*out = key;
	return 0;
}

int snap_key_from_passphrase(const char *passphrase, size_t len, const uint8_t salt[SCRYPT_SALT], unsigned log_n, SnapKey **out)
{
	const Libraries *lib = libraries_get(NULL);
	uint8_t master[32];
	int r;

	if (log_n < 10 || log_n > 20)
		return -EINVAL;
	if (!lib)
		return -ENOSYS;
	if (lib->EVP_PBE_scrypt(passphrase, len, salt, SCRYPT_SALT, 1ULL << log_n, 8, 1, (1ULL << (log_n + 10)) + (1 << 20), master, sizeof master) != 1)
		return -ENOMEM;
	r = snap_key_new(master, out);
	explicit_bzero(master, sizeof master);
	return r;
}

void snap_key_free(SnapKey *key)
{
	secret_free(key, sizeof *key);
}

const uint8_t *snap_key_id(const SnapKey *key)
{
	return key->id;
}

int snap_key_send(const SnapKey *key, int fd)
{
	return bv_write_full(fd, key, sizeof *key);
}

int snap_key_receive(int fd, SnapKey **out)
{
	SnapKey *key = secret_new(sizeof *key);
	ssize_t n = key ? bv_read_full(fd, key, sizeof *key) : -ENOMEM;

	if (n != (ssize_t)sizeof *key) {
		snap_key_free(key);
		return n < 0 ? (int)n : -EIO;
	}
	*out = key;
	return 0;
}

uint64_t snap_key_chunk_seed(const SnapKey *key)
{
	return key ? key->chunk_seed : 0;
}

int coder_new(const SnapKey *key, Coder **out)
{
	const Libraries *lib = libraries_get(NULL);
	Coder *c = calloc(1, sizeof *c);

	if (!lib || !c) {
		free(c);
		return lib ? -ENOMEM : -ENOSYS;
	}
	c->lib = lib;
	c->key = key;
	c->sha256 = lib->EVP_MD_fetch(NULL, "SHA256", NULL); /* once: a fetch for each digest takes longer than a small one */
	c->hash = lib->EVP_MD_CTX_new();
	c->hmac = lib->EVP_MAC_fetch(NULL, "HMAC", NULL);
	c->mac = c->hmac ? lib->EVP_MAC_CTX_new(c->hmac) : NULL;
	c->gcm = lib->EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	c->cipher = lib->EVP_CIPHER_CTX_new();
	if (!c->sha256 || !c->hash || !c->mac || !c->gcm || !c->cipher) {
		coder_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void coder_free(Coder *c)
{
	if (!c)
		return;
	const Libraries *lib = c->lib;
	lib->EVP_MD_CTX_free(c->hash);
	lib->EVP_MD_free(c->sha256);
	lib->EVP_MAC_CTX_free(c->mac);
	lib->EVP_MAC_free(c->hmac);
	lib->EVP_CIPHER_CTX_free(c->cipher);
	lib->EVP_CIPHER_free(c->gcm);
	lib->ZSTD_freeCCtx(c->pack);
	lib->ZSTD_freeDCtx(c->unpack);
	if (c->key && c->scratch.data) /* a master key may have been in it */
		explicit_bzero(c->scratch.data, c->scratch.room);
	bytes_release(&c->scratch);
	free(c);
}

const SnapKey *coder_key(const Coder *c)
{
	return c->key;
}

int coder_hash(Coder *c, const void *data, size_t len, SnapId *out)
{
	if (c->lib->EVP_DigestInit_ex2(c->hash, c->sha256, NULL) != 1 || c->lib->EVP_DigestUpdate(c->hash, data, len) != 1 ||
	    c->lib->EVP_DigestFinal_ex(c->hash, out->b, NULL) != 1)
		return -ENOMEM;
	return 0;
}

int coder_id(Coder *c, const void *data, size_t len, SnapId *out)
{
	return c->key ? hmac_sha256(c, c->key->content, data, len, out->b) : coder_hash(c, data, len, out);
}

static int seal(Coder *c, const void *text, size_t len, Bytes *out)
{
	int n;

	if (len > INT_MAX - SEAL_EXTRA)
		return -EFBIG;
	if (!bytes_reserve(out, len + SEAL_EXTRA))
		return -ENOMEM;
	uint8_t *nonce = out->data + out->len, *to = nonce + 12;
	int r = coder_random(nonce, 12);
	if (r < 0)
		return r;
	if (c->lib->EVP_EncryptInit_ex2(c->cipher, c->gcm, c->key->seal, nonce, NULL) != 1 || c->lib->EVP_EncryptUpdate(c->cipher, to, &n, text, (int)len) != 1 ||
	    c->lib->EVP_EncryptFinal_ex(c->cipher, to + n, &n) != 1 || c->lib->EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_GCM_GET_TAG, 16, to + len) != 1)
		return -ENOMEM;
	out->len += len + SEAL_EXTRA;
	return 0;
}

static int unseal(Coder *c, const uint8_t *sealed, size_t len, Bytes *out)
{
	uint8_t tag[16];
	int n;

	if (!c->key)
		return -ENOKEY;
	if (len < SEAL_EXTRA || len > INT_MAX)
		return -EBADMSG;
	size_t text = len - SEAL_EXTRA;
	out->len = 0;
	if (!bytes_reserve(out, text + 1))
		return -ENOMEM;
	memcpy(tag, sealed + 12 + text, sizeof tag);
	if (c->lib->EVP_DecryptInit_ex2(c->cipher, c->gcm, c->key->seal, sealed, NULL) != 1)
		return -ENOMEM;
	if (c->lib->EVP_DecryptUpdate(c->cipher, out->data, &n, sealed + 12, (int)text) != 1 || c->lib->EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_GCM_SET_TAG, 16, tag) != 1 ||
	    c->lib->EVP_DecryptFinal_ex(c->cipher, out->data + n, &n) != 1)
		return -EBADMSG;
	out->len = text;
	return 0;
}

int coder_encode(Coder *c, const void *plain, size_t len, Bytes *out, unsigned *flags)
{
	size_t bound = c->lib->ZSTD_compressBound(len), n = SIZE_MAX;
	Bytes *to = c->key ? &c->scratch : out;
	unsigned how = c->key ? STORED_SEALED : 0;

	if (c->key)
		c->scratch.len = 0;
	if (len > 32) { /* below, a frame is longer than what is in it */
		if (!bytes_reserve(to, bound))
			return -ENOMEM;
		if (!c->pack && !(c->pack = c->lib->ZSTD_createCCtx())) /* they are large, and many coders never need one */
			return -ENOMEM;
		n = c->lib->ZSTD_compressCCtx(c->pack, to->data + to->len, bound, plain, len, LEVEL);
	}
	if (n < len - len / 64) { /* ZSTD_isError(n) is a huge number */
		how |= STORED_ZSTD;
		if (!c->key)
			to->len += n;
		plain = to->data;
		len = n;
	} else if (!c->key) {
		bytes_put(out, plain, len);
	}
	int r = out->failed ? -ENOMEM : c->key ? seal(c, plain, len, out) : 0;
	if (r == 0)
		*flags = how;
	return r;
}

int coder_decode(Coder *c, unsigned flags, const void *stored, size_t n, uint8_t *plain, size_t len)
{
	int r;

	if (flags & ~(unsigned)STORED_KNOWN)
		return -EBADMSG;
	if (flags & STORED_SEALED) {
		r = unseal(c, stored, n, &c->scratch);
		if (r < 0)
			return r;
		stored = c->scratch.data;
		n = c->scratch.len;
	}
	if (flags & STORED_ZSTD) {
		if (!c->unpack && !(c->unpack = c->lib->ZSTD_createDCtx()))
			return -ENOMEM;
		size_t got = c->lib->ZSTD_decompressDCtx(c->unpack, plain, len, stored, n);
		return got == len ? 0 : -EBADMSG;
	}
	if (n != len)
		return -EBADMSG;
	if (len)
		memcpy(plain, stored, len);
	return 0;
}
