/* cli/unified.h - the difference of two texts, line by line, as `diff -u` prints it. */
#ifndef CLI_UNIFIED_H
#define CLI_UNIFIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct Text {
	const char *bytes;
	size_t len;
} Text;

typedef struct UnifiedStyle {
	size_t context;
	const char *header, *hunk, *add, *del, *reset; /* colours; "" for none */
} UnifiedStyle;

/* A NUL byte within the first 8000 bytes, as git decides it. */
bool text_is_binary(Text text);
/* Prints hunks (no file header). Counts of added and deleted lines in *added, *deleted; out may be NULL: only count. Returns 0, or -1 when out of memory. */
int unified_diff(FILE *out, Text a, Text b, const UnifiedStyle *style, size_t *added, size_t *deleted);

#endif
