#include "backends/s3/keys.h"

#include "base/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>

S3Keys *s3_keys_new(void)
{
	S3Keys *keys = secret_new(sizeof *keys);

	if (keys)
		atomic_init(&keys->references, 1);
	return keys;
}

S3Keys *s3_keys_get(S3Keys *keys)
{
	atomic_fetch_add(&keys->references, 1);
	return keys;
}

void s3_keys_put(S3Keys *keys)
{
	if (!keys || atomic_fetch_sub(&keys->references, 1) > 1)
		return;
	secret_free(keys, sizeof *keys);
}

static bool fill(char *field, size_t size, const char *value)
{
	size_t len = strlen(value);

	if (len >= size)
		return false;
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	memcpy(field, value, len + 1);
	return true;
}

int s3_keys_set(S3Keys *keys, const char *id, const char *secret, const char *token)
{
	if (!id || !*id || !secret || !*secret)
		return -EINVAL;
	return fill(keys->id, sizeof keys->id, id) && fill(keys->secret, sizeof keys->secret, secret) && fill(keys->token, sizeof keys->token, token ? token : "")
		       ? 0
		       : -EINVAL;
}

static void blot(char *text, const char *secret)
{
	size_t len = strlen(secret);

	for (char *at; len && (at = strstr(text, secret));)
		memset(at, '*', len);
}

void s3_keys_scrub(const S3Keys *keys, char *text)
{
	blot(text, keys->id);
	blot(text, keys->secret);
	blot(text, keys->token);
}

ssize_t s3_read_secret_file(const char *path, size_t max, char **out)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = fd < 0 ? NULL : malloc(max + 1);
	ssize_t n;

	if (!text)
		return fd < 0 ? bv_neg_errno() : -ENOMEM;
	n = bv_read_full(fd, text, max + 1);
	if (n < 0 || (size_t)n > max) {
		OPENSSL_cleanse(text, n < 0 ? max : (size_t)n);
		free(text);
		return n < 0 ? n : -EFBIG;
	}
	text[n] = 0;
	*out = text;
	return n;
}

void s3_wipe_free(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}
