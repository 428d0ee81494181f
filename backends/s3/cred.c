#include "backends/s3/cred.h"

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <time.h>

#define RENEW_BEFORE 300
#define RETRY_AFTER 30

void s3_credentials_init(S3Credentials *c, const S3Config *config)
{
	*c = (S3Credentials){.config = config};
}

void s3_credentials_release(S3Credentials *c)
{
	s3_keys_put(TAKE_PTR(c->keys));
}

static int ask(const S3Config *config, S3Keys *keys, char **err)
{
	static S3Source *const sources[] = {s3_source_environment, s3_source_web_identity, s3_source_profile, s3_source_container, s3_source_machine};
	S3Profiles profiles = {0};
	int r = 0;

	/* Files that cannot be read do not matter where the environment has all. */
	if (config->profile_first || (r = s3_source_environment(config, &profiles, keys, err)) == 0) {
		r = s3_profiles_load(&profiles, err);
		if (r == 0 && config->profile_first)
			r = s3_source_profile(config, &profiles, keys, err);
		for (size_t i = 0; r == 0 && i < ARRAY_LEN(sources); i++)
			r = sources[i](config, &profiles, keys, err);
	}
	s3_profiles_release(&profiles);
	if (r == 0)
		return bv_fail(err, -EACCES,
			       "no credentials for s3://%s: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws/credentials (profile \"%s\" has none)",
			       config->bucket, config->profile);
	return r < 0 ? r : 0;
}

/* Whether the keys can still be used at all, and whether they need no renewal yet. */
static bool usable(const S3Keys *keys, int64_t now)
{
	return keys->expires == 0 || now < keys->expires;
}

static bool fresh(const S3Keys *keys, int64_t now)
{
	return keys->expires == 0 || now < keys->expires - RENEW_BEFORE;
}

int s3_credentials_get(S3Credentials *c, bool renew, S3Keys **out, char **err)
{
	int64_t now = time(NULL);
	S3Keys *keys;
	int r;

	if (c->keys && !renew && (fresh(c->keys, now) || (usable(c->keys, now) && now < c->next_try))) {
		*out = s3_keys_get(c->keys);
		return 0;
	}
	keys = s3_keys_new();
	r = keys ? ask(c->config, keys, err) : -ENOMEM;
	if (r < 0) {
		s3_keys_put(keys);
		c->next_try = now + RETRY_AFTER;
		if (renew || !c->keys || !usable(c->keys, now))
			return r;
		*out = s3_keys_get(c->keys);
		return 0;
	}
	s3_keys_put(c->keys);
	c->keys = keys;
	*out = s3_keys_get(keys);
	return 0;
}

/* ---- what sources share ---- */

int64_t s3_parse_time(const char *text)
{
	struct tm tm = {0};

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return timegm(&tm);
}

static void wipe_json(cJSON *item)
{
	for (; item; item = item->next) {
		if (cJSON_IsString(item) && item->valuestring)
			OPENSSL_cleanse(item->valuestring, strlen(item->valuestring));
		wipe_json(item->child);
	}
}

int s3_keys_from_json(S3Keys *keys, const char *text, const char *token)
{
	cJSON *json = cJSON_Parse(text);
	const char *expiration = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "Expiration"));
	int r = s3_keys_set(keys, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "AccessKeyId")),
			    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "SecretAccessKey")), cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, token)));

	keys->expires = expiration ? s3_parse_time(expiration) : 0;
	if (expiration && !keys->expires)
		r = -EINVAL;
	wipe_json(json);
	cJSON_Delete(json);
	return r;
}
