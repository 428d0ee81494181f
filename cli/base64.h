/* cli/base64.h - bytes as text (RFC 4648, with padding and without line ends). */
#ifndef CLI_BASE64_H
#define CLI_BASE64_H

#include <stddef.h>
#include <stdio.h>

void base64_put(FILE *out, const void *data, size_t len);
/* malloc'ed; NULL: it is none. */
unsigned char *base64_parse(const char *text, size_t *len);

#endif
