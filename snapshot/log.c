#include "snapshot/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

void log_name(const char *prefix, uint64_t number, ObjectName out)
{
	snprintf(out, OBJECT_NAME_MAX + 1, "%s/%016" PRIx64, prefix, number);
}

int log_number(const char *name, uint64_t *number)
{
	const char *last = strrchr(name, '/');
	uint64_t v = 0;

	last = last ? last + 1 : name;
	if (strlen(last) != 16)
		return -EINVAL;
	for (const char *c = last; *c; c++) {
		bool digit = *c >= '0' && *c <= '9';
		if (!digit && (*c < 'a' || *c > 'f'))
			return -EINVAL;
		v = v << 4 | (uint64_t)(digit ? *c - '0' : *c - 'a' + 10);
	}
	*number = v;
	return v ? 0 : -EINVAL;
}

int64_t boot_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec;
}

int log_token(char token[33])
{
	uint8_t raw[16];
	int r = coder_random(raw, sizeof raw);

	for (size_t i = 0; i < sizeof raw; i++)
		snprintf(token + 2 * i, 3, "%02x", raw[i]);
	return r;
}

void log_hint(SnapStore *s, const char *prefix, uint64_t number)
{
	ObjectName name;
	char text[32];
	int len = snprintf(text, sizeof text, "%016" PRIx64 "\n", number);

	snprintf(name, sizeof name, "%s/hint", prefix);
	IGNORE_RESULT(kept_put(s, name, text, (size_t)len, 0, NULL)); /* without it the next one lists */
}

/* 0: no usable hint. */
static int read_hint(SnapStore *s, const char *prefix, uint64_t *hint, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName name;
	char text[17];
	size_t n;

	*hint = 0;
	snprintf(name, sizeof name, "%s/hint", prefix);
	int r = kept_get_maybe(s, name, &body, &n, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0 || n != 17)
		return r;
	memcpy(text, body, 16);
	text[16] = 0;
	if (log_number(text, hint) < 0)
		*hint = 0;
	return 0;
}

static int highest(void *ctx, const char *name, uint64_t size, int64_t age)
{
	uint64_t *best = ctx, number;

	(void)size;
	(void)age;
	if (log_number(name, &number) == 0)
		*best = MAX(*best, number);
	return 0;
}

int log_newest(SnapStore *s, const char *prefix, bool dense, uint64_t *number, uint8_t **body, size_t *n, char **err)
{
	CLEAN_FREE uint8_t *have = NULL;
	size_t have_n = 0;
	uint64_t hint, at;
	ObjectName name;
	bool listed = false;
	int r = read_hint(s, prefix, &hint, err);

	at = hint ? hint : dense ? 1 : 0;
	while (r == 0) {
		if (at == 0) { /* nothing to go by */
			snprintf(name, sizeof name, "%s/", prefix);
			r = kept_list(s, name, highest, &at, err);
			listed = true;
			if (r < 0 || at == 0)
				break;
		}
		uint8_t *next = NULL;
		size_t next_n;
		log_name(prefix, at, name);
		r = kept_get_maybe(s, name, &next, &next_n, err);
		if (r == -ENOENT) {
			r = 0;
			if (have || (dense && at == 1))
				break;
			if (listed) /* removed just now */
				return bv_fail(err, -EAGAIN, "%s is being removed", prefix);
			at = 0;
			continue;
		}
		if (r == 0) {
			free(have);
			have = next;
			have_n = next_n;
			at++;
		}
	}
	if (r < 0)
		return r;
	*number = have ? at - 1 : 0;
	if (have && hint + 8 < at - 1)
		log_hint(s, prefix, at - 1);
	*body = TAKE_PTR(have);
	*n = have_n;
	return 0;
}

typedef struct Lease {
	ObjectName name;
	char token[33];
} Lease;

/* Whose the lease is: 1: ours, 0: nobody's (or it has run out), -EBUSY: another's. */
static int lease_state(SnapStore *s, const Lease *lease, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	char token[33];
	long long until;
	size_t n;
	int r = kept_get_maybe(s, lease->name, &body, &n, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	CLEAN_FREE char *text = strndup((const char *)body, n);
	if (!text)
		return bv_fail(err, -ENOMEM, "not enough memory");
	if (sscanf(text, "bvlease 1\ntoken %32[0-9a-f]\nuntil %lld\n", token, &until) != 2 || until <= (long long)time(NULL))
		return 0;
	if (strcmp(token, lease->token) == 0)
		return 1;
	return bv_fail(err, -EBUSY, "%s is another writer's for %lld more seconds: this store cannot order writers by itself, try again then", lease->name,
		       until - (long long)time(NULL));
}

static int lease_take(SnapStore *s, const char *prefix, Lease *lease, char **err)
{
	char text[128];

	snprintf(lease->name, sizeof lease->name, "%s/lease", prefix);
	int r = log_token(lease->token);
	if (r < 0)
		return bv_fail(err, r, "no random numbers");
	r = lease_state(s, lease, err);
	if (r < 0)
		return r;
	int len = snprintf(text, sizeof text, "bvlease 1\ntoken %s\nuntil %lld\n", lease->token, (long long)time(NULL) + LOG_LEASE_SECONDS);
	r = kept_put(s, lease->name, text, (size_t)len, 0, err);
	if (r < 0)
		return r;
	r = lease_state(s, lease, err); /* somebody may have put his own right after ours */
	return r == 0 ? bv_fail(err, -EBUSY, "%s was taken by another writer at the same moment: try again", lease->name) : MIN(r, 0);
}

/* Without an atomic put: lease, look, put, and look whether the lease was still ours. */
static int append_leased(SnapStore *s, const char *prefix, const char *name, const void *data, size_t len, char **err)
{
	Lease lease;
	uint64_t size;
	int r = lease_take(s, prefix, &lease, err);

	if (r < 0)
		return r;
	r = kept_head(s, name, &size, NULL);
	if (r == -ENOENT)
		r = kept_put(s, name, data, len, 0, err);
	else
		r = bv_fail(err, r == 0 ? -EEXIST : r, "%s: %s", name, r == 0 ? "exists already" : "cannot tell whether it exists");
	if (r == 0 && lease_state(s, &lease, NULL) != 1) {
		CLEAN_FREE uint8_t *body = NULL;
		size_t n;
		r = kept_get(s, name, 0, 0, &body, &n, NULL, err);
		if (r == 0 && (n != len || memcmp(body, data, len) != 0))
			r = bv_fail(err, -EEXIST, "%s was written by another writer at the same moment", name);
	}
	IGNORE_RESULT(kept_delete(s, lease.name, NULL)); /* it runs out */
	return r;
}

int log_append(SnapStore *s, const char *prefix, uint64_t number, const void *data, size_t len, char **err)
{
	ObjectName name;
	char *why = NULL;
	int atomic = kept_if_absent(s, err);

	if (atomic < 0)
		return atomic;
	log_name(prefix, number, name);
	int r = atomic ? kept_put(s, name, data, len, OBJECT_IF_ABSENT, &why) : append_leased(s, prefix, name, data, len, &why);
	if (r == -EEXIST && atomic) {
		/* A put whose answer was lost may have been repeated: then what is there is ours. */
		CLEAN_FREE uint8_t *body = NULL;
		size_t n;
		if (kept_get(s, name, 0, 0, &body, &n, NULL, NULL) == 0 && n == len && memcmp(body, data, len) == 0)
			r = 0;
	}
	if (r == 0)
		log_hint(s, prefix, number);
	return err_settle(err, &why, r);
}
