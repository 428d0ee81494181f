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

typedef enum UnifiedKind { UNIFIED_SAME, UNIFIED_DELETED, UNIFIED_ADDED } UnifiedKind;
/* Called for each hunk (the first line, from 0 on, and how many, of both texts; may be NULL), and then for each of its parts: a line with its newline, or a word. */
typedef struct UnifiedVisitor {
	void (*hunk)(void *ctx, size_t a, size_t a_count, size_t b, size_t b_count);
	void (*part)(void *ctx, UnifiedKind kind, Text part);
	void *ctx;
} UnifiedVisitor;

/* Visits the differences with so many equal lines around them. visitor NULL: only count. Returns 0, or -1 when out of memory. */
int unified_lines(Text a, Text b, size_t context, const UnifiedVisitor *visitor, size_t *added, size_t *deleted);
/* Visits all words of two texts that are not the same: letters, digits and what is not ASCII go together, each other byte is one. */
int unified_words(Text a, Text b, const UnifiedVisitor *visitor);

/* A NUL byte within the first 8000 bytes, as git decides it. */
bool text_is_binary(Text text);
/* Prints hunks (no file header). Counts of added and deleted lines in *added, *deleted; out may be NULL: only count. Returns 0, or -1 when out of memory. */
int unified_diff(FILE *out, Text a, Text b, const UnifiedStyle *style, size_t *added, size_t *deleted);

#endif
