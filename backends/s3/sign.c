#include "backends/s3/sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <time.h>

static void to_hex(const uint8_t *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- encoding ---- */

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Appends the encoded text at *out, which has room for three times its length, and the NUL. */
static void encode(char **out, const char *text, bool keep_slash)
{
	for (const char *c = text; *c; c++) {
		if (unreserved(*c) || (keep_slash && *c == '/'))
			*(*out)++ = *c;
		else
			*out += snprintf(*out, 4, "%%%02X", (unsigned char)*c);
	}
	**out = 0;
}

char *s3_encode_path(const char *path)
{
	char *text = malloc(3 * strlen(path) + 1), *end = text;

	if (text)
		encode(&end, path, true);
	return text;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *s3_encode_query(const S3Pair *pairs, size_t n)
{
	char *parts[16], *out = NULL;
	size_t total = 1, made = 0;

	for (; n <= ARRAY_LEN(parts) && made < n; made++) {
		size_t room = 3 * (strlen(pairs[made].name) + strlen(pairs[made].value)) + 2;
		char *end = parts[made] = malloc(room);
		if (!end)
			break;
		encode(&end, pairs[made].name, false);
		*end++ = '='; /* sorts before every character that a longer name can go on with, except '-' and '.', which S3 has in no name */
		encode(&end, pairs[made].value, false);
		total += room;
	}
	if (made == n && (out = malloc(total))) {
		char *end = out;
		qsort(parts, n, sizeof *parts, compare_texts);
		for (size_t i = 0; i < n; i++)
			end += snprintf(end, total - (size_t)(end - out), "%s%s", i ? "&" : "", parts[i]);
		*end = 0;
	}
	while (made > 0)
		free(parts[--made]);
	return out;
}

void s3_date(int64_t seconds, char out[S3_DATE_TEXT])
{
	time_t when = seconds;
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(out, S3_DATE_TEXT, "%Y%m%dT%H%M%SZ", &tm);
}

/* ---- hashing ---- */

int s3_hash(const struct iovec *in, int n_in, size_t offset, size_t size, char out[S3_HASH_TEXT])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t digest[32];
	bool right = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	for (int i = 0; right && size && i < n_in; i++) {
		size_t skip = MIN(offset, in[i].iov_len), n = MIN(in[i].iov_len - skip, size);
		right = n == 0 || EVP_DigestUpdate(context, (const uint8_t *)in[i].iov_base + skip, n) == 1;
		offset -= skip;
		size -= n;
	}
	right = right && size == 0 && EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!right)
		return -EIO;
	to_hex(digest, sizeof digest, out);
	return 0;
}

static bool hmac(const void *key, size_t n_key, const char *text, uint8_t out[32])
{
	unsigned n = 32;

	return HMAC(EVP_sha256(), key, (int)n_key, (const uint8_t *)text, strlen(text), out, &n) != NULL;
}

/* ---- signing ---- */

/* The lines of the canonical request that name the headers, and the list of their names. */
static int canonical_headers(const S3Signing *s, char **lines, char **names)
{
	size_t n_lines = 1, n_names = 1;

	for (size_t i = 0; i < s->n_headers; i++) {
		n_lines += strlen(s->headers[i].name) + strlen(s->headers[i].value) + 2;
		n_names += strlen(s->headers[i].name) + 1;
	}
	*lines = malloc(n_lines);
	*names = malloc(n_names);
	if (!*lines || !*names)
		return -ENOMEM;
	char *line = *lines, *name = *names;
	*line = *name = 0;
	for (size_t i = 0; i < s->n_headers; i++) {
		line += snprintf(line, n_lines - (size_t)(line - *lines), "%s:%s\n", s->headers[i].name, s->headers[i].value);
		name += snprintf(name, n_names - (size_t)(name - *names), "%s%s", i ? ";" : "", s->headers[i].name);
	}
	return 0;
}

/* The HMAC of the text with the key that is derived for its day, region and service. */
static int sign_text(const S3Signing *s, const S3Keys *keys, const char *text, char signature[S3_HASH_TEXT])
{
	char secret[sizeof keys->secret + 4], day[9];
	uint8_t key[32], next[32];

	snprintf(secret, sizeof secret, "AWS4%s", keys->secret);
	snprintf(day, sizeof day, "%.8s", s->date);
	bool right = hmac(secret, strlen(secret), day, key) && hmac(key, 32, s->region, next) && hmac(next, 32, s->service, key) && hmac(key, 32, "aws4_request", next) &&
		     hmac(next, 32, text, key);
	if (right)
		to_hex(key, 32, signature);
	OPENSSL_cleanse(secret, sizeof secret);
	OPENSSL_cleanse(key, sizeof key);
	OPENSSL_cleanse(next, sizeof next);
	return right ? 0 : -EIO;
}

int s3_authorization(const S3Signing *s, const S3Keys *keys, char **out)
{
	CLEAN_SECRET char *lines = NULL; /* the session token may be in it */
	CLEAN_SECRET char *request = NULL;
	CLEAN_FREE char *names = NULL;
	CLEAN_FREE char *text = NULL;
	char hash[S3_HASH_TEXT], signature[S3_HASH_TEXT], *value;
	int r = canonical_headers(s, &lines, &names);

	if (r < 0)
		return r;
	request = bv_asprintf("%s\n%s\n%s\n%s\n%s\n%s", s->method, s->path, s->query, lines, names, s->payload);
	if (!request)
		return -ENOMEM;
	struct iovec in = {request, strlen(request)};
	r = s3_hash(&in, 1, 0, in.iov_len, hash);
	if (r < 0)
		return r;
	text = bv_asprintf("AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", s->date, s->date, s->region, s->service, hash);
	if (!text)
		return -ENOMEM;
	r = sign_text(s, keys, text, signature);
	if (r < 0)
		return r;
	value = bv_asprintf("AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request,SignedHeaders=%s,Signature=%s", keys->id, s->date, s->region, s->service, names, signature);
	if (!value)
		return -ENOMEM;
	*out = value;
	return 0;
}
