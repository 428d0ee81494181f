/* backends/object_name.c - the rules for names of objects. A file of its own, as the plugins have it, too. */
#include "backends/object.h"

#define NAME_MAX_BYTES 512
#define PART_MAX_BYTES 255

static bool name_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

bool object_prefix_valid(const char *prefix)
{
	size_t len = 0, part = 0;

	for (const char *c = prefix; *c; c++, len++) {
		if (*c == '/') {
			if (part == 0)
				return false;
			part = 0;
			continue;
		}
		if (!name_char(*c) || (part == 0 && *c == '.') || ++part > PART_MAX_BYTES)
			return false;
	}
	return len <= NAME_MAX_BYTES;
}

bool object_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && name[len - 1] != '/' && object_prefix_valid(name);
}
