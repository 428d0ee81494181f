#include "supervisor/title.h"

#include "base/util.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>

extern char **environ;

static char *args;
static size_t args_size;

static void wipe(unsigned long from, unsigned long to)
{
	if (from && to > from)
		memset((char *)from, 0, to - from);
}

void title_take(void)
{
	static char *none[] = {NULL};
	CLEAN_FREE char *text = NULL;
	unsigned long arg[2] = {0, 0}, env[2] = {0, 0};
	ssize_t n = bv_read_file_at(AT_FDCWD, "/proc/self/stat", 65536, &text);
	const char *at = n > 0 ? strrchr(text, ')') : NULL;

	environ = none;
	/* Fields 48 to 51 of proc(5); the third one follows the name. */
	for (int field = 2; at && field < 48; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%lu %lu %lu %lu", &arg[0], &arg[1], &env[0], &env[1]) != 4)
		return;
	wipe(arg[0], arg[1]);
	wipe(env[0], env[1]);
	args = (char *)arg[0];
	args_size = arg[1] > arg[0] ? arg[1] - arg[0] : 0;
}

/* A last byte that is not 0 tells the kernel that the text ends with the first one that is, as after setproctitle(3). */
void title_set(const char *title)
{
	prctl(PR_SET_NAME, title, 0, 0, 0);
	if (args_size < 2)
		return;
	size_t n = MIN(strlen(title), args_size - 2);
	memcpy(args, title, n);
	memset(args + n, 0, args_size - 1 - n);
	args[args_size - 1] = '.';
}
