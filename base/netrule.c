#include "base/netrule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#define NAME_MAX_DNS 253

void net_rule_release(NetRule *rule)
{
	free(rule->name);
	*rule = (NetRule){0};
}

static bool has_prefix(const struct in6_addr *address, const struct in6_addr *block, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	return memcmp(address, block, bytes) == 0 && (!rest || (address->s6_addr[bytes] ^ block->s6_addr[bytes]) >> (8 - rest) == 0);
}

/* ---- kinds of addresses ---- */

static bool carried(const struct in6_addr *address, const struct in6_addr *block, unsigned prefix, struct in6_addr *v4)
{
	if (!has_prefix(address, block, prefix))
		return false;
	*v4 = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(v4->s6_addr + 12, address->s6_addr + prefix / 8, 4);
	return true;
}

/* The IPv4 address that it leads to. */
static struct in6_addr unwrapped(const struct in6_addr *address)
{
	static const struct in6_addr nat64 = {.s6_addr = {0, 0x64, 0xff, 0x9b}}, six_to_four = {.s6_addr = {0x20, 0x02}};
	struct in6_addr v4;

	return carried(address, &nat64, 96, &v4) || carried(address, &six_to_four, 16, &v4) ? v4 : *address;
}

typedef struct Special {
	struct in6_addr block;
	unsigned prefix;
	const char *what;
} Special;

#define V4(a, b, c, d, bits, text) \
	{ \
		{.s6_addr = {[10] = 0xff, [11] = 0xff, a, b, c, d}}, 96 + (bits), text \
	}
#define V6(bits, text, ...) \
	{ \
		{.s6_addr = {__VA_ARGS__}}, bits, text \
	}
static const char loopback[] = "a loopback address", private[] = "a private address", link_local[] = "a link-local address", multicast[] = "a multicast address",
		  metadata[] = "a metadata service's address", reserved[] = "an address that is not one of the internet";

static const Special specials[] = {
	V4(127, 0, 0, 0, 8, loopback), V4(0, 0, 0, 0, 32, loopback), V6(128, loopback, [15] = 1), V6(128, loopback, 0),
	V4(169, 254, 169, 254, 32, metadata), V4(168, 63, 129, 16, 32, metadata), V4(100, 100, 100, 200, 32, metadata), V4(192, 0, 0, 192, 32, metadata),
	V6(128, metadata, 0xfd, 0, 0x0e, 0xc2, [14] = 2, [15] = 0x54),
	V4(10, 0, 0, 0, 8, private), V4(172, 16, 0, 0, 12, private), V4(192, 168, 0, 0, 16, private), V4(100, 64, 0, 0, 10, private), V6(7, private, 0xfc), V6(10, private, 0xfe, 0xc0),
	V4(169, 254, 0, 0, 16, link_local), V6(10, link_local, 0xfe, 0x80),
	V4(224, 0, 0, 0, 4, multicast), V6(8, multicast, 0xff),
	V4(0, 0, 0, 0, 8, reserved), V4(192, 0, 0, 0, 24, reserved), V4(192, 0, 2, 0, 24, reserved), V4(192, 88, 99, 0, 24, reserved), V4(198, 18, 0, 0, 15, reserved),
	V4(198, 51, 100, 0, 24, reserved), V4(203, 0, 113, 0, 24, reserved), V4(240, 0, 0, 0, 4, reserved),
	V6(23, reserved, 0x20, 0x01), V6(32, reserved, 0x20, 0x01, 0x0d, 0xb8), V6(20, reserved, 0x3f, 0xff),
};

const char *net_special(const struct in6_addr *address)
{
	static const struct in6_addr global = {.s6_addr = {0x20}};
	struct in6_addr real = unwrapped(address);

	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (has_prefix(&real, &specials[i].block, specials[i].prefix))
			return specials[i].what;
	return IN6_IS_ADDR_V4MAPPED(&real) || has_prefix(&real, &global, 3) ? NULL : reserved;
}

bool net_is_loopback(const struct in6_addr *address)
{
	return net_special(address) == loopback;
}

const char *net_text(const struct in6_addr *address, uint16_t port, char buf[NET_TEXT_MAX])
{
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(address))
		snprintf(buf, NET_TEXT_MAX, "%s:%u", inet_ntop(AF_INET, address->s6_addr + 12, text, sizeof text), port);
	else
		snprintf(buf, NET_TEXT_MAX, "[%s]:%u", inet_ntop(AF_INET6, address, text, sizeof text), port);
	return buf;
}

/* ---- parsing ---- */

static bool number(const char *text, size_t len, unsigned max, unsigned *out)
{
	unsigned value = 0;

	if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*out = value;
	return value <= max;
}

/* PORT or PORT-PORT; NULL: every port. */
static bool parse_ports(const char *text, NetRule *out)
{
	unsigned low = 0, high = 65535;

	if (text) {
		const char *dash = strchr(text, '-');
		size_t len = dash ? (size_t)(dash - text) : strlen(text);
		if (!number(text, len, 65535, &low) || !(dash ? number(dash + 1, strlen(dash + 1), 65535, &high) : (high = low, true)) || low == 0 || low > high)
			return false;
	}
	out->low = (uint16_t)low;
	out->high = (uint16_t)high;
	return true;
}

struct in6_addr net_mapped(const void *v4)
{
	struct in6_addr a = {0};

	a.s6_addr[10] = a.s6_addr[11] = 0xff;
	memcpy(a.s6_addr + 12, v4, 4);
	return a;
}

/* ADDRESS or ADDRESS/BITS; a block has no bits set behind its length. False: it is none. */
static bool parse_block(char *text, NetRule *out)
{
	char *slash = strchr(text, '/');
	struct in6_addr whole = {0};
	unsigned bits = 0, width = 128;

	if (slash)
		*slash = 0;
	bool v4 = inet_pton(AF_INET, text, whole.s6_addr + 12) == 1;
	bool good = v4 || inet_pton(AF_INET6, text, &whole) == 1;
	if (slash)
		*slash = '/';
	if (v4) {
		whole = net_mapped(whole.s6_addr + 12);
		width = 32;
	}
	if (!good || (slash && !number(slash + 1, strlen(slash + 1), width, &bits)))
		return false;
	out->kind = NET_RULE_BLOCK;
	out->prefix = 128 - width + (slash ? bits : width);
	out->block = whole;
	for (unsigned bit = out->prefix; bit < 128; bit++)
		out->block.s6_addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return memcmp(&out->block, &whole, sizeof whole) == 0;
}

/* Letters, digits, "-" and "_" between single dots: what a host name can be, in its ASCII form. */
static bool is_name(const char *text)
{
	size_t len = strlen(text), label = 0;

	if (len == 0 || len > NAME_MAX_DNS)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c == '.' && label == 0)
			return false;
		if (*c != '.' && !isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0 && strspn(text, "0123456789./:") != len; /* that was meant to be an address */
}

static int parse_name(char *text, NetRule *out)
{
	size_t len = strlen(text);

	out->kind = strncmp(text, "*.", 2) == 0 ? NET_RULE_BELOW : NET_RULE_NAME;
	text += out->kind == NET_RULE_BELOW ? 2 : 0;
	len = strlen(text);
	if (len && text[len - 1] == '.')
		text[len - 1] = 0;
	if (!is_name(text))
		return -EINVAL;
	out->name = strdup(text);
	for (char *c = out->name; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return out->name ? 0 : -ENOMEM;
}

/* Cuts the ports off: an IPv6 address has colons of its own, and so stands in brackets before them. */
static const char *split_ports(char **host)
{
	char *at = *host, *end = NULL, *colon;

	if (at[0] == '[' && (end = strchr(at, ']'))) {
		*end = 0;
		*host = at + 1;
		return end[1] == ':' ? end + 2 : end[1] ? "" : NULL; /* "" is no port */
	}
	colon = strchr(at, ':');
	if (!colon || strchr(colon + 1, ':'))
		return NULL;
	*colon = 0;
	return colon + 1;
}

static int parse_unix(const char *path, NetRule *out, char **why)
{
	if (path[0] != '/')
		return bv_fail(why, -EINVAL, "the path of a unix socket begins with /");
	*out = (NetRule){.kind = NET_RULE_UNIX, .name = strdup(path)};
	return out->name ? 0 : -ENOMEM;
}

int net_rule_parse(const char *text, NetRule *out, char **why)
{
	CLEAN_FREE char *copy = strdup(text);
	char *host = copy;
	NetRule rule = {0};

	if (!copy)
		return -ENOMEM;
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, why);
	const char *ports = split_ports(&host);
	if (!parse_ports(ports, &rule))
		return bv_fail(why, -EINVAL, "'%s' is no port: a number from 1 to 65535, or two of them, as 8000-8010", ports);
	int r = 0;
	if (host[0] == 0 && ports)
		rule.kind = NET_RULE_BLOCK; /* of every address */
	else if (!parse_block(host, &rule))
		r = parse_name(host, &rule);
	if (r == -EINVAL)
		return bv_fail(why, r, "'%s' is no name, address or block of addresses (NAME, *.NAME, 192.0.2.1, 10.0.0.0/8, [2001:db8::1], each perhaps with :PORT; :PORT; unix:PATH)", host);
	if (r == 0)
		*out = rule;
	return r;
}

/* ---- matching ---- */

bool net_rule_has_address(const NetRule *rule, const struct in6_addr *address, uint16_t port)
{
	return rule->kind == NET_RULE_BLOCK && port >= rule->low && port <= rule->high && has_prefix(address, &rule->block, rule->prefix);
}

bool net_rule_has_name(const NetRule *rule, const char *name)
{
	size_t len = strlen(name), own = rule->name ? strlen(rule->name) : 0;

	if (len && name[len - 1] == '.')
		len--;
	if (rule->kind == NET_RULE_NAME)
		return len == own && strncasecmp(name, rule->name, len) == 0;
	return rule->kind == NET_RULE_BELOW && len > own + 1 && name[len - own - 1] == '.' && strncasecmp(name + len - own, rule->name, own) == 0;
}
