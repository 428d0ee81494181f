/* backends/s3/keys.h - secrets in memory.
 *
 * A set of keys lies in pages of its own (base/secret.h). They are wiped when the last reference goes. Keys are never in a message: s3_keys_scrub takes them out of what a server said. */
#ifndef BACKENDS_S3_KEYS_H
#define BACKENDS_S3_KEYS_H

#include "base/util.h"

#include <stdatomic.h>

#define S3_TOKEN_MAX 16384

typedef struct S3Keys {
	char id[256];
	char secret[512];
	char token[S3_TOKEN_MAX]; /* empty: none */
	int64_t expires;	  /* seconds since 1970; 0: never */
	atomic_int references;
} S3Keys;

/* Empty keys with one reference; NULL when out of memory. */
S3Keys *s3_keys_new(void);
S3Keys *s3_keys_get(S3Keys *keys);
void s3_keys_put(S3Keys *keys);
/* Fills them; token may be NULL. -EINVAL if one is missing, too long, or has a character that no header can carry. */
int s3_keys_set(S3Keys *keys, const char *id, const char *secret, const char *token);
/* Replaces each occurrence of one of the keys in `text` by asterisks. */
void s3_keys_scrub(const S3Keys *keys, char *text);

/* A whole small file whose text may be secret, NUL-terminated; unlike bv_read_file_at it leaves no copy of a part behind. Its length, or -EFBIG and as open(2). */
ssize_t s3_read_secret_file(const char *path, size_t max, char **out) MUST_CHECK;
/* Wipes a text that may be secret, and frees it; NULL is allowed. s3_wipe_free_ptr is for the cleanup attribute. */
void s3_wipe_free(char *text);
static inline void s3_wipe_free_ptr(char **text)
{
	s3_wipe_free(*text);
}
#define CLEAN_SECRET __attribute__((cleanup(s3_wipe_free_ptr)))

#endif
