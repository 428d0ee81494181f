/* cli/toml.c - see toml.h. A recursive descent parser over the text, which is looked at once.
 *
 * Invariant: after the first error `at` stays where it is and every function returns without doing more; `error` has the line and the reason. */
#include "cli/toml.h"
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

enum { DEPTH_MAX = 32, NUMBER_MAX = 80 };

/* How a table came to be decides who may add to it. */
enum { FROM_NOTHING, FROM_HEADER, FROM_DOTS, FROM_BRACES };

typedef struct Parser {
	const char *at, *end;
	unsigned line, depth;
	bool failed;
	TomlError *error;
} Parser;

typedef struct Buffer {
	char *bytes;
	size_t len, room;
} Buffer;

static void PRINTF_LIKE(2, 3) fail(Parser *p, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return;
	p->failed = true;
	p->error->line = p->line;
	va_start(ap, fmt);
	vsnprintf(p->error->message, sizeof(p->error->message), fmt, ap);
	va_end(ap);
}

static int peek(const Parser *p)
{
	return p->failed || p->at == p->end ? -1 : (unsigned char)*p->at;
}

static bool looking_at(const Parser *p, const char *word)
{
	size_t len = strlen(word);

	return !p->failed && (size_t)(p->end - p->at) >= len && memcmp(p->at, word, len) == 0;
}

static bool take(Parser *p, const char *word)
{
	if (!looking_at(p, word))
		return false;
	p->at += strlen(word);
	return true;
}

static void put(Buffer *b, const char *bytes, size_t n)
{
	if (b->len + n + 1 > b->room) {
		b->room = 2 * b->room + n + 32;
		b->bytes = xrealloc(b->bytes, b->room);
	}
	memcpy(b->bytes + b->len, bytes, n);
	b->len += n;
	b->bytes[b->len] = '\0';
}

/* ---- blanks, comments, ends of lines ---- */

static void skip_blanks(Parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static bool take_newline(Parser *p)
{
	if (!take(p, "\n") && !take(p, "\r\n"))
		return false;
	p->line++;
	return true;
}

static bool is_control(int c)
{
	return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

static void skip_comment(Parser *p)
{
	if (peek(p) != '#')
		return;
	while (peek(p) >= 0 && peek(p) != '\n' && !looking_at(p, "\r\n")) {
		if (is_control(peek(p)))
			fail(p, "a control character in a comment");
		p->at += !p->failed;
	}
}

static void skip_lines(Parser *p)
{
	do {
		skip_blanks(p);
		skip_comment(p);
	} while (take_newline(p));
}

static void end_line(Parser *p)
{
	skip_blanks(p);
	skip_comment(p);
	if (!p->failed && p->at < p->end && !take_newline(p))
		fail(p, "something stands behind the value: one key a line");
}

/* ---- strings ---- */

static void put_code_point(Parser *p, Buffer *b, size_t digits)
{
	char text[9] = "", *end = NULL, utf8[4];
	size_t n = 1;

	if ((size_t)(p->end - p->at) < digits) {
		fail(p, "an escape sequence is cut off");
		return;
	}
	memcpy(text, p->at, digits);
	unsigned long c = strtoul(text, &end, 16);
	if (strspn(text, "0123456789abcdefABCDEF") != digits || c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
		fail(p, "an escape sequence names no character that a text may have");
		return;
	}
	p->at += digits;
	if (c < 0x80) {
		utf8[0] = (char)c;
	} else {
		n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		for (size_t i = n - 1; i > 0; i--, c >>= 6)
			utf8[i] = (char)(0x80 | (c & 0x3f));
		utf8[0] = (char)((0xf00 >> n & 0xff) | c);
	}
	put(b, utf8, n);
}

static void parse_escape(Parser *p, Buffer *b)
{
	static const char letters[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
	int c = peek(p);
	const char *found = c > 0 ? strchr(letters, c) : NULL;

	if (found) {
		p->at++;
		put(b, values + (found - letters), 1);
	} else if (take(p, "u")) {
		put_code_point(p, b, 4);
	} else if (take(p, "U")) {
		put_code_point(p, b, 8);
	} else {
		fail(p, "an unknown escape sequence (a backslash is written \\\\, or in single quotes)");
	}
}

/* A backslash at the end of a line takes away all blanks and line ends behind it. */
static bool skip_folded(Parser *p)
{
	const char *at = p->at;

	while (at < p->end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == p->end || (*at != '\n' && !(*at == '\r' && at + 1 < p->end && at[1] == '\n')))
		return false;
	do
		skip_blanks(p);
	while (take_newline(p));
	return true;
}

static void put_character(Parser *p, Buffer *b)
{
	char copy[5] = "";
	size_t left = (size_t)(p->end - p->at);

	memcpy(copy, p->at, left < 4 ? left : 4);
	size_t n = utf8_length((const unsigned char *)copy);
	if (n == 0) {
		fail(p, "this is no UTF-8");
		return;
	}
	put(b, p->at, n);
	p->at += n;
}

/* The opening quotes are taken. Up to two quotes may stand right before the closing three. */
static void parse_long_string(Parser *p, Buffer *b, const char *quotes, bool escapes)
{
	(void)take_newline(p);
	while (!p->failed) {
		if (take(p, quotes)) {
			for (int i = 0; i < 2 && peek(p) == quotes[0]; i++, p->at++)
				put(b, quotes, 1);
			return;
		}
		const char *before = p->at;
		if (peek(p) < 0)
			fail(p, "a string has no end (%s)", quotes);
		else if (take_newline(p))
			put(b, before, (size_t)(p->at - before));
		else if (is_control(peek(p)))
			fail(p, "a control character in a string");
		else if (escapes && take(p, "\\"))
			skip_folded(p) ? (void)0 : parse_escape(p, b);
		else
			put_character(p, b);
	}
}

static void parse_short_string(Parser *p, Buffer *b, const char *quote, bool escapes)
{
	while (!p->failed && !take(p, quote)) {
		if (peek(p) < 0 || peek(p) == '\n' || looking_at(p, "\r\n"))
			fail(p, "a string has no end (%s)", quote);
		else if (is_control(peek(p)))
			fail(p, "a control character in a string");
		else if (escapes && take(p, "\\"))
			parse_escape(p, b);
		else
			put_character(p, b);
	}
}

/* NULL: no string begins here, or it is wrong. */
static char *parse_string(Parser *p, bool may_be_long)
{
	Buffer b = {0};

	put(&b, "", 0);
	if (may_be_long && take(p, "\"\"\""))
		parse_long_string(p, &b, "\"\"\"", true);
	else if (may_be_long && take(p, "'''"))
		parse_long_string(p, &b, "'''", false);
	else if (take(p, "\""))
		parse_short_string(p, &b, "\"", true);
	else if (take(p, "'"))
		parse_short_string(p, &b, "'", false);
	else
		fail(p, "a value is missing, or is none (texts stand in quotes)");
	if (p->failed) {
		free(b.bytes);
		return NULL;
	}
	return b.bytes;
}

/* ---- keys and tables ---- */

static TomlValue *new_value(const Parser *p, TomlType type)
{
	TomlValue *v = xrealloc(NULL, sizeof(*v));

	*v = (TomlValue){.type = type, .line = p->line};
	return v;
}

static void append(TomlValue *to, TomlValue *v)
{
	if (to->last)
		to->last->next = v;
	else
		to->first = v;
	to->last = v;
}

static TomlValue *find(const TomlValue *table, const char *key)
{
	TomlValue *v = table->first;

	while (v && strcmp(v->key, key) != 0)
		v = v->next;
	return v;
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* One part of a key, malloc'ed; NULL with an error. */
static char *parse_key_part(Parser *p)
{
	const char *begin = p->at;

	if (peek(p) == '"' || peek(p) == '\'')
		return parse_string(p, false);
	while (is_bare(peek(p)))
		p->at++;
	if (p->at == begin)
		fail(p, "a key is missing, or has characters that need quotes");
	return p->failed ? NULL : xasprintf("%.*s", (int)(p->at - begin), begin);
}

/* The table `key` of `table`, made if it is missing; takes the key over. NULL with an error. */
static TomlValue *step_into(Parser *p, TomlValue *table, char *key, unsigned origin)
{
	TomlValue *v = find(table, key);

	if (v && v->type != TOML_TABLE)
		fail(p, "'%s' is %s already (line %u)", key, toml_type_name(v->type), v->line);
	else if (v && (v->origin == FROM_BRACES || (origin == FROM_DOTS && v->origin != FROM_DOTS)))
		fail(p, "the table '%s' is complete already (line %u): nothing can be added to it here", key, v->line);
	if (!v && !p->failed) {
		v = new_value(p, TOML_TABLE);
		v->origin = origin;
		v->key = key;
		append(table, v);
		return v;
	}
	free(key);
	return p->failed ? NULL : v;
}

/* a.b.c: *table becomes where the last part belongs, which is returned, malloc'ed. NULL with an error. */
static char *parse_key(Parser *p, TomlValue **table, unsigned origin)
{
	char *part = parse_key_part(p);

	for (unsigned depth = 0; part; depth++) {
		skip_blanks(p);
		if (!take(p, "."))
			return part;
		skip_blanks(p);
		if (depth >= DEPTH_MAX)
			fail(p, "a key with too many dots");
		TomlValue *next = p->failed ? (free(part), NULL) : step_into(p, *table, part, origin);
		if (!next)
			return NULL;
		*table = next;
		part = parse_key_part(p);
	}
	return NULL;
}

static TomlValue *parse_value(Parser *p);

static void parse_pair(Parser *p, TomlValue *table)
{
	char *key = parse_key(p, &table, FROM_DOTS);
	const TomlValue *twin = key ? find(table, key) : NULL;

	if (twin)
		fail(p, "'%s' is given twice (also in line %u)", key, twin->line);
	skip_blanks(p);
	if (!p->failed && !take(p, "="))
		fail(p, "'%s': an equals sign is missing behind the key", key);
	skip_blanks(p);
	TomlValue *v = p->failed ? NULL : parse_value(p);
	if (!v) {
		free(key);
		return;
	}
	v->key = key;
	append(table, v);
}

/* ---- arrays, inline tables ---- */

static void parse_array(Parser *p, TomlValue *array)
{
	for (;;) {
		skip_lines(p);
		if (p->failed || take(p, "]"))
			return;
		TomlValue *v = parse_value(p);
		if (!v)
			return;
		append(array, v);
		skip_lines(p);
		if (!take(p, ",") && peek(p) != ']')
			fail(p, "a comma or ] is missing in an array");
	}
}

static void close_tables(TomlValue *table)
{
	table->origin = FROM_BRACES;
	for (TomlValue *v = table->first; v; v = v->next)
		if (v->type == TOML_TABLE)
			close_tables(v);
}

static void parse_inline_table(Parser *p, TomlValue *table)
{
	skip_blanks(p);
	if (take(p, "}"))
		return;
	for (;;) {
		skip_blanks(p);
		parse_pair(p, table);
		skip_blanks(p);
		if (p->failed || take(p, "}"))
			break;
		if (!take(p, ","))
			fail(p, "a comma or } is missing in a table in braces (which is one line)");
	}
	close_tables(table);
}

/* ---- numbers, booleans ---- */

static bool is_digit_of(char c, unsigned base)
{
	unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a') + 10 : 99;

	return digit < base;
}

/* Copies `word` without its underscores; false if one of them has not digits on both sides. */
static bool without_underscores(const char *word, unsigned base, char *out)
{
	for (size_t i = 0; word[i]; i++) {
		if (word[i] == '_' && (i == 0 || !is_digit_of(word[i - 1], base) || !is_digit_of(word[i + 1], base)))
			return false;
		if (word[i] != '_')
			*out++ = word[i];
	}
	*out = '\0';
	return true;
}

/* [+-] digits [. digits] [e [+-] digits], no zero before other digits. */
static bool is_decimal(const char *s, bool *real)
{
	size_t n = strspn(s += *s == '+' || *s == '-', "0123456789");

	if (n == 0 || (n > 1 && *s == '0'))
		return false;
	s += n;
	*real = *s != '\0';
	if (*s == '.') {
		n = strspn(++s, "0123456789");
		if (n == 0)
			return false;
		s += n;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		n = strspn(s += *s == '+' || *s == '-', "0123456789");
		s += n;
		return n > 0 && *s == '\0';
	}
	return *s == '\0';
}

static void parse_integer(Parser *p, TomlValue *v, const char *digits, unsigned base)
{
	errno = 0;
	v->integer = strtoll(digits, NULL, (int)base);
	if (errno)
		fail(p, "the number %s is too large", digits);
}

static bool has_prefix(const char *word, unsigned *base)
{
	*base = word[0] != '0' ? 0 : word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : word[1] == 'b' ? 2 : 0;
	return *base;
}

static void parse_number(Parser *p, TomlValue *v, const char *word)
{
	char plain[NUMBER_MAX];
	const char *unsigned_word = word + (*word == '+' || *word == '-');
	unsigned base;
	bool real;

	v->type = TOML_INTEGER;
	if (has_prefix(word, &base)) {
		bool good = word[2] && without_underscores(word + 2, base, plain);
		for (const char *c = plain; good && *c; c++)
			good = is_digit_of(*c, base);
		if (good)
			parse_integer(p, v, plain, base);
		else
			fail(p, "'%s' is no number", word);
		return;
	}
	if (strcmp(unsigned_word, "inf") == 0 || strcmp(unsigned_word, "nan") == 0) {
		v->type = TOML_FLOAT;
		v->real = *unsigned_word == 'n' ? (double)NAN : *word == '-' ? -HUGE_VAL : HUGE_VAL;
		return;
	}
	if (!without_underscores(word, 10, plain) || !is_decimal(plain, &real)) {
		bool date = strspn(word, "0123456789") >= 2 && strpbrk(word, "-:");
		fail(p, date ? "'%s': dates and times have no use here" : "'%s' is no number (texts stand in quotes)", word);
		return;
	}
	if (!real) {
		parse_integer(p, v, plain, 10);
		return;
	}
	v->type = TOML_FLOAT;
	v->real = strtod(plain, NULL);
}

static void parse_word(Parser *p, TomlValue *v)
{
	char word[NUMBER_MAX];
	size_t n = 0;

	while (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.' || peek(p) == ':') {
		if (n + 1 == sizeof(word)) {
			fail(p, "a word is too long for a number (texts stand in quotes)");
			return;
		}
		word[n++] = *p->at++;
	}
	word[n] = '\0';
	v->type = TOML_BOOLEAN;
	v->boolean = strcmp(word, "true") == 0;
	if (n == 0)
		fail(p, "a value is missing, or is none (texts stand in quotes)");
	else if (!v->boolean && strcmp(word, "false") != 0)
		parse_number(p, v, word);
}

/* NULL with an error. */
static TomlValue *parse_value(Parser *p)
{
	TomlValue *v = new_value(p, TOML_STRING);

	if (++p->depth > DEPTH_MAX)
		fail(p, "too many brackets in one another");
	if (take(p, "[")) {
		v->type = TOML_ARRAY;
		parse_array(p, v);
	} else if (take(p, "{")) {
		v->type = TOML_TABLE;
		v->origin = FROM_BRACES;
		parse_inline_table(p, v);
	} else if (peek(p) == '"' || peek(p) == '\'') {
		v->text = parse_string(p, true);
	} else {
		parse_word(p, v);
	}
	p->depth--;
	if (!p->failed)
		return v;
	toml_free(v);
	return NULL;
}

/* ---- the whole ---- */

/* [a.b]: the table that the next lines belong to. */
static TomlValue *parse_header(Parser *p, TomlValue *root)
{
	TomlValue *table = root;

	if (peek(p) == '[')
		fail(p, "arrays of tables ([[...]]) have no use here");
	skip_blanks(p);
	char *key = parse_key(p, &table, FROM_NOTHING);
	skip_blanks(p);
	if (!p->failed && !take(p, "]"))
		fail(p, "a ] is missing behind the name of a table");
	if (p->failed) {
		free(key);
		return NULL;
	}
	TomlValue *twin = find(table, key);
	if (twin && twin->type == TOML_TABLE && twin->origin != FROM_NOTHING)
		fail(p, "the table '%s' is given twice (also in line %u)", key, twin->line);
	table = p->failed ? (free(key), NULL) : step_into(p, table, key, FROM_HEADER);
	if (table)
		table->origin = FROM_HEADER;
	end_line(p);
	return table;
}

static void parse_lines(Parser *p, TomlValue *root)
{
	TomlValue *table = root;

	(void)take(p, "\xef\xbb\xbf");
	for (;;) {
		skip_lines(p);
		if (p->failed || p->at == p->end)
			return;
		if (take(p, "[")) {
			table = parse_header(p, root);
		} else {
			parse_pair(p, table);
			end_line(p);
		}
	}
}

TomlValue *toml_parse(const char *text, size_t len, TomlError *error)
{
	Parser p = {.at = text, .end = text + len, .line = 1, .error = error};
	TomlValue *root = new_value(&p, TOML_TABLE);

	root->origin = FROM_HEADER;
	if (len > TOML_MAX)
		fail(&p, "the file has more than %d KiB", TOML_MAX >> 10);
	parse_lines(&p, root);
	if (!p.failed)
		return root;
	toml_free(root);
	return NULL;
}

void toml_free(TomlValue *v)
{
	while (v) {
		TomlValue *next = v->next;
		toml_free(v->first);
		free(v->key);
		free(v->text);
		free(v);
		v = next;
	}
}

const TomlValue *toml_get(const TomlValue *table, const char *key)
{
	return table && table->type == TOML_TABLE ? find(table, key) : NULL;
}

const char *toml_type_name(TomlType type)
{
	static const char *const names[] = {"a string", "an integer", "a float", "true or false", "an array", "a table"};

	return names[type];
}
