/* tests/fuzz/fuzz_toml.c - any bytes as a configuration file: no crash, an error has a line and a reason, and what was taken can be walked through. */
#include "cli/toml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static void walk(const TomlValue *v, unsigned depth)
{
	expect(v->type <= TOML_TABLE && v->line > 0 && depth < 4000);
	expect((v->type == TOML_STRING) == (v->text != NULL));
	expect((v->first == NULL) == (v->last == NULL));
	for (const TomlValue *item = v->first; item; item = item->next) {
		expect(v->type == TOML_ARRAY || v->type == TOML_TABLE);
		expect((v->type == TOML_TABLE) == (item->key != NULL));
		expect(v->type != TOML_TABLE || toml_get(v, item->key) == item); /* no key twice */
		expect(item->next || item == v->last);
		walk(item, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TomlError error = {0};
	TomlValue *root = toml_parse((const char *)data, size, &error);

	if (root)
		walk(root, 0);
	else
		expect(error.line > 0 && error.message[0] && memchr(error.message, 0, sizeof(error.message)));
	toml_free(root);
	return 0;
}
