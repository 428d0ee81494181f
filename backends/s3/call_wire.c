/* backends/s3/call_wire.c - one attempt of a call as libcurl wants it: the URL and the signed headers, the body that is sent and the answer that comes.
 *
 * Only what is signed is sent (beside what the wire needs: Content-Length, Accept), and the payload's real hash is always signed. */
#include "backends/s3/call.h"
#include "backends/s3/fetch.h"

#include <openssl/crypto.h>
#include <stdio.h>

#define ERROR_BODY_MAX ((size_t)65536)
#define HEADERS_MAX 12
#define EXPECT_FROM ((size_t)1 << 20) /* libcurl's own bound */

/* ---- what is sent ---- */

static size_t give(char *buffer, size_t one, size_t n, void *user)
{
	S3Call *call = user;
	size_t skip = call->offset + call->sent, room = MIN(n * one, call->size - call->sent), done = 0;

	for (int i = 0; i < call->n_in && done < room; i++) {
		size_t len = call->in[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		size_t part = MIN(len - skip, room - done);
		memcpy(buffer + done, (const uint8_t *)call->in[i].iov_base + skip, part);
		done += part;
		skip = 0;
	}
	call->sent += done;
	return done;
}

static int rewind_to(void *user, curl_off_t offset, int origin)
{
	S3Call *call = user;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->size)
		return CURL_SEEKFUNC_CANTSEEK;
	call->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* ---- what comes ---- */

static size_t take(char *data, size_t one, size_t n, void *user)
{
	S3Call *call = user;
	long status = 0;

	(void)one;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300 && call->n_body + n > ERROR_BODY_MAX)
		return n; /* enough to know what it says */
	if (call->n_body + n > call->cap) {
		size_t told = status < 300 && call->length > 0 ? (size_t)call->length : 0;
		size_t cap = MAX(MAX(told, call->n_body + n), call->cap * 2);
		uint8_t *bigger = realloc(call->body, cap);
		if (!bigger) {
			call->too_big = true;
			return 0;
		}
		call->body = bigger;
		call->cap = cap;
	}
	memcpy(call->body + call->n_body, data, n);
	call->n_body += n;
	return n;
}

/* The value if the line is the header `name`. */
static bool header_is(const char *line, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return false;
	line += len + 1;
	line += strspn(line, " \t");
	len = strcspn(line, "\r\n");
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	if (len >= size)
		return false;
	memcpy(value, line, len);
	value[len] = 0;
	return true;
}

static void read_header(S3Call *call, const char *line)
{
	char value[256];

	if (strncmp(line, "HTTP/", 5) == 0) {
		call->length = call->whole = call->range_start = call->retry_after = -1;
		call->date = 0;
		call->chunked = call->headers_end = false;
		return;
	}
	if (line[0] == '\r' || line[0] == '\n') {
		call->headers_end = true;
		return;
	}
	if (header_is(line, "etag", call->etag, sizeof call->etag) || header_is(line, "x-amz-bucket-region", call->region, sizeof call->region) ||
	    header_is(line, "x-amz-meta-bvisor-sha256", call->sha256, sizeof call->sha256) || header_is(line, "x-amz-meta-bvisor-put", call->nonce, sizeof call->nonce))
		return;
	if (header_is(line, "content-length", value, sizeof value))
		call->length = strtoll(value, NULL, 10);
	else if (header_is(line, "transfer-encoding", value, sizeof value))
		call->chunked = strcasecmp(value, "chunked") == 0;
	else if (header_is(line, "content-range", value, sizeof value)) {
		intmax_t from, to, whole;
		if (sscanf(value, "bytes %jd-%jd/%jd", &from, &to, &whole) == 3)
			call->range_start = from, call->whole = whole;
		else if (sscanf(value, "bytes */%jd", &whole) == 1)
			call->whole = whole;
	} else if (header_is(line, "retry-after", value, sizeof value))
		call->retry_after = value[0] >= '0' && value[0] <= '9' ? strtol(value, NULL, 10) : -1;
	else if (header_is(line, "date", value, sizeof value))
		call->date = MAX((int64_t)curl_getdate(value, NULL), (int64_t)0);
}

static size_t take_header(char *data, size_t one, size_t n, void *user)
{
	char line[512];

	(void)one;
	snprintf(line, sizeof line, "%.*s", (int)MIN(n, sizeof line - 1), data);
	read_header(user, line);
	return n;
}

/* ---- the handle ---- */

static int add_line(S3Call *call, const char *name, const char *value)
{
	CLEAN_SECRET char *line = bv_asprintf("%s%s%s", name, value ? ": " : ":", value ? value : "");
	struct curl_slist *longer = line ? curl_slist_append(call->lines, line) : NULL;

	if (!longer)
		return -ENOMEM;
	call->lines = longer;
	return 0;
}

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const S3Pair *)a)->name, ((const S3Pair *)b)->name);
}

/* Signs, and makes the lines of the headers: the same texts. */
static int make_headers(S3Call *call, const char *host, const char *path, const char *query, const char *region, int64_t now)
{
	S3Pair headers[HEADERS_MAX] = {{"host", host}, {"x-amz-content-sha256", call->payload}};
	CLEAN_FREE char *authorization = NULL;
	char date[S3_DATE_TEXT];
	size_t n = 2;
	int r;

	call->signed_at = now;
	s3_date(now, date);
	headers[n++] = (S3Pair){"x-amz-date", date};
	if (call->keys->token[0])
		headers[n++] = (S3Pair){"x-amz-security-token", call->keys->token};
	for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i].name; i++)
		headers[n++] = call->headers[i];
	qsort(headers, n, sizeof *headers, compare_pairs);
	S3Signing signing = {call->method, path, query, headers, n, call->payload, date, region, "s3"};
	r = s3_authorization(&signing, call->keys, &authorization);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_line(call, headers[i].name, headers[i].value);
	if (r == 0)
		r = add_line(call, "authorization", authorization);
	/* "Expect: 100-continue", which libcurl adds to large bodies, costs a round trip, and is worth it only where the server may refuse before it has
	 * read the body: then it closes the connection, and its answer is lost if we are still sending. */
	if (r == 0 && !(call->conditional && call->size > EXPECT_FROM))
		r = add_line(call, "Expect", NULL);
	return r == 0 ? add_line(call, "Content-Type", NULL) : r;
}

static void set_up(S3Call *call)
{
	CURL *easy = call->easy;

	curl_easy_setopt(easy, CURLOPT_URL, call->url);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->lines);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	s3_close_on_exec(easy);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->message);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	if (call->method[0] == 'P') { /* PUT, POST */
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->size);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(easy, CURLOPT_READDATA, call);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_to);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
	} else if (strcmp(call->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

int s3_call_prepare(S3Call *call, const char *scheme_host, const char *host, const char *path, const char *region, int64_t now)
{
	size_t n = 0;

	while (n < ARRAY_LEN(call->params) && call->params[n].name)
		n++;
	CLEAN_FREE char *encoded = s3_encode_path(path);
	CLEAN_FREE char *query = s3_encode_query(call->params, n);
	call->easy = curl_easy_init();
	if (!encoded || !query || !call->easy)
		return -ENOMEM;
	call->url = bv_asprintf("%s%s%s%s", scheme_host, encoded, n ? "?" : "", query);
	int r = call->url ? make_headers(call, host, encoded, query, region, now) : -ENOMEM;
	if (r == 0)
		set_up(call);
	return r;
}

void s3_call_end_attempt(S3Call *call)
{
	curl_easy_cleanup(TAKE_PTR(call->easy));
	for (struct curl_slist *line = call->lines; line; line = line->next)
		OPENSSL_cleanse(line->data, strlen(line->data)); /* the session token */
	curl_slist_free_all(TAKE_PTR(call->lines));
	free(TAKE_PTR(call->url));
	s3_keys_put(TAKE_PTR(call->keys));
}

void s3_call_reset(S3Call *call)
{
	s3_call_end_attempt(call);
	free(TAKE_PTR(call->body));
	free(TAKE_PTR(call->error));
	call->n_body = call->cap = call->sent = 0;
	call->status = 0;
	call->result = 0;
	call->code[0] = call->message[0] = call->etag[0] = call->sha256[0] = call->nonce[0] = call->region[0] = 0;
	call->length = call->whole = call->range_start = call->retry_after = -1;
	call->date = 0;
	call->too_big = call->chunked = call->headers_end = false;
}
