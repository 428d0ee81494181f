#include "cli/sha256.h"

#include <dlfcn.h>
#include <stdio.h>

typedef unsigned char *(*Sha256)(const unsigned char *data, size_t len, unsigned char *digest);

static Sha256 load(void)
{
	void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	void *symbol = library ? dlsym(library, "SHA256") : NULL;
	union {
		void *object;
		Sha256 function;
	} convert = {.object = symbol};

	return convert.function;
}

bool sha256_hex(const void *data, size_t len, char out[65])
{
	static Sha256 function;
	static bool tried;
	unsigned char digest[32];

	if (!tried)
		function = load();
	tried = true;
	if (!function || !function(data, len, digest))
		return false;
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return true;
}
