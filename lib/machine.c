/* lib/machine.c - names of the machine that a sandbox shows instead of the host's. */
#include "lib/internal.h"

#include <sys/utsname.h>

static bool is_made_of(const char *text, const char *more)
{
	size_t len = strlen(text);

	if (len == 0 || len >= sizeof(((struct utsname *)0)->nodename))
		return false;
	for (const char *at = text; *at; at++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *at) && (at == text || !strchr(more, *at)))
			return false;
	return true;
}

bool machine_is_hostname(const char *text)
{
	return is_made_of(text, "-._");
}

bool machine_is_release(const char *text)
{
	return text[0] >= '0' && text[0] <= '9' && is_made_of(text, "-._+~");
}
