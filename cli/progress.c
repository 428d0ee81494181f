/* cli/progress.c - one line on the terminal that says how far a long command is: a bar, how much, and how long it will take. In a pipe, and on a terminal that cannot, there is none.
 *
 * Nothing is shown of what ends within a fifth of a second. */
#include "cli/cli.h"

#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { QUIET_MS = 200, STEP_MS = 100, BAR_MAX = 30, ETA_MIN_MS = 2000 };

static struct {
	bool shown;
	int64_t began, last; /* ms; of what is done now */
	char what[40];
} line;

static bool can_show(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
}

static size_t columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static char *amount(uint64_t done, uint64_t total)
{
	char of[32] = "", part[32];

	if (strstr(line.what, "bytes")) {
		human_size(done, part);
		return total ? xasprintf("%s of %s", part, human_size(total, of)) : xasprintf("%s", part);
	}
	return total ? xasprintf("%" PRIu64 " of %" PRIu64 " %s", done, total, line.what) : xasprintf("%" PRIu64 " %s", done, line.what);
}

/* By what was done so far; "" while that says little. */
static char *time_left(uint64_t done, uint64_t total, int64_t ms)
{
	int64_t spent = ms - line.began;

	if (total == 0 || done == 0 || spent < ETA_MIN_MS)
		return xasprintf("%s", "");
	double seconds = (double)spent / 1000 * ((double)(total - done) / (double)done);
	if (seconds >= 3600)
		return xasprintf(", %d h %02d min left", (int)(seconds / 3600), (int)(seconds / 60) % 60);
	return seconds >= 60 ? xasprintf(", %d min %02d s left", (int)(seconds / 60), (int)seconds % 60) : xasprintf(", %.0f s left", seconds);
}

static void print_bar(uint64_t done, uint64_t total, size_t width)
{
	size_t full = (size_t)((double)done / (double)total * (double)width);

	fprintf(stderr, "\r[");
	for (size_t i = 0; i < width; i++)
		fputc(i < full ? '=' : i == full ? '>' : ' ', stderr);
	fprintf(stderr, "] %3.0f%% ", 100.0 * (double)done / (double)total);
}

static void print_line(uint64_t done, uint64_t total, int64_t ms)
{
	char *much = amount(done, total), *left = time_left(done, total, ms);
	size_t text = strlen(much) + strlen(left) + sizeof("[] 100%  "), width = columns(), bar = width > text ? width - text : 0;

	if (total && bar >= 5)
		print_bar(done, total, bar < BAR_MAX ? bar : BAR_MAX);
	else
		fputc('\r', stderr);
	fprintf(stderr, "%.*s%s\033[K", (int)width - 1, much, total && bar >= 5 ? left : "");
	fflush(stderr);
	free(much);
	free(left);
}

void progress_show(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	(void)ctx;
	int64_t ms = now_ms();
	if (strcmp(what, line.what) != 0) {
		snprintf(line.what, sizeof(line.what), "%s", what);
		line.began = ms;
		line.last = line.shown ? 0 : ms + QUIET_MS - STEP_MS;
	}
	if (ms - line.last < STEP_MS || !can_show())
		return;
	line.last = ms;
	line.shown = true;
	print_line(total && done > total ? total : done, total, ms);
}

void progress_end(void)
{
	if (line.shown)
		fputs("\r\033[K", stderr);
	line.shown = false;
	line.what[0] = '\0';
}
