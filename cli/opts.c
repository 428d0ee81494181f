/* cli/opts.c - the command line: GNU style options, and one line for whatever is wrong with them. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

void print_help(const Command *cmd)
{
	printf("usage: bvisor %s %s\n%s.\n\n%s", cmd->name, cmd->args, cmd->summary, cmd->options);
	if (cmd->examples)
		printf("\nExamples:\n%s", cmd->examples);
}

static const char *error_origin; /* NULL: the command line */

void set_error_origin(const char *origin)
{
	error_origin = origin;
}

void usage_error(const Command *cmd, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (error_origin)
		exit(cli_fail("%s: %s", error_origin, text ? text : "out of memory"));
	fprintf(stderr, "bvisor%s%s: ", cmd ? " " : "", cmd ? cmd->name : "");
	print_plain(stderr, text ? text : "out of memory"); /* a pattern of the shell may have found names of anybody's */
	if (cmd)
		fprintf(stderr, "; usage: bvisor %s %s (see bvisor %s --help)\n", cmd->name, cmd->args, cmd->name);
	else
		fprintf(stderr, "; usage: bvisor COMMAND [ARGUMENT...] (see bvisor --help)\n");
	exit(EXIT_BVISOR);
}

int cli_finish(int code)
{
	struct pollfd p = {.fd = STDOUT_FILENO};
	bool failed = fflush(stdout) != 0, lost = failed || ferror(stdout); /* what was lost before is not lost anew */

	if (!lost || (failed && errno == EPIPE) || (!failed && poll(&p, 1, 0) > 0 && (p.revents & POLLERR)))
		return code;
	return cli_fail("cannot write the output: %s", failed ? strerror(errno) : "some of it was not taken");
}

/* How many arguments stand after "--", -1: there is none. getopt moves it away from where it was. */
static int behind_dashes = -1;

static void find_dashes(int argc, char **argv)
{
	for (int i = 1; i < argc && behind_dashes < 0; i++)
		if (strcmp(argv[i], "--") == 0)
			behind_dashes = argc - i - 1;
}

/* ---- what was perhaps meant ---- */

/* How many letters are to be put in, taken out, exchanged for others or with their neighbours; `limit` + 1: more. Bounded words only. */
static size_t distance(const char *a, const char *b, size_t limit)
{
	enum { WORD_MAX = 40 };
	size_t rows[3][WORD_MAX + 1], m = strlen(a), n = strlen(b);

	if (m > WORD_MAX || n > WORD_MAX)
		return limit + 1;
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= m; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
			best = above[j] + 1 < best ? above[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < best)
				best = two_above[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[m % 3][n] > limit ? limit + 1 : rows[m % 3][n];
}

Nearest nearest_begin(const char *word)
{
	size_t len = strlen(word);

	return (Nearest){.word = word, .distance = (len < 4 ? 1 : len < 8 ? 2 : 3) + 1};
}

void nearest_offer(Nearest *nearest, const char *candidate)
{
	size_t len = strlen(nearest->word);
	bool begins = len >= 3 && strncmp(candidate, nearest->word, len) == 0;
	size_t d = begins ? 1 : distance(nearest->word, candidate, nearest->distance - 1);

	if (d >= nearest->distance)
		return;
	nearest->distance = d;
	nearest->found = candidate;
}

const char *nearest_found(const Nearest *nearest)
{
	return nearest->found;
}

static _Noreturn void unknown_option(const Command *cmd, const char *at, const struct option *longs)
{
	char *word = xasprintf("%.*s", (int)strcspn(at + 2, "="), at + 2);
	Nearest nearest = nearest_begin(word);

	for (; longs->name; longs++)
		nearest_offer(&nearest, longs->name);
	if (nearest_found(&nearest))
		usage_error(cmd, "unknown option '%s': is '--%s' meant?", at, nearest_found(&nearest));
	usage_error(cmd, "unknown option '%s'", at);
}

int opts_next(const Command *cmd, int argc, char **argv, const char *shorts, const struct option *longs)
{
	int before = optind;

	if (optind == 1)
		find_dashes(argc, argv);
	int c = getopt_long(argc, argv, shorts, longs, NULL);
	const char *at = argv[before < argc ? before : argc - 1];

	if (c == OPT_HELP) {
		print_help(cmd);
		exit(cli_finish(0));
	}
	if (c != '?' && c != ':')
		return c;
	if (optind > before && strncmp(argv[optind - 1], "--", 2) == 0)
		at = argv[optind - 1];
	if (c == ':' && strncmp(at, "--", 2) == 0)
		usage_error(cmd, "option '%s' needs a value", at);
	if (c == ':')
		usage_error(cmd, "option '-%c' needs a value", optopt);
	if (strncmp(at, "--", 2) == 0 && optopt)
		usage_error(cmd, "option '%s' takes no value", at);
	if (strncmp(at, "--", 2) == 0)
		unknown_option(cmd, at, longs);
	usage_error(cmd, "unknown option '-%c'", optopt);
}

int parse_duration(const Command *cmd, const char *option, const char *text)
{
	static const struct {
		const char *suffix;
		double ms;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
	char *end = NULL;
	double value = isdigit((unsigned char)text[0]) || text[0] == '.' ? strtod(text, &end) : -1;

	for (size_t i = 0; end && end != text && i < ARRAY_LEN(units); i++) {
		double ms = value * units[i].ms;
		if (strcmp(end, units[i].suffix) == 0 && ms > 0 && ms <= 2147483000.0)
			return ms < 1 ? 1 : (int)ms;
	}
	usage_error(cmd, "%s: '%s' is no duration (such as 500ms, 30, 90s, 5m, 1h; at most 24 days)", option, text);
}

bool parse_sync(const Command *cmd, const char *text)
{
	if (strcmp(text, "continuous") != 0 && strcmp(text, "on-snapshot") != 0)
		usage_error(cmd, "--sync: '%s' is neither on-snapshot nor continuous", text);
	return strcmp(text, "continuous") == 0;
}

uint64_t parse_size(const Command *cmd, const char *option, const char *text)
{
	static const char suffixes[] = "KMGT";
	char *end = NULL;
	double value = isdigit((unsigned char)text[0]) ? strtod(text, &end) : -1;

	if (end && *end) {
		const char *unit = strchr(suffixes, toupper((unsigned char)*end));
		for (const char *u = suffixes; unit && u <= unit; u++)
			value *= 1024;
		end += unit ? 1 + (unit && end[1] == 'i') : 0;
		end += *end == 'B';
	}
	if (!end || *end || value < 1 || value > 1e15)
		usage_error(cmd, "%s: '%s' is no size (such as 500M, 20G)", option, text);
	return (uint64_t)value;
}

uint64_t parse_limit(const Command *cmd, const char *option, const char *text)
{
	char *end = NULL;
	unsigned long long n = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;

	if (n == 0 || n > 1000000000000 || *end)
		usage_error(cmd, "%s: '%s' is no number (from 1 to 1000000000000)", option, text);
	return n;
}

double parse_cpus(const Command *cmd, const char *option, const char *text)
{
	char *end = NULL;
	double value = isdigit((unsigned char)text[0]) || text[0] == '.' ? strtod(text, &end) : -1;

	if (!end || end == text || *end || !(value >= 0.01 && value <= 100000))
		usage_error(cmd, "%s: '%s' is no number of processors (such as 2, 0.5; at least 0.01)", option, text);
	return value;
}

unsigned parse_positive(const Command *cmd, const char *option, const char *text)
{
	char *end = NULL;
	unsigned long n = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;

	if (n == 0 || n > 1000000 || *end)
		usage_error(cmd, "%s: '%s' is no number from 1 on", option, text);
	return (unsigned)n;
}

int parse_signal(const Command *cmd, const char *text)
{
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
	char *end;
	long n = strtol(text, &end, 10);

	if (isdigit((unsigned char)text[0]) && *end == '\0' && n > 0 && n <= SIGRTMAX)
		return (int)n;
	for (int s = 1; s < 32; s++) {
		const char *abbreviation = sigabbrev_np(s);
		if (abbreviation && strcmp(abbreviation, name) == 0)
			return s;
	}
	usage_error(cmd, "'%s' is no signal", text);
}

const char *optional_name(const Command *cmd, int argc, char **argv)
{
	if (argc - optind > 1)
		usage_error(cmd, "unexpected argument '%s'", argv[optind + 1]);
	return optind < argc ? argv[optind] : NULL;
}

/* With `links` what only means the same where there are no symbolic links stays: "..", and a slash at the end. */
static char *whole_path(const char *path, bool links)
{
	char *cwd = path[0] == '/' ? xasprintf("%s", "") : getcwd(NULL, 0);
	char *joined = xasprintf("%s/%s", cwd ? cwd : "", path);
	char *out = xrealloc(NULL, strlen(joined) + 2);
	size_t len = 0;

	for (const char *p = joined; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.' && !links) {
			while (len > 0 && out[--len] != '/')
				;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			out[len++] = '/';
			memcpy(out + len, p, n);
			len += n;
		}
		p += n + (p[n] == '/');
	}
	if (len == 0 || (links && joined[strlen(joined) - 1] == '/'))
		out[len++] = '/';
	out[len] = '\0';
	free(cwd);
	free(joined);
	return out;
}

char *absolute_path(const char *path)
{
	return whole_path(path, false);
}

char *absolute_path_with_links(const char *path)
{
	return whole_path(path, true);
}

bool ends_with_dashes(void)
{
	return behind_dashes == 0;
}

size_t leading_words(int argc, char **argv)
{
	int end = behind_dashes < 0 ? argc : argc - behind_dashes;
	size_t n = 0;

	while (optind + (int)n < end && !strchr(argv[optind + (int)n], '/') && strcmp(argv[optind + (int)n], ".") != 0 && strcmp(argv[optind + (int)n], "..") != 0)
		n++;
	return n;
}

void add_paths(int argc, char **argv, size_t names, char *(*absolute)(const char *path), List *paths)
{
	for (int i = optind + (int)names; i < argc; i++)
		list_add(paths, absolute(argv[i]));
}

const char *name_and_paths(int argc, char **argv, char *(*absolute)(const char *path), List *paths)
{
	size_t names = leading_words(argc, argv) ? 1 : 0;

	add_paths(argc, argv, names, absolute, paths);
	return names ? argv[optind] : NULL;
}

bool names_snapshot(const char *name)
{
	return name && strchr(name, '@');
}

int find_sandbox(const char *name, BvSandbox **out, BvError **err)
{
	BvError *why = NULL;
	int r = names_snapshot(name) ? -ENOENT : bv_sandbox_open(NULL, name, out, &why);

	if (r < 0 && r != -ENOENT && r != -EINVAL) { /* the latter: no sandbox can be called so */
		*err = why;
		return r;
	}
	bv_error_free(why);
	return r == 0;
}

bool is_sandbox(const char *name)
{
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	int r = find_sandbox(name, &sb, &err);

	bv_error_free(err);
	bv_sandbox_close(sb);
	return r != 0;
}

size_t control_length(const unsigned char *at)
{
	if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
		return 2;
	return *at < 0x20 || *at == 0x7f;
}

void print_plain(FILE *out, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at;) {
		size_t n = control_length(at);
		if (n == 0)
			fputc(*at++, out);
		for (; n > 0; n--)
			fprintf(out, "\\%03o", *at++);
	}
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	fputs("bvisor: ", stderr);
	print_plain(stderr, text ? text : "out of memory");
	fputc('\n', stderr);
	free(text);
	return EXIT_BVISOR;
}

void cli_tell(const char *lines)
{
	for (const char *at = lines; *at;) {
		size_t len = strcspn(at, "\n");
		cli_fail("%.*s", (int)len, at);
		at += len + (at[len] == '\n');
	}
}

int cli_fail_error(BvError *err)
{
	int r = cli_fail("%s", err ? bv_error_message(err) : "out of memory");

	bv_error_free(err);
	return r;
}

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void *xrealloc(void *p, size_t size)
{
	void *bigger = realloc(p, size);

	if (!bigger)
		exit(cli_fail("out of memory"));
	return bigger;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		exit(cli_fail("out of memory"));
	va_end(ap);
	return text;
}

void list_add(List *list, const char *item)
{
	list->items = xrealloc(list->items, (list->count + 2) * sizeof(*list->items));
	list->items[list->count++] = item;
	list->items[list->count] = NULL;
}
