#include "backends/s3/profile.h"
#include "backends/s3/keys.h"

#include <pwd.h>
#include <stdio.h>

#define FILE_MAX ((size_t)1 << 20)

/* ---- lines ---- */

typedef struct Span {
	const char *at;
	size_t len;
} Span;

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static Span trim(Span s)
{
	while (s.len && blank(s.at[0]))
		s.at++, s.len--;
	while (s.len && blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

static bool next_line(const char **text, Span *line)
{
	if (!**text)
		return false;
	line->at = *text;
	line->len = strcspn(*text, "\n");
	*text += line->len + (line->at[line->len] == '\n');
	return true;
}

static bool equal(Span s, const char *text)
{
	return strlen(text) == s.len && memcmp(s.at, text, s.len) == 0;
}

/* The title of a "[ title ]" line, with blanks within made one. */
static bool section_title(Span line, char *out, size_t size)
{
	Span s = trim(line);
	size_t n = 0;
	const char *close;

	if (!s.len || s.at[0] != '[' || !(close = memchr(s.at, ']', s.len)))
		return false;
	s = trim((Span){s.at + 1, (size_t)(close - s.at) - 1});
	for (size_t i = 0; i < s.len && n + 1 < size; i++)
		if (!blank(s.at[i]) || (i && !blank(s.at[i - 1])))
			out[n++] = blank(s.at[i]) ? ' ' : s.at[i];
	out[n] = 0;
	return true;
}

static bool split(Span line, Span *key, Span *value)
{
	const char *sign = memchr(line.at, '=', line.len);

	if (!sign)
		return false;
	*key = trim((Span){line.at, (size_t)(sign - line.at)});
	*value = trim((Span){sign + 1, line.len - (size_t)(sign - line.at) - 1});
	for (size_t i = 1; i < value->len; i++)
		if ((value->at[i] == '#' || value->at[i] == ';') && blank(value->at[i - 1])) { /* a comment begins after a blank */
			*value = trim((Span){value->at, i});
			break;
		}
	return true;
}

/* `wanted` NULL: is the section there? Then the answer is an empty text. */
static char *find(const char *text, const char *title, const char *wanted)
{
	char here[256] = "", block[64] = "", name[160];
	Span line, key, value;
	bool inside = false;

	while (text && next_line(&text, &line)) {
		Span t = trim(line);
		if (!t.len || t.at[0] == '#' || t.at[0] == ';')
			continue;
		if (section_title(line, here, sizeof here)) {
			inside = strcmp(here, title) == 0;
			if (inside && !wanted)
				return strdup("");
			block[0] = 0;
			continue;
		}
		if (!inside || !wanted || !split(line, &key, &value))
			continue;
		if (!blank(line.at[0]))
			block[0] = 0;
		if (!blank(line.at[0]) && !value.len)
			snprintf(block, sizeof block, "%.*s.", (int)key.len, key.at);
		snprintf(name, sizeof name, "%s%.*s", blank(line.at[0]) ? block : "", (int)key.len, key.at);
		if (value.len && equal((Span){name, strlen(name)}, wanted))
			return strndup(value.at, value.len);
	}
	return NULL;
}

/* ---- files ---- */

static char *path_of(const char *variable, const char *name)
{
	const char *given = getenv(variable), *home = getenv("HOME");
	struct passwd entry, *found = NULL;
	char buffer[4096];

	if (given && *given)
		return strdup(given);
	if ((!home || !*home) && getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
		home = found->pw_dir;
	return bv_asprintf("%s/.aws/%s", home ? home : "", name);
}

static int load(const char *path, char **out, char **err)
{
	ssize_t n = s3_read_secret_file(path, FILE_MAX, out);

	if (n == -ENOENT || n == -ENOTDIR)
		*out = NULL;
	else if (n < 0)
		return bv_fail(err, n == -ENOMEM ? -ENOMEM : -EACCES, "cannot read %s: %s; correct it, or name the credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", path,
			       strerror(-(int)n));
	return 0;
}

int s3_profiles_load(S3Profiles *out, char **err)
{
	S3Profiles p = {.credentials_path = path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"), .config_path = path_of("AWS_CONFIG_FILE", "config")};
	int r = p.credentials_path && p.config_path ? load(p.credentials_path, &p.credentials, err) : -ENOMEM;

	if (r == 0)
		r = load(p.config_path, &p.config, err);
	if (r < 0)
		s3_profiles_release(&p);
	else
		*out = p;
	return r;
}

void s3_profiles_release(S3Profiles *p)
{
	s3_wipe_free(TAKE_PTR(p->credentials));
	s3_wipe_free(TAKE_PTR(p->config));
	free(TAKE_PTR(p->credentials_path));
	free(TAKE_PTR(p->config_path));
}

static void config_title(const char *name, char out[256])
{
	snprintf(out, 256, "%s%s", strcmp(name, "default") == 0 ? "" : "profile ", name);
}

bool s3_profiles_has(const S3Profiles *p, const char *name)
{
	char title[256];
	CLEAN_FREE char *credentials = find(p->credentials, name, NULL);

	config_title(name, title);
	CLEAN_FREE char *config = find(p->config, title, NULL);
	return credentials || config;
}

char *s3_profiles_value(const S3Profiles *p, const char *name, const char *key)
{
	char title[256], *value = find(p->credentials, name, key);

	config_title(name, title);
	return value ? value : find(p->config, title, key);
}

char *s3_profiles_section(const S3Profiles *p, const char *title, const char *key)
{
	return find(p->config, title, key);
}
