/* cli/color.c - whether output is coloured: --color, else NO_COLOR (https://no-color.org), else on a terminal that can. */
#include "cli/cli.h"

#include <unistd.h>

static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } chosen;

void color_choose(const Command *cmd, const char *when)
{
	if (strcmp(when, "always") == 0)
		chosen = COLOR_ALWAYS;
	else if (strcmp(when, "never") == 0)
		chosen = COLOR_NEVER;
	else if (strcmp(when, "auto") == 0)
		chosen = COLOR_AUTO;
	else
		usage_error(cmd, "--color: '%s' is none of always, auto, never", when);
}

bool color_wanted(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (chosen != COLOR_AUTO)
		return chosen == COLOR_ALWAYS;
	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

const char *color(const char *name)
{
	static const struct {
		const char *name, *code;
	} codes[] = {{"red", "\033[31m"}, {"green", "\033[32m"}, {"yellow", "\033[33m"}, {"cyan", "\033[36m"}, {"bold", "\033[1m"}, {"plain", "\033[0m"}};

	for (size_t i = 0; i < ARRAY_LEN(codes) && color_wanted(); i++)
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].code;
	return "";
}
