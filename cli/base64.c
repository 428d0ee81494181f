#include "cli/base64.h"
#include "cli/cli.h"

void base64_put(FILE *out, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i += 3) {
		const size_t n = len - i < 3 ? len - i : 3;
		const unsigned v = (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		const char text[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
		fwrite(text, 1, 4, out);
	}
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

unsigned char *base64_parse(const char *text, size_t *len)
{
	const size_t n = strlen(text), padding = n < 2 ? 0 : (size_t)(text[n - 1] == '=') + (size_t)(text[n - 1] == '=' && text[n - 2] == '=');
	unsigned char *out = n % 4 ? NULL : xrealloc(NULL, n / 4 * 3 + 1);
	unsigned v = 0;

	*len = 0;
	for (size_t i = 0; out && i < n; i++) {
		const int digit = i < n - padding ? digit_value(text[i]) : 0;
		if (digit < 0) {
			free(out);
			return NULL;
		}
		v = v << 6 | (unsigned)digit;
		if (i % 4 == 3) {
			out[(*len)++] = (unsigned char)(v >> 16);
			out[(*len)++] = (unsigned char)(v >> 8);
			out[(*len)++] = (unsigned char)v;
		}
	}
	*len -= out ? padding : 0;
	return out;
}
