/* cli/sha256.h - SHA-256 by OpenSSL, which is loaded when it is first needed. */
#ifndef CLI_SHA256_H
#define CLI_SHA256_H

#include <stdbool.h>
#include <stddef.h>

/* As 64 hexadecimal digits; false: OpenSSL is not installed. */
bool sha256_hex(const void *data, size_t len, char out[65]);

#endif
