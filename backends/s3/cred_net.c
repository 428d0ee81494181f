/* backends/s3/cred_net.c - keys that a service gives: STS (for a role), a container's agent, the metadata service of a machine (IMDSv2). */
#include "backends/s3/cred_role.h"
#include "backends/s3/fetch.h"
#include "backends/s3/sign.h"
#include "backends/s3/xml.h"

#include <stdio.h>
#include <time.h>

#define STS_TIMEOUT_MS 10000
#define CONTAINER_TIMEOUT_MS 2000
#define MACHINE_TIMEOUT_MS 1000

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* ---- STS ---- */

typedef struct StsAnswer {
	S3Keys *keys;
	char *id, *secret, *token;
	char code[64];
} StsAnswer;

static int sts_text(void *ctx, const char *path, const char *text)
{
	StsAnswer *a = ctx;
	const char *name = strrchr(path, '/');
	char **field = NULL;

	name = name ? name + 1 : path;
	if (strcmp(name, "Code") == 0)
		snprintf(a->code, sizeof a->code, "%s", text);
	else if (strcmp(name, "Expiration") == 0)
		a->keys->expires = s3_parse_time(text);
	else if (strcmp(name, "AccessKeyId") == 0)
		field = &a->id;
	else if (strcmp(name, "SecretAccessKey") == 0)
		field = &a->secret;
	else if (strcmp(name, "SessionToken") == 0)
		field = &a->token;
	if (field) {
		s3_wipe_free(*field);
		*field = strdup(text);
	}
	return field && !*field ? -ENOMEM : 0;
}

static int sts_read(const char *text, int status, const char *role, S3Keys *keys, char **err)
{
	StsAnswer answer = {.keys = keys};
	int r = s3_xml_parse(text, strlen(text), sts_text, &answer);

	if (status == 200 && r == 0)
		r = s3_keys_set(keys, answer.id, answer.secret, answer.token);
	else
		r = -EACCES;
	s3_wipe_free(answer.id);
	s3_wipe_free(answer.secret);
	s3_wipe_free(answer.token);
	if (r < 0)
		return bv_fail(err, -EACCES, "STS gave no keys for the role %s: HTTP %d %s; check the role and who may take it on", role, status, answer.code);
	return 1;
}

/* AWS_ENDPOINT_URL_STS, or AWS's for the region. */
static char *sts_url(const S3Config *config)
{
	const char *given = env("AWS_ENDPOINT_URL_STS");

	return given ? strdup(given) : bv_asprintf("https://sts.%s.amazonaws.com%s", config->region, strncmp(config->region, "cn-", 3) == 0 ? ".cn" : "");
}

static int sts_send(const S3Config *config, S3Fetch *fetch, const char *role, S3Keys *keys, char **err)
{
	CLEAN_SECRET char *text = NULL;
	CLEAN_FREE char *reason = NULL;
	int status = s3_fetch(fetch, &text, &reason);

	(void)config;
	if (status < 0)
		return bv_fail(err, status, "STS cannot be asked for the role %s: %s", role, reason ? reason : strerror(-status));
	return sts_read(text, status, role, keys, err);
}

int s3_assume_role_with_token(const S3Config *config, const char *file, const char *role, const char *session, S3Keys *keys, char **err)
{
	CLEAN_SECRET char *token = NULL;
	CLEAN_SECRET char *body = NULL;
	CLEAN_FREE char *url = sts_url(config);
	ssize_t n = s3_read_secret_file(file, S3_TOKEN_MAX, &token);

	if (n < 0)
		return bv_fail(err, -EACCES, "cannot read the identity token %s: %s; check AWS_WEB_IDENTITY_TOKEN_FILE", file, strerror(-(int)n));
	token[strcspn(token, "\r\n")] = 0;
	const S3Pair form[] = {{"Action", "AssumeRoleWithWebIdentity"}, {"Version", "2011-06-15"}, {"RoleArn", role}, {"RoleSessionName", session ? session : "bvisor"}, {"WebIdentityToken", token}};
	body = s3_encode_query(form, ARRAY_LEN(form));
	if (!body || !url)
		return -ENOMEM;
	S3Fetch fetch = {.method = "POST", .url = url, .headers = {"Content-Type: application/x-www-form-urlencoded"}, .body = body, .ca = config->ca, .timeout_ms = STS_TIMEOUT_MS};
	return sts_send(config, &fetch, role, keys, err);
}

/* HOST[:PORT] of a URL; its path is "/". */
static char *host_of(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return strndup(host, strcspn(host, "/"));
}

int s3_assume_role(const S3Config *config, const S3Keys *with, const char *role, const char *session, const char *external, S3Keys *keys, char **err)
{
	const S3Pair form[] = {{"Action", "AssumeRole"}, {"Version", "2011-06-15"}, {"RoleArn", role}, {"RoleSessionName", session ? session : "bvisor"}, {"ExternalId", external ? external : ""}};
	CLEAN_FREE char *body = s3_encode_query(form, ARRAY_LEN(form) - !external);
	CLEAN_FREE char *url = sts_url(config);
	CLEAN_FREE char *host = url ? host_of(url) : NULL;
	CLEAN_FREE char *authorization = NULL;
	CLEAN_FREE char *signed_by = NULL;
	CLEAN_SECRET char *token = bv_asprintf("x-amz-security-token: %s", with->token);
	char hash[S3_HASH_TEXT], date[S3_DATE_TEXT], date_line[40];
	struct iovec in = {body, body ? strlen(body) : 0};

	if (!body || !host || !token)
		return -ENOMEM;
	s3_date(time(NULL), date);
	const S3Pair headers[] = {{"content-type", "application/x-www-form-urlencoded"}, {"host", host}, {"x-amz-date", date}, {"x-amz-security-token", with->token}};
	S3Signing signing = {"POST", "/", "", headers, with->token[0] ? 4 : 3, hash, date, config->region, "sts"};
	int r = s3_hash(&in, 1, 0, in.iov_len, hash);
	if (r == 0)
		r = s3_authorization(&signing, with, &authorization);
	if (r < 0 || !(signed_by = bv_asprintf("Authorization: %s", authorization)))
		return r < 0 ? r : -ENOMEM;
	snprintf(date_line, sizeof date_line, "x-amz-date: %s", date);
	S3Fetch fetch = {.method = "POST",
			 .url = url,
			 .headers = {"Content-Type: application/x-www-form-urlencoded", date_line, signed_by, with->token[0] ? token : NULL},
			 .body = body,
			 .ca = config->ca,
			 .timeout_ms = STS_TIMEOUT_MS};
	return sts_send(config, &fetch, role, keys, err);
}

int s3_source_web_identity(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err)
{
	const char *file = env("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = env("AWS_ROLE_ARN");

	(void)profiles;
	return file && role ? s3_assume_role_with_token(config, file, role, env("AWS_ROLE_SESSION_NAME"), keys, err) : 0;
}

/* ---- containers ---- */

/* Plain http only to this machine and the two addresses of the agents, as the token would be readable on the way. */
static bool may_be_asked(const char *url)
{
	static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]", "http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]", "https://"};

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
			return !strchr(url, '@');
	return false;
}

static int container_token(char **line, char **err)
{
	const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	CLEAN_SECRET char *text = NULL;

	if (file) {
		ssize_t n = s3_read_secret_file(file, S3_TOKEN_MAX, &text);
		if (n < 0)
			return bv_fail(err, -EACCES, "cannot read %s: %s; check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file, strerror(-(int)n));
		text[strcspn(text, "\r\n")] = 0;
		token = text;
	}
	if (token && !(*line = bv_asprintf("Authorization: %s", token)))
		return -ENOMEM;
	return 0;
}

int s3_source_container(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err)
{
	const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	CLEAN_FREE char *url = relative ? bv_asprintf("http://169.254.170.2%s", relative) : full ? strdup(full) : NULL;
	CLEAN_SECRET char *authorization = NULL;
	CLEAN_SECRET char *text = NULL;
	CLEAN_FREE char *reason = NULL;
	int r;

	(void)config, (void)profiles;
	if (!url)
		return 0;
	if (!may_be_asked(url))
		return bv_fail(err, -EACCES, "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine");
	r = container_token(&authorization, err);
	if (r < 0)
		return r;
	S3Fetch fetch = {.method = "GET", .url = url, .headers = {authorization}, .timeout_ms = CONTAINER_TIMEOUT_MS, .direct = true};
	r = s3_fetch(&fetch, &text, &reason);
	if (r < 0)
		return bv_fail(err, r, "the container's credentials cannot be asked for: %s", reason ? reason : strerror(-r));
	if (r != 200 || s3_keys_from_json(keys, text, "Token") < 0)
		return bv_fail(err, -EACCES, "the container's agent gave no credentials (HTTP %d); check the task's role", r);
	return 1;
}

/* ---- machines ---- */

/* The text of one path of the metadata service, NULL without one. */
static char *machine_get(const char *base, const char *token, const char *method, const char *path, const char *name)
{
	CLEAN_FREE char *url = bv_asprintf("%s%s%s", base, path, name);
	char *text = NULL;
	S3Fetch fetch = {.method = method, .url = url, .headers = {token}, .timeout_ms = MACHINE_TIMEOUT_MS, .direct = true};

	if (!url || s3_fetch(&fetch, &text, NULL) != 200) {
		s3_wipe_free(text);
		return NULL;
	}
	return text;
}

int s3_source_machine(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err)
{
	static const char path[] = "/latest/meta-data/iam/security-credentials/";
	const char *off = env("AWS_EC2_METADATA_DISABLED"), *given = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	CLEAN_FREE char *base = strdup(given ? given : "http://169.254.169.254");
	CLEAN_SECRET char *token = NULL;
	CLEAN_SECRET char *line = NULL;
	CLEAN_SECRET char *role = NULL;
	CLEAN_SECRET char *text = NULL;

	(void)config, (void)profiles;
	if ((off && strcasecmp(off, "true") == 0) || !base)
		return 0;
	for (size_t n = strlen(base); n && base[n - 1] == '/';)
		base[--n] = 0;
	token = machine_get(base, "X-aws-ec2-metadata-token-ttl-seconds: 300", "PUT", "/latest/api/token", "");
	if (!token) /* no such machine, or only the version without tokens, which is not asked */
		return 0;
	token[strcspn(token, "\r\n")] = 0;
	line = bv_asprintf("X-aws-ec2-metadata-token: %s", token);
	role = line ? machine_get(base, line, "GET", path, "") : NULL;
	if (!role)
		return 0;
	role[strcspn(role, "\r\n")] = 0;
	text = machine_get(base, line, "GET", path, role);
	if (!text || s3_keys_from_json(keys, text, "Token") < 0)
		return bv_fail(err, -EACCES, "the machine's metadata service gave no credentials for its role %.80s", role);
	return 1;
}
