/* snapshot/coder.h - the only file that uses OpenSSL and zstd (libraries.h loads them): ids, and the stored form of bytes (compressed if that helps, then sealed if there is a key).
 *
 * A Coder belongs to one thread; a SnapKey never changes and may be shared. With a key, content ids are HMAC-SHA256 under a key derived from the master
 * key, so that they tell nothing about the content, and stored bytes are nonce, AES-256-GCM text and tag. Names of objects are plain SHA-256 of what is stored in
 * them, in any case.
 *
 * Errors: -ENOSYS (a library is not installed: libraries_get has the message; snap_store_open asks it), -EBADMSG (the stored bytes are not what was stored), -ENOKEY (sealed, and no key or another one), -ENOMEM. */
#ifndef SNAPSHOT_CODER_H
#define SNAPSHOT_CODER_H

#include "snapshot/id.h"

enum {
	STORED_ZSTD = 1,
	STORED_SEALED = 2,
	STORED_KNOWN = 3,
	SEAL_EXTRA = 12 + 16, /* nonce, tag */
	KEY_ID_SIZE = 8,
	SCRYPT_SALT = 16,
};

typedef struct SnapKey SnapKey;
typedef struct Coder Coder;

int snap_key_new(const uint8_t master[32], SnapKey **out) MUST_CHECK;
/* From a passphrase with scrypt (N = 2^log_n, r = 8, p = 1). -EINVAL (log_n out of 10..20), -ENOMEM. */
int snap_key_from_passphrase(const char *passphrase, size_t len, const uint8_t salt[SCRYPT_SALT], unsigned log_n, SnapKey **out) MUST_CHECK;
void snap_key_free(SnapKey *key); /* wipes it; NULL is allowed */
const uint8_t *snap_key_id(const SnapKey *key); /* KEY_ID_SIZE bytes that say which key it is and nothing of it */
/* From one process to another of the same program, through a pipe that nobody else reads. -EIO: the other end gave up. */
int snap_key_send(const SnapKey *key, int fd) MUST_CHECK;
int snap_key_receive(int fd, SnapKey **out) MUST_CHECK;
uint64_t snap_key_chunk_seed(const SnapKey *key); /* where large files are cut; NULL: 0 */

int coder_new(const SnapKey *key, Coder **out) MUST_CHECK; /* the key must outlive it; NULL: none */
void coder_free(Coder *coder);				   /* NULL is allowed */
const SnapKey *coder_key(const Coder *coder);
int coder_hash(Coder *coder, const void *data, size_t len, SnapId *out) MUST_CHECK; /* SHA-256 */
int coder_id(Coder *coder, const void *data, size_t len, SnapId *out) MUST_CHECK;   /* the content id */
/* Appends the stored form; *flags says how it was made. */
int coder_encode(Coder *coder, const void *plain, size_t len, Bytes *out, unsigned *flags) MUST_CHECK;
/* Exactly `len` plain bytes, or -EBADMSG. */
int coder_decode(Coder *coder, unsigned flags, const void *stored, size_t n, uint8_t *plain, size_t len) MUST_CHECK;
int coder_random(void *out, size_t len) MUST_CHECK;

#endif
