#include "backends/s3/wire.h"

#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#define BACKOFF_MS 100
#define BACKOFF_MAX_MS 8000
#define CONNECT_TIMEOUT_MS 10000
#define CLEANUP_TIMEOUT_MS 3000
#define SLOW_BYTES 1000 /* a second; less than that for `stall` seconds is a stall */

char *s3_where(const S3Config *c, const char *name)
{
	return bv_asprintf("s3://%s%s%s%s", c->bucket, c->prefix[0] || name ? "/" : "", c->prefix, name ? name : "");
}

/* ---- another attempt later ---- */

/* Half of the time is by chance, so that clients that failed together do not come back together. */
static uint64_t backoff_ns(const S3Call *call)
{
	uint64_t ms = MIN((uint64_t)BACKOFF_MS << MIN(call->attempt - 1, 10), (uint64_t)BACKOFF_MAX_MS);
	uint32_t random = 0;

	IGNORE_RESULT(getrandom(&random, sizeof random, GRND_NONBLOCK)); /* 0 is as good a number */
	ms = ms / 2 + random % (ms / 2 + 1);
	if (call->retry_after > 0)
		ms = MAX(ms, (uint64_t)MIN(call->retry_after, (int64_t)30) * 1000);
	return ms * 1000000;
}

static void put_back(S3Wire *wire, S3Call *call, uint64_t delay_ns)
{
	call->not_before = delay_ns ? bv_now_ns() + delay_ns : 0;
	call->next = wire->later;
	wire->later = call;
}

/* ---- one attempt ---- */

/* Ends a call; the owner may free it in `done`. */
static void finish(S3Call *call)
{
	s3_call_end_attempt(call);
	call->done(call);
}

static void cancel(S3Wire *wire, S3Call *call)
{
	CLEAN_FREE char *where = s3_where(&wire->config, call->name);

	s3_call_reset(call);
	call->result = bv_fail(&call->error, -ECANCELED, "cannot %s %s: the store was closed", call->doing, where ? where : "");
	finish(call);
}

static int set_options(S3Wire *wire, S3Call *call)
{
	CURL *easy = call->easy;

	if (wire->config.ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, wire->config.ca);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)wire->config.stall);
	if (wire->ending)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CLEANUP_TIMEOUT_MS);
	return curl_multi_add_handle(wire->multi, easy) == CURLM_OK ? 0 : -ENOMEM;
}

static int prepare(S3Wire *wire, S3Call *call)
{
	const S3Config *c = &wire->config;
	CLEAN_FREE char *host = s3_config_host(c, wire->region);
	CLEAN_FREE char *scheme_host = host ? bv_asprintf("%s://%s", c->tls ? "https" : "http", host) : NULL;
	CLEAN_FREE char *path = bv_asprintf("%s/%s%s%s%s", c->base, c->path_style ? c->bucket : "", c->path_style && call->name ? "/" : "", call->name ? c->prefix : "",
					    call->name ? call->name : "");
	int r = scheme_host && path ? 0 : -ENOMEM;

	if (r == 0)
		r = s3_credentials_get(&wire->credentials, false, &call->keys, &call->error);
	if (r == 0)
		r = s3_call_prepare(call, scheme_host, host, path, wire->region, time(NULL) + wire->clock_offset);
	return r == 0 ? set_options(wire, call) : r;
}

static void launch(S3Wire *wire, S3Call *call)
{
	s3_call_reset(call);
	call->attempt++;
	int r = prepare(wire, call);
	if (r == 0) {
		call->next = wire->on_wire;
		wire->on_wire = call;
		wire->active++;
		return;
	}
	/* The keys come from a server, too. */
	if ((r == -ETIMEDOUT || r == -EHOSTUNREACH) && call->attempt < wire->config.attempts && !wire->ending) {
		put_back(wire, call, backoff_ns(call));
		return;
	}
	CLEAN_FREE char *where = s3_where(&wire->config, call->name);
	CLEAN_FREE char *reason = TAKE_PTR(call->error);
	call->result = bv_fail(&call->error, r, "cannot %s %s: %s", call->doing, where ? where : "", reason ? reason : strerror(-r));
	finish(call);
}

/* ---- answers ---- */

/* Whether the remedy may help; the state of the wire is changed so that it does. */
static bool apply(S3Wire *wire, S3Call *call, S3Remedy remedy, uint64_t *delay)
{
	CLEAN_FREE char *region = NULL;
	S3Keys *keys = NULL;

	*delay = 0;
	switch (remedy) {
	case S3_AGAIN:
		*delay = backoff_ns(call);
		return call->attempt < wire->config.attempts;
	case S3_RENEW_KEYS:
		if (call->renewed)
			return false;
		call->renewed = true;
		/* Keys that another call has renewed meanwhile are good. */
		if (wire->credentials.keys == call->keys && s3_credentials_get(&wire->credentials, true, &keys, NULL) < 0)
			return false;
		s3_keys_put(keys);
		return true;
	case S3_SET_CLOCK:
		if (call->clock_set || !call->date)
			return false;
		call->clock_set = true;
		wire->clock_offset = call->date - (int64_t)time(NULL);
		return true;
	case S3_OTHER_REGION:
		if (call->region_set || !call->region[0] || !(region = strdup(call->region)))
			return false;
		call->region_set = true;
		free(wire->region);
		wire->region = TAKE_PTR(region);
		return true;
	default:
		return false;
	}
}

static void take_off(S3Wire *wire, S3Call *call)
{
	S3Call **at = &wire->on_wire;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	curl_multi_remove_handle(wire->multi, call->easy);
	wire->active--;
}

static void answered(S3Wire *wire, S3Call *call, CURLcode code)
{
	CLEAN_FREE char *where = s3_where(&wire->config, call->name);
	CLEAN_FREE char *host = s3_config_host(&wire->config, wire->region);
	S3Remedy remedy;
	uint64_t delay;

	call->curl_code = code;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &call->os_error);
	take_off(wire, call);
	remedy = s3_judge(call, where ? where : "the object", host ? host : "the server", wire->region, call->keys);
	if (remedy != S3_FINAL && !wire->ending && apply(wire, call, remedy, &delay)) {
		if (code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST)
			call->ambiguous = true;
		put_back(wire, call, delay);
		return;
	}
	finish(call);
}

/* ---- the thread ---- */

static void take_queue(S3Wire *wire)
{
	pthread_mutex_lock(&wire->lock);
	if (wire->first) {
		*wire->ready_end = wire->first;
		wire->ready_end = wire->last;
		wire->first = NULL;
		wire->last = &wire->first;
	}
	pthread_mutex_unlock(&wire->lock);
}

static S3Call *pop_ready(S3Wire *wire)
{
	S3Call *call = wire->ready;

	if (call && !(wire->ready = call->next))
		wire->ready_end = &wire->ready;
	return call;
}

/* Starts what may start, those that were tried already first; the milliseconds until the next one may. A launch may end its call, and the owner may begin others: those
 * are in the queue, not in these lists. */
static int launch_ready(S3Wire *wire)
{
	uint64_t now = bv_now_ns(), next = now + 1000000000ull;

	for (S3Call **at = &wire->later, *call; (call = *at);) {
		if (call->not_before > now || wire->active >= wire->config.transfers) {
			next = MIN(next, MAX(call->not_before, now));
			at = &call->next;
			continue;
		}
		*at = call->next;
		launch(wire, call);
	}
	while (wire->ready && wire->active < wire->config.transfers)
		launch(wire, pop_ready(wire));
	/* Without a free slot only the end of a transfer changes something. */
	return wire->active < wire->config.transfers ? (int)((next - now) / 1000000) + 1 : 1000;
}

static void cancel_all(S3Wire *wire)
{
	S3Call *keep = NULL, **end = &keep, *call;

	while ((call = TAKE_PTR(wire->later))) {
		wire->later = call->next;
		cancel(wire, call);
	}
	while ((call = pop_ready(wire))) {
		if (!call->cleanup) {
			cancel(wire, call);
			continue;
		}
		*end = call;
		end = &call->next;
		*end = NULL;
	}
	wire->ready = keep;
	wire->ready_end = keep ? end : &wire->ready;
	for (S3Call **at = &wire->on_wire; (call = *at);) {
		if (call->cleanup) {
			at = &call->next;
			continue;
		}
		take_off(wire, call);
		cancel(wire, call);
	}
}

/* True if there was one: it may have freed a slot, or put its call back for another attempt. */
static bool collect_answers(S3Wire *wire)
{
	CURLMsg *message;
	bool any = false;
	int left;

	while ((message = curl_multi_info_read(wire->multi, &left))) {
		S3Call *call = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		answered(wire, call, message->data.result);
		any = true;
	}
	return any;
}

static bool closing(S3Wire *wire)
{
	bool now;

	pthread_mutex_lock(&wire->lock);
	now = wire->closing;
	pthread_mutex_unlock(&wire->lock);
	return now;
}

static void *talk(void *arg)
{
	S3Wire *wire = arg;

	for (;;) {
		int running, timeout;
		wire->ending = closing(wire);
		take_queue(wire);
		if (wire->ending)
			cancel_all(wire);
		timeout = launch_ready(wire);
		curl_multi_perform(wire->multi, &running);
		bool changed = collect_answers(wire);
		pthread_mutex_lock(&wire->lock);
		bool more = wire->first;
		pthread_mutex_unlock(&wire->lock);
		if (wire->ending && !more && !wire->active && !wire->ready && !wire->later)
			return NULL;
		if (!more && !changed)
			curl_multi_poll(wire->multi, NULL, 0, timeout, NULL);
	}
}

/* ---- outside ---- */

static int start(S3Wire *wire)
{
	sigset_t all, before;
	int r;

	sigfillset(&all); /* signals are for the threads of the program */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&wire->thread, NULL, talk, wire);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	wire->started = r == 0;
	return -r;
}

int s3_wire_init(S3Wire *wire, S3Config *config, char **err)
{
	S3Keys *keys = NULL;
	int r;

	*wire = (S3Wire){.config = *config, .lock = PTHREAD_MUTEX_INITIALIZER};
	*config = (S3Config){0};
	wire->last = &wire->first;
	wire->ready_end = &wire->ready;
	s3_credentials_init(&wire->credentials, &wire->config);
	r = s3_credentials_get(&wire->credentials, false, &keys, err);
	s3_keys_put(keys);
	if (r == 0 && wire->config.ca && access(wire->config.ca, R_OK) < 0)
		r = bv_fail(err, -EINVAL, "cannot read the certificates in %s: %s; check AWS_CA_BUNDLE", wire->config.ca, strerror(errno));
	wire->region = r == 0 ? strdup(wire->config.region) : NULL;
	wire->multi = r == 0 ? curl_multi_init() : NULL;
	if (r == 0 && (!wire->region || !wire->multi))
		r = -ENOMEM;
	if (r == 0) {
		curl_multi_setopt(wire->multi, CURLMOPT_MAXCONNECTS, (long)wire->config.transfers + 4);
		r = start(wire);
	}
	if (r < 0)
		s3_wire_release(wire);
	return r;
}

void s3_wire_release(S3Wire *wire)
{
	if (wire->started) {
		pthread_mutex_lock(&wire->lock);
		wire->closing = true;
		pthread_mutex_unlock(&wire->lock);
		curl_multi_wakeup(wire->multi);
		pthread_join(wire->thread, NULL);
	}
	curl_multi_cleanup(wire->multi);
	free(wire->region);
	s3_credentials_release(&wire->credentials);
	s3_config_release(&wire->config);
	pthread_mutex_destroy(&wire->lock);
}

void s3_call_begin(S3Wire *wire, S3Call *call)
{
	call->attempt = 0;
	call->not_before = 0;
	call->ambiguous = call->renewed = call->clock_set = call->region_set = false;
	call->next = NULL;
	if (!call->payload[0] && s3_hash(call->in, call->n_in, call->offset, call->size, call->payload) < 0) {
		call->result = bv_fail(&call->error, -EIO, "cannot hash the data of %s", call->name ? call->name : "a request");
		call->done(call);
		return;
	}
	pthread_mutex_lock(&wire->lock);
	*wire->last = call;
	wire->last = &call->next;
	pthread_mutex_unlock(&wire->lock);
	curl_multi_wakeup(wire->multi);
}

static void post(S3Call *call)
{
	sem_post(call->user);
}

int s3_call_run(S3Wire *wire, S3Call *call)
{
	sem_t done;

	sem_init(&done, 0, 0);
	call->done = post;
	call->user = &done;
	s3_call_begin(wire, call);
	while (sem_wait(&done) < 0)
		;
	sem_destroy(&done);
	return call->result;
}
