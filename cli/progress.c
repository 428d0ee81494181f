/* cli/progress.c - one line on the terminal that says how far a long command is. In a pipe there is none. */
#include "cli/cli.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

static bool shown;

void progress_show(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	static int64_t last;
	struct timespec now;

	(void)ctx;
	if (!isatty(STDERR_FILENO))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (ms - last < 100)
		return;
	last = ms;
	shown = true;
	if (total)
		fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 "\033[K", what, done, total);
	else
		fprintf(stderr, "\r%s: %" PRIu64 "\033[K", what, done);
}

void progress_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
