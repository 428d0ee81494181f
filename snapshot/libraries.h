/* snapshot/libraries.h - OpenSSL and zstd, loaded when the first snapshot is written or read: linked in they would cost each start of bvisor 0.4 ms (static archives: 17,000
 * relocations) or 1 ms (shared objects), and most runs need neither.
 *
 * They are found as the dynamic linker finds any library, by their sonames, and stay loaded. Loaded once for the whole process, under a lock; never changed afterwards. */
#ifndef SNAPSHOT_LIBRARIES_H
#define SNAPSHOT_LIBRARIES_H

#include "base/util.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <zstd.h>

#define CRYPTO_SYMBOLS(X) \
	X(EVP_MD_fetch) X(EVP_MD_free) X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_DigestInit_ex2) X(EVP_DigestUpdate) X(EVP_DigestFinal_ex) X(EVP_MAC_fetch) X(EVP_MAC_free) \
	X(EVP_MAC_CTX_new) X(EVP_MAC_CTX_free) X(EVP_MAC_init) X(EVP_MAC_update) X(EVP_MAC_final) X(EVP_CIPHER_fetch) X(EVP_CIPHER_free) X(EVP_CIPHER_CTX_new) \
	X(EVP_CIPHER_CTX_free) X(EVP_CIPHER_CTX_ctrl) X(EVP_EncryptInit_ex2) X(EVP_EncryptUpdate) X(EVP_EncryptFinal_ex) X(EVP_DecryptInit_ex2) X(EVP_DecryptUpdate) \
	X(EVP_DecryptFinal_ex) X(EVP_PBE_scrypt) X(OSSL_PARAM_construct_utf8_string) X(OSSL_PARAM_construct_end)
#define ZSTD_SYMBOLS(X) \
	X(ZSTD_compressBound) X(ZSTD_createCCtx) X(ZSTD_freeCCtx) X(ZSTD_compressCCtx) X(ZSTD_createDCtx) X(ZSTD_freeDCtx) X(ZSTD_decompressDCtx)

typedef struct Libraries {
#define LIBRARY_MEMBER(f) __typeof__(f) *f;
	CRYPTO_SYMBOLS(LIBRARY_MEMBER)
	ZSTD_SYMBOLS(LIBRARY_MEMBER)
#undef LIBRARY_MEMBER
} Libraries;

/* NULL with a message: one of them is not installed. */
const Libraries *libraries_get(char **err);

#endif
