/* The line difference: right on known texts, and on random ones it rebuilds the second text and is as short as the quadratic method says. */
#include "cli/unified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const UnifiedStyle plain = {3, "", "", "", "", ""};

static Text text(const char *s)
{
	return (Text){s, strlen(s)};
}

static char *diff(Text a, Text b, size_t *added, size_t *deleted)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	assert_int_equal(unified_diff(f, a, b, &plain, added, deleted), 0);
	fclose(f);
	return out;
}

static void expect(const char *a, const char *b, const char *wanted)
{
	size_t added, deleted;
	char *got = diff(text(a), text(b), &added, &deleted);

	assert_string_equal(got, wanted);
	free(got);
}

static void equal_texts_give_nothing(void **state)
{
	(void)state;
	expect("a\nb\n", "a\nb\n", "");
	expect("", "", "");
}

static void an_empty_side_names_the_line_before(void **state)
{
	(void)state;
	expect("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n");
	expect("a\n", "", "@@ -1 +0,0 @@\n-a\n");
}

static void a_change_has_three_lines_of_context(void **state)
{
	(void)state;
	expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nX\n6\n7\n8\n9\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n");
}

static void changes_far_apart_are_two_hunks_and_near_ones_are_one(void **state)
{
	(void)state;
	expect("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	       "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
	expect("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n", "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void a_missing_newline_at_the_end_is_said(void **state)
{
	(void)state;
	expect("a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
	expect("a\n", "a", "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
}

static void a_nul_byte_makes_a_text_binary(void **state)
{
	(void)state;
	assert_true(text_is_binary((Text){"a\0b", 3}));
	assert_false(text_is_binary(text("a\nb\n")));
	assert_false(text_is_binary((Text){"", 0}));
}

/* Length of the longest common subsequence of single-letter lines, the slow and obvious way. */
static size_t common(const char *a, size_t na, const char *b, size_t nb)
{
	size_t table[64][64] = {{0}};

	for (size_t i = 1; i <= na; i++)
		for (size_t j = 1; j <= nb; j++)
			table[i][j] = a[2 * i - 2] == b[2 * j - 2]			? table[i - 1][j - 1] + 1
				      : table[i - 1][j] > table[i][j - 1] ? table[i - 1][j]
									  : table[i][j - 1];
	return table[na][nb];
}

static size_t random_lines(char *out, unsigned letters)
{
	size_t n = (size_t)(rand() % 40);

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = (char)('a' + rand() % (int)letters);
		out[2 * i + 1] = '\n';
	}
	out[2 * n] = '\0';
	return n;
}

/* Takes a diff with unlimited context apart: the lines without '+' must be a, those without '-' must be b. */
static void check_rebuilds(const char *diff_text, const char *a, const char *b)
{
	char was[256] = "", is[256] = "";
	const char *p = strchr(diff_text, '\n');

	for (p = p ? p + 1 : ""; *p; p += 3) {
		if (p[0] != '+')
			strncat(was, p + 1, 2);
		if (p[0] != '-')
			strncat(is, p + 1, 2);
	}
	assert_string_equal(was, a);
	assert_string_equal(is, b);
}

static void random_differences_are_right_and_shortest(void **state)
{
	const UnifiedStyle whole = {1000, "", "", "", "", ""};

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		char a[128], b[128], *out = NULL;
		size_t len, added, deleted, na = random_lines(a, 2 + (unsigned)i % 5), nb = random_lines(b, 2 + (unsigned)i % 5);
		FILE *f = open_memstream(&out, &len);
		assert_int_equal(unified_diff(f, text(a), text(b), &whole, &added, &deleted), 0);
		fclose(f);
		assert_int_equal(added + deleted, na + nb - 2 * common(a, na, b, nb));
		if (added + deleted > 0)
			check_rebuilds(out, a, b);
		else
			assert_string_equal(a, b);
		free(out);
	}
}

/* Words in brackets are only in one of the texts: "[-old]", "[+new]". */
static void note_word(void *ctx, UnifiedKind kind, Text word)
{
	fprintf(ctx, kind == UNIFIED_SAME ? "%.*s" : kind == UNIFIED_ADDED ? "[+%.*s]" : "[-%.*s]", (int)word.len, word.bytes);
}

static void words_differ(const char *a, const char *b, const char *want)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);
	const UnifiedVisitor v = {NULL, note_word, f};

	assert_int_equal(unified_words(text(a), text(b), &v), 0);
	fclose(f);
	assert_string_equal(out, want);
	free(out);
}

static void words_are_compared_as_lines_are(void **state)
{
	(void)state;
	words_differ("return x;", "return y;", "return [-x][+y];");
	words_differ("f(a, b)", "f(a)", "f(a[-,][- ][-b])");
	words_differ("na\xc3\xafve one", "naive one", "[-na\xc3\xafve][+naive] one");
	words_differ("", "new", "[+new]");
	words_differ("same", "same", ""); /* as for lines: nothing is visited */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_give_nothing),
		cmocka_unit_test(an_empty_side_names_the_line_before),
		cmocka_unit_test(a_change_has_three_lines_of_context),
		cmocka_unit_test(changes_far_apart_are_two_hunks_and_near_ones_are_one),
		cmocka_unit_test(a_missing_newline_at_the_end_is_said),
		cmocka_unit_test(a_nul_byte_makes_a_text_binary),
		cmocka_unit_test(random_differences_are_right_and_shortest),
		cmocka_unit_test(words_are_compared_as_lines_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
