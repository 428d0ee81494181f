/* backends/s3/call.h - one request to an S3 server, with all its attempts.
 *
 * A call is filled by its owner and begun with s3_call_begin; its `done` is called exactly once, from the thread of the S3Wire (wire.h), with the final answer:
 * retries, backoff, renewed keys, a corrected clock and another region have been tried by then.
 *
 *   idle --begin--> queued --(a slot is free)--> on the wire --answer--> judged (verdict.c) --final--> done
 *                     ^                                                    |
 *                     +---------------- waiting (backoff) <---again--------+ */
#ifndef BACKENDS_S3_CALL_H
#define BACKENDS_S3_CALL_H

#include "backends/s3/sign.h"

#include <curl/curl.h>

typedef struct S3Call S3Call;

struct S3Call {
	/* Set by the owner; what they point to stays valid until `done`. */
	const char *doing; /* for messages: "put", "list" */
	const char *method;
	const char *name;    /* of the object, below the prefix; NULL: the bucket itself */
	S3Pair params[5];    /* ends with a name of NULL */
	S3Pair headers[5];   /* signed, too; names in lower case; ends with a name of NULL */
	const struct iovec *in; /* the body of PUT and POST: `size` bytes from `offset` of the pieces together */
	int n_in;
	size_t offset, size;
	char payload[S3_HASH_TEXT]; /* made by s3_call_begin if empty */
	bool conditional;	    /* a put that the server may refuse because of what is there */
	bool cleanup;		    /* is still tried, once, while the store closes */
	/* Looks at an answer of 2xx; -EBADMSG: it is damaged, try again. May be NULL. */
	int (*check)(S3Call *call);
	void (*done)(S3Call *call);
	void *user;    /* for done */
	void *context; /* for check */

	/* The answer. */
	int result;  /* 0 for 2xx, else a negative errno */
	char *error; /* a message if result < 0; the owner's */
	long status; /* 0: there was none */
	char code[64];
	uint8_t *body; /* malloc'ed, the owner's */
	size_t n_body;
	char etag[136];
	char sha256[S3_HASH_TEXT], nonce[40]; /* our own metadata */
	char region[64];
	int64_t length, range_start, whole; /* Content-Length, Content-Range; -1: not told */
	int64_t date;			    /* of the server, 0: not told */
	bool headers_end;		    /* they are whole */
	bool chunked;			    /* the end of the body is told by its last chunk */
	bool ambiguous;			    /* an attempt before the last one may have been carried out */

	/* The wire's. */
	int attempt;
	uint64_t not_before; /* bv_now_ns */
	bool renewed, clock_set, region_set;
	int64_t retry_after; /* seconds; -1: not told */
	char message[256];   /* what the server said, or libcurl */
	CURLcode curl_code;
	long os_error;
	CURL *easy;
	struct curl_slist *lines;
	char *url;
	S3Keys *keys;
	int64_t signed_at; /* by the server's clock, as far as we know it */
	size_t sent, cap;
	bool too_big;
	S3Call *next;
};

enum {
	S3_RANGE_BEYOND = -ERANGE, /* 416: the range begins behind the end */
};

/* What to do about an answer. */
typedef enum S3Remedy {
	S3_FINAL,
	S3_AGAIN,
	S3_RENEW_KEYS,
	S3_SET_CLOCK,
	S3_OTHER_REGION,
} S3Remedy;

/* verdict.c: judges an answer: sets result and error (for S3_FINAL and in case no attempt is left) and says what would help. `where` names the object or bucket, `host` is
 * where it was asked for. */
S3Remedy s3_judge(S3Call *call, const char *where, const char *host, const char *region, const S3Keys *keys);
/* Reads code and message out of the body of an error. */
void s3_read_error(S3Call *call);

/* call_wire.c: makes the easy handle of an attempt: URL, signed headers, callbacks. */
int s3_call_prepare(S3Call *call, const char *scheme_host, const char *host, const char *path, const char *region, int64_t now);
/* Frees the handle and the keys of an attempt; the answer stays. s3_call_reset forgets that, too. */
void s3_call_end_attempt(S3Call *call);
void s3_call_reset(S3Call *call);

#endif
