#include "snapshot/id.h"

void bytes_id(Bytes *b, const SnapId *id)
{
	bytes_put(b, id->b, sizeof id->b);
}

bool cursor_id(Cursor *c, SnapId *out)
{
	const uint8_t *raw = cursor_take(c, sizeof out->b);

	if (!raw)
		return false;
	memcpy(out->b, raw, sizeof out->b);
	return true;
}

void id_hex(const SnapId *id, char out[65])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof id->b; i++) {
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[64] = 0;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int id_parse(const char *hex, size_t len, SnapId *out)
{
	SnapId id;

	if (len != 2 * sizeof id.b)
		return -EINVAL;
	for (size_t i = 0; i < sizeof id.b; i++) {
		int high = digit_value(hex[2 * i]), low = digit_value(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	*out = id;
	return 0;
}
