/* cli/json.c - JSON and quoted text, written as they go.
 *
 * JSON must be UTF-8, names on Linux need not be: bytes that are no UTF-8 become U+FFFD, and json_path adds the exact bytes in hex. */
#include "cli/cli.h"

#include <inttypes.h>
#include <sys/stat.h>

/* Overlong forms, surrogates and values above U+10FFFF are no UTF-8. */
size_t utf8_length(const unsigned char *p)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high;
		size_t len;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (p[0] < 0x80)
		return p[0] ? 1 : 0;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (p[0] < forms[i].first_low || p[0] > forms[i].first_high)
			continue;
		if (p[1] < forms[i].second_low || p[1] > forms[i].second_high)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static void put_json_text(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	fputc('"', out);
	while (*p) {
		size_t n = utf8_length(p);
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (control_length(p))
			fprintf(out, "\\u%04x", p[n - 1]); /* the second byte of a C1 control is its number */
		else if (n == 0)
			fputs("\\ufffd", out);
		else
			fwrite(p, 1, n, out);
		p += n ? n : 1;
	}
	fputc('"', out);
}

static void put_key(Json *j, const char *key)
{
	if (j->comma)
		fputc(',', j->out);
	j->comma = true;
	if (key) {
		put_json_text(j->out, key);
		fputc(':', j->out);
	}
}

void json_open(Json *j, const char *key, char bracket)
{
	put_key(j, key);
	fputc(bracket, j->out);
	j->comma = false;
}

void json_close(Json *j, char bracket)
{
	fputc(bracket, j->out);
	j->comma = true;
}

void json_put_string(Json *j, const char *key, const char *value)
{
	put_key(j, key);
	if (value)
		put_json_text(j->out, value);
	else
		fputs("null", j->out);
}

void json_path(Json *j, const char *key, const char *value)
{
	bool utf8 = true;

	json_put_string(j, key, value);
	for (const unsigned char *p = (const unsigned char *)(value ? value : ""); *p && utf8; p += utf8 ? utf8_length(p) : 0)
		utf8 = utf8_length(p) > 0;
	if (utf8)
		return;
	fprintf(j->out, ",\"%s_hex\":\"", key);
	for (const unsigned char *p = (const unsigned char *)value; *p; p++)
		fprintf(j->out, "%02x", *p);
	fputc('"', j->out);
}

void json_int(Json *j, const char *key, int64_t value)
{
	put_key(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void json_put_bool(Json *j, const char *key, bool value)
{
	put_key(j, key);
	fputs(value ? "true" : "false", j->out);
}

void json_raw(Json *j, const char *key, const char *json)
{
	put_key(j, key);
	fputs(json, j->out);
}

/* ---- text for people ---- */

static bool is_odd(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p; p += utf8_length(p))
		if (control_length(p) || *p == '"' || *p == '\\' || utf8_length(p) == 0)
			return true;
	return false;
}

void print_link(FILE *out, const char *link_to)
{
	if (!link_to)
		return;
	fputs(" (hard link to ", out);
	print_quoted(out, link_to);
	fputc(')', out);
}

void print_quoted(FILE *out, const char *text)
{
	static const char letters[] = "abtnvfr"; /* \a is 7, \r is 13 */

	if (!is_odd(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = utf8_length(p);
		if (*p >= 7 && *p <= 13)
			fprintf(out, "\\%c", letters[*p - 7]);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (control_length(p) || n == 0)
			for (size_t i = 0; i < (n ? n : 1); i++)
				fprintf(out, "\\%03o", p[i]);
		else
			fwrite(p, 1, n, out);
		p += n ? n : 1;
	}
	fputc('"', out);
}

char *quoted(const char *text)
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&result, &size);

	if (!out)
		exit(cli_fail("out of memory"));
	print_quoted(out, text);
	if (fclose(out) != 0)
		exit(cli_fail("out of memory"));
	return result;
}

const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "directory";
	case S_IFLNK: return "symlink";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	case S_IFCHR:
	case S_IFBLK: return "device";
	default: return NULL;
	}
}
