/* backends/s3/sign.h - AWS Signature Version 4, signed by ourselves: libcurl's own signing differs between its versions.
 *
 * There is one encoder. Its output is both sent and signed, so that the two cannot differ: s3_encode_path and s3_encode_query make what goes into the
 * URL (with CURLOPT_PATH_AS_IS) and, unchanged, into the canonical request. All functions are pure. */
#ifndef BACKENDS_S3_SIGN_H
#define BACKENDS_S3_SIGN_H

#include "backends/s3/keys.h"

#include <sys/uio.h>

#define S3_HASH_TEXT 65 /* a SHA-256 in hex, and the NUL */
#define S3_DATE_TEXT 17 /* 20130524T000000Z */

typedef struct S3Pair {
	const char *name, *value;
} S3Pair;

typedef struct S3Signing {
	const char *method;
	const char *path;	 /* encoded, begins with '/' */
	const char *query;	 /* encoded and sorted, without '?'; empty if none */
	const S3Pair *headers;	 /* all that are to be signed; names in lower case, in order of names */
	size_t n_headers;
	const char *payload;	 /* its SHA-256 in hex */
	const char *date;	 /* as s3_date makes it; also sent as x-amz-date */
	const char *region, *service;
} S3Signing;

/* Everything but letters, digits, "-._~" and '/' as %XX. malloc'ed; NULL when out of memory. */
char *s3_encode_path(const char *path);
/* "a=1&b=2" from pairs in any order, sorted as the signature wants it. malloc'ed; NULL when out of memory. */
char *s3_encode_query(const S3Pair *pairs, size_t n);
void s3_date(int64_t seconds, char out[S3_DATE_TEXT]);
/* SHA-256 of the bytes from `offset` on, `size` of them, of the pieces together. -EIO if OpenSSL fails. */
int s3_hash(const struct iovec *in, int n_in, size_t offset, size_t size, char out[S3_HASH_TEXT]);
/* The value of the Authorization header; malloc'ed. -ENOMEM, -EIO. */
int s3_authorization(const S3Signing *signing, const S3Keys *keys, char **out);

#endif
