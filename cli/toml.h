/* cli/toml.h - the part of TOML 1.0 that a configuration needs: strings of all four kinds, integers, floats, booleans, arrays, tables (also inline) and dotted keys.
 *
 * Strict: what is no TOML, what is defined twice, and what is not in this part (dates and times, arrays of tables) is an error with its line. Input is not trusted: it is
 * bounded in length and depth. A string holds no NUL. */
#ifndef CLI_TOML_H
#define CLI_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOML_MAX = 64 << 10 }; /* bytes of a text */

typedef enum TomlType { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOLEAN, TOML_ARRAY, TOML_TABLE } TomlType;

typedef struct TomlValue {
	TomlType type;
	unsigned line;
	unsigned origin; /* of a table: how it came to be (private) */
	char *key;	 /* NULL in an array, and of the root */
	struct TomlValue *next;		/* in the same table or array */
	struct TomlValue *first, *last; /* of a table or array, in their order */
	char *text;			/* of a string */
	int64_t integer;
	double real;
	bool boolean;
} TomlValue;

typedef struct TomlError {
	unsigned line;
	char message[256];
} TomlError;

/* The root table, which is the caller's to free; NULL with *error. */
TomlValue *toml_parse(const char *text, size_t len, TomlError *error);
void toml_free(TomlValue *value); /* NULL is allowed */
/* The value of that key; NULL: there is none, or `table` is NULL or no table. */
const TomlValue *toml_get(const TomlValue *table, const char *key);
/* "a string", "an integer", ... */
const char *toml_type_name(TomlType type);

#endif
