/* backends/s3/verdict.c - what an answer means: the errno of the contract, the sentence for people, and whether another attempt can help. */
#include "backends/s3/call.h"
#include "backends/s3/xml.h"

#include <stdio.h>

#define SKEW_SECONDS 300 /* more than that is worth a second look; servers refuse from 900 on */

/* ---- what the server said ---- */

static int error_text(void *ctx, const char *path, const char *text)
{
	S3Call *call = ctx;

	if (strcmp(path, "Error/Code") == 0)
		snprintf(call->code, sizeof call->code, "%s", text);
	else if (strcmp(path, "Error/Message") == 0)
		snprintf(call->message, sizeof call->message, "%s", text);
	else if (strcmp(path, "Error/Region") == 0)
		snprintf(call->region, sizeof call->region, "%s", text);
	else if (strcmp(path, "Error/ActualObjectSize") == 0 && call->whole < 0)
		call->whole = strtoll(text, NULL, 10);
	return 0;
}

static void only_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

void s3_read_error(S3Call *call)
{
	call->message[0] = 0;
	if (call->n_body && s3_xml_parse(call->body, call->n_body, error_text, call) < 0 && call->code[0] == 0)
		call->message[0] = 0; /* a page of some proxy: the status has to do */
	only_printable(call->code);
	only_printable(call->message);
	if (call->region[strspn(call->region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")])
		call->region[0] = 0;
}

/* ---- no answer ---- */

static int no_answer(const S3Call *call, const char **advice)
{
	switch (call->curl_code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		*advice = "its name cannot be resolved; check the endpoint, the region and the network";
		return -EHOSTUNREACH;
	case CURLE_COULDNT_RESOLVE_PROXY:
		*advice = "the name of the proxy cannot be resolved; check https_proxy";
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		*advice = "it takes no connection; check the endpoint, and whether the server runs";
		return call->os_error == EHOSTUNREACH || call->os_error == ENETUNREACH ? -EHOSTUNREACH : call->os_error == ETIMEDOUT ? -ETIMEDOUT : -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		*advice = "it does not answer in time; check the network";
		return -ETIMEDOUT;
	case CURLE_PARTIAL_FILE:
		*advice = "its answer was cut";
		return -EBADMSG;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		*advice = "its certificate is not trusted; for a certificate authority of your own set AWS_CA_BUNDLE to its file";
		return -EIO;
	case CURLE_SSL_CONNECT_ERROR:
		*advice = "TLS failed; does the endpoint speak https?";
		return -EIO;
	case CURLE_OUT_OF_MEMORY:
		*advice = "out of memory";
		return -ENOMEM;
	default:
		*advice = "the connection broke";
		return -EHOSTUNREACH;
	}
}

static void tries_text(const S3Call *call, char out[32])
{
	out[0] = 0;
	if (call->attempt > 1)
		snprintf(out, 32, ", %d attempts", call->attempt);
}

static S3Remedy judge_no_answer(S3Call *call, const char *where, const char *host)
{
	const char *advice;
	char tries[32];
	int r = call->too_big ? -ENOMEM : no_answer(call, &advice);

	if (call->too_big)
		advice = "out of memory";
	tries_text(call, tries);
	only_printable(call->message);
	call->result = bv_fail(&call->error, r, "cannot %s %s: %s: %s (%s%s)", call->doing, where, host, advice, call->message[0] ? call->message : curl_easy_strerror(call->curl_code), tries);
	switch (call->curl_code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return S3_FINAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_SSL_CONNECT_ERROR:
		return call->attempt < 3 ? S3_AGAIN : S3_FINAL;
	case CURLE_COULDNT_CONNECT:
		return call->attempt < 6 ? S3_AGAIN : S3_FINAL;
	default:
		return call->too_big ? S3_FINAL : S3_AGAIN;
	}
}

/* ---- answers ---- */

typedef struct Meaning {
	const char *code; /* NULL: by the status alone */
	long status;	  /* 0: by the code alone */
	int result;
	S3Remedy remedy;
	const char *advice;
} Meaning;

/* The first row that fits. Where a remedy was tried already it is final (again: while attempts are left). */
static const Meaning meanings[] = {
	{"NoSuchBucket", 0, -ENODEV, S3_FINAL, "there is no such bucket; make it, or check the spelling and the endpoint"},
	{"NoSuchUpload", 0, -EIO, S3_FINAL, "the upload was ended by somebody else"},
	{"RequestTimeTooSkewed", 0, -EACCES, S3_SET_CLOCK, "the clock of this machine differs from the server's; set it"},
	{"RequestExpired", 0, -EACCES, S3_SET_CLOCK, "the clock of this machine differs from the server's; set it"},
	{"ExpiredToken", 0, -EACCES, S3_RENEW_KEYS, "the session token has expired; log in again, or set AWS_SESSION_TOKEN and the keys anew"},
	{"ExpiredTokenException", 0, -EACCES, S3_RENEW_KEYS, "the session token has expired; log in again, or set AWS_SESSION_TOKEN and the keys anew"},
	{"TokenRefreshRequired", 0, -EACCES, S3_RENEW_KEYS, "the session token has expired; log in again, or set AWS_SESSION_TOKEN and the keys anew"},
	{"InvalidToken", 0, -EACCES, S3_RENEW_KEYS, "the session token is not valid; check AWS_SESSION_TOKEN"},
	{"AuthorizationHeaderMalformed", 0, -EACCES, S3_OTHER_REGION, "the bucket is in another region; set AWS_REGION"},
	{"AuthorizationQueryParametersError", 0, -EACCES, S3_OTHER_REGION, "the bucket is in another region; set AWS_REGION"},
	{"PermanentRedirect", 0, -EACCES, S3_OTHER_REGION, "the bucket is in another region; set AWS_REGION"},
	{"IllegalLocationConstraintException", 0, -EACCES, S3_OTHER_REGION, "the bucket is in another region; set AWS_REGION"},
	{"TemporaryRedirect", 0, -EIO, S3_OTHER_REGION, "the bucket is moving; try again later"},
	{"InvalidAccessKeyId", 0, -EACCES, S3_FINAL, "the server does not know this access key; check AWS_ACCESS_KEY_ID or AWS_PROFILE, and the endpoint"},
	{"SignatureDoesNotMatch", 0, -EACCES, S3_FINAL, "the secret key is wrong; check AWS_SECRET_ACCESS_KEY or AWS_PROFILE"},
	{"AccessDenied", 0, -EACCES, S3_FINAL, "these keys may not do this here; check AWS_PROFILE and the policy of the bucket"},
	{"AllAccessDisabled", 0, -EACCES, S3_FINAL, "access to this bucket is disabled"},
	{"XAmzContentSHA256Mismatch", 0, -EBADMSG, S3_AGAIN, "the data was damaged on its way"},
	{"BadDigest", 0, -EBADMSG, S3_AGAIN, "the data was damaged on its way"},
	{"IncompleteBody", 0, -EBADMSG, S3_AGAIN, "the data was cut on its way"},
	{"RequestTimeout", 0, -ETIMEDOUT, S3_AGAIN, "the data came too slowly"},
	{"SlowDown", 0, -EIO, S3_AGAIN, "the server wants fewer requests; lower BVISOR_S3_TRANSFERS"},
	{"OperationAborted", 0, -EIO, S3_AGAIN, "another operation is under way"},
	{"ConditionalRequestConflict", 0, -EIO, S3_AGAIN, "another operation is under way"},
	{"QuotaExceeded", 0, -ENOSPC, S3_FINAL, "the quota is used up; remove something, or raise it"},
	{"InsufficientStorage", 0, -ENOSPC, S3_FINAL, "the server is full"},
	{"XMinioStorageFull", 0, -ENOSPC, S3_FINAL, "the server is full"},
	{"NotImplemented", 0, -EOPNOTSUPP, S3_FINAL, "the server cannot do this"},
	{"InvalidObjectState", 0, -EIO, S3_FINAL, "the object is archived; restore it first"},
	{"ReadOnly", 0, -EROFS, S3_FINAL, "the server takes no writes now"},
	{NULL, 507, -ENOSPC, S3_FINAL, "the server is full"},
	{NULL, 501, -EOPNOTSUPP, S3_FINAL, "the server cannot do this"},
	{NULL, 429, -EIO, S3_AGAIN, "the server wants fewer requests; lower BVISOR_S3_TRANSFERS"},
	{NULL, 416, S3_RANGE_BEYOND, S3_FINAL, "the range is behind the end"},
	{NULL, 412, -EEXIST, S3_FINAL, "it is there already"},
	{NULL, 408, -ETIMEDOUT, S3_AGAIN, "the data came too slowly"},
	{NULL, 404, -ENOENT, S3_FINAL, "there is no such object"},
	{NULL, 403, -EACCES, S3_FINAL, "these keys may not do this here; check the keys, AWS_PROFILE, and the policy of the bucket"},
	{NULL, 401, -EACCES, S3_FINAL, "the server does not accept these keys; check AWS_PROFILE"},
	{NULL, 307, -EIO, S3_OTHER_REGION, "the bucket is moving; try again later"},
	{NULL, 301, -EACCES, S3_OTHER_REGION, "the bucket is in another region or at another endpoint; set AWS_REGION or the endpoint"},
};

/* Errors of HEAD have no body, so the status stands for several; what else is known about them. */
static S3Remedy without_code(const S3Call *call, S3Remedy remedy)
{
	int64_t skew = call->date ? call->date - call->signed_at : 0;

	if (call->code[0] || (call->status != 400 && call->status != 403))
		return remedy;
	if (!call->clock_set && (skew > SKEW_SECONDS || skew < -SKEW_SECONDS))
		return S3_SET_CLOCK;
	if (call->region[0] && !call->region_set)
		return S3_OTHER_REGION;
	return call->keys && call->keys->token[0] && !call->renewed ? S3_RENEW_KEYS : remedy;
}

static const Meaning *meaning_of(const S3Call *call)
{
	static const Meaning again = {NULL, 0, -EIO, S3_AGAIN, "the server has a fault"}, other = {NULL, 0, -EIO, S3_FINAL, "the server refused"};

	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].code ? strcmp(meanings[i].code, call->code) == 0 : meanings[i].status == call->status)
			return &meanings[i];
	/* Below 200 is no answer: what is left of one. */
	return call->status >= 500 || call->status < 200 ? &again : &other;
}

/* A connection that ends within the headers is no error to libcurl, and what it has then looks like an answer with less headers and an empty body. */
static bool cut(const S3Call *call)
{
	bool get = strcmp(call->method, "GET") == 0;

	return !call->headers_end || (get && call->status < 300 && call->length < 0 && !call->chunked);
}

S3Remedy s3_judge(S3Call *call, const char *where, const char *host, const char *region, const S3Keys *keys)
{
	const Meaning *meaning;
	S3Remedy remedy;
	char tries[32];

	if (call->curl_code != CURLE_OK)
		return judge_no_answer(call, where, host);
	if (cut(call)) {
		call->curl_code = CURLE_PARTIAL_FILE;
		return judge_no_answer(call, where, host);
	}
	if (call->status >= 200 && call->status < 300) {
		int r = call->check ? call->check(call) : 0;
		if (r < 0)
			call->result = bv_fail(&call->error, r, "cannot %s %s: %s", call->doing, where,
					       r == -EBADMSG ? "what came is not what was put; the object or the way to it is damaged" : strerror(-r));
		else if (call->code[0]) /* an error in an answer of 200, found by check */
			call->result = bv_fail(&call->error, -EIO, "cannot %s %s: %ld %s", call->doing, where, call->status, call->code);
		return r == -EBADMSG || r == -EAGAIN ? S3_AGAIN : S3_FINAL;
	}
	s3_read_error(call);
	s3_keys_scrub(keys, call->message);
	meaning = meaning_of(call);
	remedy = without_code(call, meaning->remedy);
	tries_text(call, tries);
	call->result = bv_fail(&call->error, meaning->result, "cannot %s %s: %ld%s%s at %s (region %s%s): %s%s%s%s", call->doing, where, call->status, call->code[0] ? " " : "", call->code,
			       host, region, tries, meaning->advice, call->message[0] ? " (" : "", call->message, call->message[0] ? ")" : "");
	return remedy;
}
