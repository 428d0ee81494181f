#include "backends/s3/fetch.h"
#include "backends/s3/keys.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/socket.h>

#define ANSWER_MAX ((size_t)256 << 10)

typedef struct Answer {
	char *text;
	size_t n;
} Answer;

static size_t receive(char *data, size_t one, size_t n, void *user)
{
	Answer *answer = user;
	char *bigger;

	(void)one;
	if (answer->n + n > ANSWER_MAX || !(bigger = malloc(answer->n + n + 1)))
		return 0;
	if (answer->n)
		memcpy(bigger, answer->text, answer->n);
	memcpy(bigger + answer->n, data, n);
	bigger[answer->n + n] = 0;
	s3_wipe_free(answer->text);
	answer->text = bigger;
	answer->n += n;
	return n;
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)ctx;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void s3_close_on_exec(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
}

static void set_up(CURL *curl, const S3Fetch *fetch, struct curl_slist *headers, Answer *answer, char *reason)
{
	curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, fetch->method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (fetch->body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, fetch->body);
	if (fetch->ca)
		curl_easy_setopt(curl, CURLOPT_CAINFO, fetch->ca);
	if (fetch->direct)
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, fetch->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	s3_close_on_exec(curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
}

int s3_fetch(const S3Fetch *fetch, char **text, char **err)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = NULL;
	char reason[CURL_ERROR_SIZE] = "";
	Answer answer = {0};
	long status = 0;
	CURLcode code = CURLE_OUT_OF_MEMORY;

	for (const char *const *h = fetch->headers; *h; h++) {
		struct curl_slist *longer = curl_slist_append(headers, *h);
		headers = longer ? longer : headers;
	}
	if (curl) {
		set_up(curl, fetch, headers, &answer, reason);
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	}
	curl_easy_cleanup(curl);
	for (struct curl_slist *h = headers; h; h = h->next)
		OPENSSL_cleanse(h->data, strlen(h->data)); /* tokens */
	curl_slist_free_all(headers);
	if (code != CURLE_OK) {
		s3_wipe_free(answer.text);
		return bv_fail(err, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EHOSTUNREACH, "%s",
			       reason[0] ? reason : curl_easy_strerror(code));
	}
	*text = answer.text ? answer.text : strdup("");
	return *text ? (int)status : -ENOMEM;
}
