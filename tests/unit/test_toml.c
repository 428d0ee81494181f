/* tests/unit/test_toml.c - the strict part of TOML: what is taken, what is refused, and in which line. */
#include "cli/toml.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static TomlValue *parsed(const char *text)
{
	TomlError error = {0};
	TomlValue *root = toml_parse(text, strlen(text), &error);

	if (!root)
		fail_msg("line %u: %s: in %s", error.line, error.message, text);
	return root;
}

/* The one key "v". */
static TomlValue *value(const char *text, TomlType type, TomlValue *copy)
{
	char line[4096];

	snprintf(line, sizeof(line), "v = %s\n", text);
	TomlValue *root = parsed(line);
	const TomlValue *v = toml_get(root, "v");
	assert_non_null(v);
	assert_int_equal(v->type, type);
	*copy = *v;
	return root;
}

static void is_text(const char *text, const char *want)
{
	TomlValue v, *root = value(text, TOML_STRING, &v);

	assert_string_equal(v.text, want);
	toml_free(root);
}

static void strings_of_all_four_kinds(void **state)
{
	(void)state;
	is_text("\"a\\tb\\\\ \\\" \\u00e9 \\U0001F600\"", "a\tb\\ \" \xc3\xa9 \xf0\x9f\x98\x80");
	is_text("'C:\\new \"x\"'", "C:\\new \"x\"");
	is_text("\"\"\"\none\r\ntwo \\\n   \n  three\"\"\"", "one\r\ntwo three");
	is_text("\"\"\"a \"\" b\"\"\"\"\"", "a \"\" b\"\"");
	is_text("'''\nfirst\n\\n'''", "first\n\\n");
	is_text("''''a'''''", "'a''");
	is_text("\"\"", "");
	is_text("''", "");
}

static void is_integer(const char *text, int64_t want)
{
	TomlValue v, *root = value(text, TOML_INTEGER, &v);

	assert_true(v.integer == want);
	toml_free(root);
}

static void is_float(const char *text, double want)
{
	TomlValue v, *root = value(text, TOML_FLOAT, &v);

	assert_true(v.real == want || (isnan(v.real) && isnan(want)));
	toml_free(root);
}

static void numbers(void **state)
{
	(void)state;
	is_integer("0", 0);
	is_integer("+99", 99);
	is_integer("-17", -17);
	is_integer("1_000", 1000);
	is_integer("0xDEAD_beef", 0xdeadbeef);
	is_integer("0o755", 0755);
	is_integer("0b1101", 13);
	is_integer("9223372036854775807", INT64_MAX);
	is_integer("-9223372036854775808", INT64_MIN);
	is_float("3.5", 3.5);
	is_float("-0.01", -0.01);
	is_float("5e+2", 500);
	is_float("1e06", 1e6);
	is_float("6.25E-2", 0.0625);
	is_float("9_1.5", 91.5);
	is_float("inf", HUGE_VAL);
	is_float("-inf", -HUGE_VAL);
	is_float("nan", (double)NAN);
}

static void tables_arrays_and_dotted_keys(void **state)
{
	TomlValue *root = parsed("# a comment\n a.b . c = 1 # behind\n\"k e y\" = [ 1, 'two', # inside\n [true, false], ]\n[x.y]\nz = { p = 1, q.r = 'in' }\n[x]\nw = 2\r\n[a.other]\nv=3");
	const TomlValue *a = toml_get(root, "a"), *list = toml_get(root, "k e y"), *x = toml_get(root, "x");

	(void)state;
	assert_int_equal(toml_get(toml_get(a, "b"), "c")->integer, 1);
	assert_int_equal(toml_get(toml_get(a, "other"), "v")->integer, 3);
	assert_int_equal(list->first->integer, 1);
	assert_string_equal(list->first->next->text, "two");
	assert_true(list->last->first->boolean && !list->last->last->boolean);
	assert_int_equal(list->line, 3);
	assert_string_equal(toml_get(toml_get(toml_get(toml_get(x, "y"), "z"), "q"), "r")->text, "in");
	assert_int_equal(toml_get(x, "w")->integer, 2);
	toml_free(root);
	toml_free(parsed(""));
	toml_free(parsed("\n\n# only\n"));
	root = parsed("[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true");
	assert_non_null(toml_get(toml_get(toml_get(root, "fruit"), "apple"), "texture"));
	toml_free(root);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *word;
	} cases[] = {
		{"a = 1\na = 2", 2, "twice"}, {"a = 1\n[b]\n[c]\n[b]", 4, "twice"}, {"a.b = 1\na = 2", 2, "twice"}, {"a = 1\na.b = 2", 2, "already"}, {"a = {b = 1}\na.c = 2", 2, "complete"},
		{"a = {b = 1}\n[a.c]", 2, "complete"}, {"[fruit]\napple.color = 1\n[fruit.apple]", 3, "twice"}, {"[a.b.c]\nz = 9\n[a]\nb.c.t = 1", 4, "complete"}, {"a = 1979-05-27", 1, "dates"},
		{"a = 07:32:00", 1, "dates"}, {"[[a]]", 1, "arrays of tables"}, {"a = 012", 1, "no number"}, {"a = 1__0", 1, "no number"}, {"a = _1", 1, "no number"}, {"a = 1.", 1, "no number"},
		{"a = .5", 1, "no number"}, {"a = 1e", 1, "no number"}, {"a = 0x", 1, "no number"}, {"a = +0x1", 1, "no number"}, {"a = 9223372036854775808", 1, "too large"}, {"a = tru", 1, "no number"},
		{"a = ", 1, "missing"}, {"a", 1, "equals"}, {"= 1", 1, "key"}, {"a = 1 b = 2", 1, "behind"}, {"\na = \"x", 2, "no end"}, {"a = \"x\ny\"", 1, "no end"}, {"a = '''x", 1, "no end"},
		{"a = \"\\q\"", 1, "escape"}, {"a = \"\\u00\"", 1, "escape"}, {"a = \"\\ud800\"", 1, "escape"}, {"a = \"\\u0000\"", 1, "escape"}, {"a = \"\x01\"", 1, "control"}, {"# \x01", 1, "control"},
		{"a = \"\xff\"", 1, "UTF-8"}, {"a = \"\xed\xa0\x80\"", 1, "UTF-8"}, {"a = [1 2]", 1, "comma"}, {"a = [1", 1, "comma"}, {"a = {b = 1,\nc = 2}", 1, "key"}, {"a = {b = 1,}", 1, "key"},
		{"[a", 1, "]"}, {"[a] b = 1", 1, "behind"}, {"[]", 1, "key"}, {"a.\"\"\"x\"\"\" = 1", 1, "equals"}, {"a = 1\rb = 2", 1, "behind"}, {"\xef\xbb\xbf\xef\xbb\xbf", 1, "key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TomlError error = {0};
		TomlValue *root = toml_parse(cases[i].text, strlen(cases[i].text), &error);
		if (root || error.line != cases[i].line || !strstr(error.message, cases[i].word))
			fail_msg("%s: %s, line %u: %s", cases[i].text, root ? "taken" : "refused", error.line, error.message);
	}
}

static void depth_and_length_are_bounded(void **state)
{
	static char text[TOML_MAX + 2];
	TomlError error;

	(void)state;
	memset(text, '[', sizeof(text));
	memcpy(text, "a=", 2);
	assert_null(toml_parse(text, TOML_MAX, &error));
	assert_non_null(strstr(error.message, "brackets"));
	memset(text, '\n', sizeof(text));
	assert_null(toml_parse(text, TOML_MAX + 1, &error));
	TomlValue *root = toml_parse(text, TOML_MAX, &error);
	assert_non_null(root);
	toml_free(root);
	for (size_t i = 0; i < 1000; i++)
		memcpy(text + 2 * i, "a.", 2);
	assert_null(toml_parse(text, 2000, &error));
	assert_non_null(strstr(error.message, "dots"));
	assert_null(toml_parse("a = '\0'", 7, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_of_all_four_kinds),
		cmocka_unit_test(numbers),
		cmocka_unit_test(tables_arrays_and_dotted_keys),
		cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(depth_and_length_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
