/* backends/s3/fetch.h - one HTTP request that is waited for: how credentials are asked for. Not for objects. Answers may hold secrets and are wiped. */
#ifndef BACKENDS_S3_FETCH_H
#define BACKENDS_S3_FETCH_H

#include "base/util.h"

#include <curl/curl.h>

typedef struct S3Fetch {
	const char *method, *url;
	const char *headers[6]; /* "Name: value", NULL-terminated */
	const char *body;	/* NULL: none */
	const char *ca;		/* NULL: the system's */
	long timeout_ms;
	bool direct; /* never through a proxy */
} S3Fetch;

/* The status of the HTTP answer, and its text (at most 256 KiB; to be freed by s3_wipe_free). Without an answer -EHOSTUNREACH or -ETIMEDOUT, and a
 * message of libcurl's in err; -ENOMEM. */
int s3_fetch(const S3Fetch *fetch, char **text, char **err) MUST_CHECK;

/* Sockets of this handle are close-on-exec from the beginning, which those of libcurl's own making are not: the host program may fork at any moment. */
void s3_close_on_exec(CURL *curl);

#endif
