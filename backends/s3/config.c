#include "backends/s3/config.h"
#include "backends/s3/keys.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

/* ---- the location ---- */

typedef struct Options {
	char *endpoint, *region, *style, *profile, *ca, *attempts;
} Options;

static void options_release(Options *o)
{
	free(o->endpoint);
	free(o->region);
	free(o->style);
	free(o->profile);
	free(o->ca);
	free(o->attempts);
}

static int parse_option(Options *o, char *text, const char *location, char **err)
{
	const struct {
		const char *name;
		char **field;
	} known[] = {{"endpoint", &o->endpoint}, {"region", &o->region}, {"style", &o->style}, {"profile", &o->profile}, {"ca", &o->ca}, {"attempts", &o->attempts}};
	char *value = strchr(text, '=');

	if (!value || !value[1])
		return bv_fail(err, -EINVAL, "s3:%s: the option \"%s\" has no value", location, text);
	*value++ = 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, text) != 0)
			continue;
		free(*known[i].field);
		return (*known[i].field = strdup(value)) ? 0 : -ENOMEM;
	}
	/* Not the value: somebody may have put a key there. */
	return bv_fail(err, -EINVAL, "an s3: location has no option \"%.40s\" (it has endpoint, region, style, profile, ca, attempts; keys belong into the environment or ~/.aws/credentials)", text);
}

static bool bucket_valid(const char *bucket)
{
	size_t len = strlen(bucket);

	for (const char *c = bucket; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
			return false;
	return len >= 3 && len <= 255 && isalnum((unsigned char)bucket[0]) && !strstr(bucket, "..");
}

static int parse_prefix(S3Config *c, const char *text, const char *location, char **err)
{
	size_t len = strlen(text);

	while (len && text[len - 1] == '/')
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return bv_fail(err, -EINVAL, "s3:%s: a prefix cannot have control characters", location);
	if (len > 400)
		return bv_fail(err, -EINVAL, "s3:%.80s...: the prefix is too long (at most 400 bytes)", location);
	c->prefix = bv_asprintf("%.*s%s", (int)len, text, len ? "/" : "");
	return c->prefix ? 0 : -ENOMEM;
}

static int parse_location(S3Config *c, Options *o, const char *location, char **err)
{
	CLEAN_FREE char *text = strdup(location);
	char *rest = text, *options, *slash, *one;
	int r;

	if (!text)
		return -ENOMEM;
	if (strncmp(rest, "//", 2) != 0)
		return bv_fail(err, -EINVAL, "s3:%s: write s3://BUCKET or s3://BUCKET/PREFIX", location);
	rest += 2;
	options = strchr(rest, '?');
	if (options)
		*options++ = 0;
	slash = strchr(rest, '/');
	if (slash)
		*slash++ = 0;
	if (!bucket_valid(rest))
		return bv_fail(err, -EINVAL, "s3:%s: \"%s\" is no name of a bucket; write s3://BUCKET or s3://BUCKET/PREFIX", location, rest);
	c->bucket = strdup(rest);
	r = c->bucket ? parse_prefix(c, slash ? slash : "", location, err) : -ENOMEM;
	while (r == 0 && options && (one = strsep(&options, "&")))
		r = *one ? parse_option(o, one, location, err) : 0;
	return r;
}

/* ---- the endpoint ---- */

/* The host of the authority (without port) is a number. */
static bool is_address(const char *authority)
{
	char host[256];
	struct in_addr address;

	if (authority[0] == '[')
		return true;
	snprintf(host, sizeof host, "%.*s", (int)strcspn(authority, ":"), authority);
	return inet_pton(AF_INET, host, &address) == 1;
}

static int parse_endpoint(S3Config *c, const char *url, char **err)
{
	const char *rest = NULL;
	size_t len;

	if (strncasecmp(url, "https://", 8) == 0)
		rest = url + 8, c->tls = true;
	else if (strncasecmp(url, "http://", 7) == 0)
		rest = url + 7, c->tls = false;
	if (!rest || !*rest || *rest == '/' || strpbrk(rest, "@?# \t\\"))
		return bv_fail(err, -EINVAL, "the endpoint must be a URL such as https://HOST:PORT, without a user or a query in it");
	len = strcspn(rest, "/");
	c->authority = strndup(rest, len);
	c->base = strdup(rest + len);
	if (!c->authority || !c->base)
		return -ENOMEM;
	for (size_t n = strlen(c->base); n && c->base[n - 1] == '/';)
		c->base[--n] = 0;
	/* A default port is in no Host header. */
	const char *port = c->tls ? ":443" : ":80";
	size_t n = strlen(c->authority), n_port = strlen(port);
	if (n > n_port && strcmp(c->authority + n - n_port, port) == 0)
		c->authority[n - n_port] = 0;
	return 0;
}

static char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? strdup(value) : NULL;
}

/* The first that is there of the option (taken), two variables (or NULL) and the profile's key (or NULL). */
static char *choose(char **option, const char *first, const char *second, const S3Config *c, const S3Profiles *profiles, const char *key)
{
	char *value = TAKE_PTR(*option);

	if (!value && first)
		value = env(first);
	if (!value && second)
		value = env(second);
	return value || !key ? value : s3_profiles_value(profiles, c->profile, key);
}

static char *services_endpoint(const S3Config *c, const S3Profiles *profiles)
{
	CLEAN_FREE char *services = s3_profiles_value(profiles, c->profile, "services");
	CLEAN_FREE char *title = services ? bv_asprintf("services %s", services) : NULL;

	return title ? s3_profiles_section(profiles, title, "s3.endpoint_url") : NULL;
}

static int settle_endpoint(S3Config *c, Options *o, const S3Profiles *profiles, char **err)
{
	CLEAN_FREE char *url = choose(&o->endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", c, profiles, NULL);

	if (!url)
		url = services_endpoint(c, profiles);
	if (!url)
		url = s3_profiles_value(profiles, c->profile, "endpoint_url");
	c->tls = true;
	if (url)
		return parse_endpoint(c, url, err);
	return (c->base = strdup("")) ? 0 : -ENOMEM;
}

static int settle_style(S3Config *c, Options *o, const S3Profiles *profiles, char **err)
{
	CLEAN_FREE char *style = choose(&o->style, NULL, NULL, c, profiles, "s3.addressing_style");

	if (style && strcmp(style, "auto") != 0 && strcmp(style, "path") != 0 && strcmp(style, "virtual") != 0)
		return bv_fail(err, -EINVAL, "the addressing style \"%.40s\" is not known (it may be path or virtual)", style);
	/* Dots in a bucket would not match a wildcard certificate; a bucket cannot be put before an address. */
	c->path_style = c->authority || strchr(c->bucket, '.');
	if (style && strcmp(style, "auto") != 0)
		c->path_style = strcmp(style, "path") == 0;
	if (c->authority && is_address(c->authority))
		c->path_style = true;
	return 0;
}

/* `given` is before the environment. */
static int number(const char *given, const char *name, int least, int most, int otherwise)
{
	const char *text = given ? given : getenv(name);
	long value = text && *text ? strtol(text, NULL, 10) : otherwise;

	return (int)MAX(MIN(value, (long)most), (long)least);
}

static bool region_valid(const char *region)
{
	size_t len = strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return len > 0 && len < 64 && !region[len];
}

static int settle(S3Config *c, Options *o, const S3Profiles *profiles, char **err)
{
	int r;

	c->profile_first = o->profile;
	c->profile = choose(&o->profile, "AWS_PROFILE", "AWS_DEFAULT_PROFILE", c, profiles, NULL);
	c->profile_named = c->profile;
	if (!c->profile && !(c->profile = strdup("default")))
		return -ENOMEM;
	c->region = choose(&o->region, "AWS_REGION", "AWS_DEFAULT_REGION", c, profiles, "region");
	if (!c->region && !(c->region = strdup("us-east-1")))
		return -ENOMEM;
	if (!region_valid(c->region))
		return bv_fail(err, -EINVAL, "\"%.70s\" is no name of a region; check AWS_REGION", c->region);
	r = settle_endpoint(c, o, profiles, err);
	if (r == 0)
		r = settle_style(c, o, profiles, err);
	c->ca = choose(&o->ca, "AWS_CA_BUNDLE", "SSL_CERT_FILE", c, profiles, "ca_bundle");
	c->attempts = number(o->attempts, "AWS_MAX_ATTEMPTS", 1, 100, 8);
	c->transfers = number(NULL, "BVISOR_S3_TRANSFERS", 1, 256, 16);
	c->page = number(NULL, "BVISOR_S3_PAGE", 1, 1000, 1000);
	c->stall = number(NULL, "BVISOR_S3_STALL", 1, 3600, 20);
	return r;
}

int s3_config_init(S3Config *out, const char *location, const S3Profiles *profiles, char **err)
{
	S3Config c = {0};
	Options o = {0};
	int r = parse_location(&c, &o, location, err);

	if (r == 0)
		r = settle(&c, &o, profiles, err);
	options_release(&o);
	if (r < 0)
		s3_config_release(&c);
	else
		*out = c;
	return r;
}

void s3_config_release(S3Config *c)
{
	free(c->bucket);
	free(c->prefix);
	free(c->authority);
	free(c->base);
	free(c->region);
	free(c->profile);
	free(c->ca);
	*c = (S3Config){0};
}

char *s3_config_host(const S3Config *c, const char *region)
{
	const char *bucket = c->path_style ? "" : c->bucket, *dot = c->path_style ? "" : ".";

	if (c->authority)
		return bv_asprintf("%s%s%s", bucket, dot, c->authority);
	return bv_asprintf("%s%ss3.%s.amazonaws.com%s", bucket, dot, region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}
