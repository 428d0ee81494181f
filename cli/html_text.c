#include "cli/html_text.h"
#include "cli/cli.h"

static unsigned code_point(const unsigned char *p, size_t n)
{
	static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned c = p[0] & masks[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* They reorder or hide what stands around them, or look like a line's end. */
static bool is_treacherous(unsigned c)
{
	return c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f && c != 0x200c && c != 0x200d) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static void put_named(FILE *out, const unsigned char *p, size_t n)
{
	static const char *const names[] = {"NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS",  "TAB", "LF",  "VT",  "FF", "CR", "SO", "SI",
					    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM",  "SUB", "ESC", "FS", "GS", "RS", "US"};
	const unsigned c = n ? code_point(p, n) : 0;

	fputs("<span class=\"c\">", out);
	if (n == 0)
		fprintf(out, "\\x%02x", *p);
	else if (c < 0x20 || c == 0x7f)
		fputs(c == 0x7f ? "DEL" : names[c], out);
	else
		fprintf(out, "U+%04X", c);
	fputs("</span>", out);
}

static void put_one(FILE *out, const unsigned char *p, size_t n)
{
	switch (*p) {
	case '&': fputs("&amp;", out); break;
	case '<': fputs("&lt;", out); break;
	case '>': fputs("&gt;", out); break;
	case '"': fputs("&quot;", out); break;
	case '\'': fputs("&#39;", out); break;
	default: fwrite(p, 1, n, out);
	}
}

void html_text(FILE *out, const char *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		unsigned char p[5] = {0};
		size_t left = len - at;
		memcpy(p, bytes + at, left < 4 ? left : 4);
		size_t n = *p ? utf8_length(p) : 1;
		if (n == 0 || (*p != '\t' && (*p == 0 || control_length(p) || is_treacherous(code_point(p, n)))))
			put_named(out, p, n);
		else
			put_one(out, p, n);
		at += n ? n : 1;
	}
}
