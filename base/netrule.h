/* base/netrule.h - a rule of what guests may reach, as a user writes it, and kinds of addresses.
 *
 *	example.org        that name, any port          10.0.0.0/8:5432      a block of addresses (CIDR), one port
 *	*.example.org:443  every name below it          [fd00::1]:8000-8010  an address, several ports
 *	:53                every address, one port      unix:/run/x.sock     a unix socket of the host
 *
 * Addresses are always IPv6 here; those of IPv4 are ::ffff:a.b.c.d. */
#ifndef BASE_NETRULE_H
#define BASE_NETRULE_H

#include "base/util.h"

#include <netinet/in.h>

typedef enum NetRuleKind { NET_RULE_BLOCK, NET_RULE_NAME, NET_RULE_BELOW, NET_RULE_UNIX } NetRuleKind;

typedef struct NetRule {
	NetRuleKind kind;
	struct in6_addr block; /* NET_RULE_BLOCK, the first `prefix` bits of it; every address is prefix 0 */
	unsigned prefix;
	char *name;	    /* NAME, BELOW: lower case, without a final dot or "*."; UNIX: the path */
	uint16_t low, high; /* ports; of every port 0 and 65535 */
} NetRule;

/* -EINVAL: *why says what is wrong with it, for people; -ENOMEM. */
int net_rule_parse(const char *text, NetRule *out, char **why) MUST_CHECK;
void net_rule_release(NetRule *rule);
bool net_rule_has_address(const NetRule *rule, const struct in6_addr *address, uint16_t port);
/* `name` in any case, a final dot or not. */
bool net_rule_has_name(const NetRule *rule, const char *name);

/* What an address that is not one of the internet is ("a loopback address", "a private address", ...); NULL: it is public. Those that carry an IPv4 address
 * (mapped, NAT64, 6to4) are judged by that. Source: the special-purpose address registries of IANA (RFC 6890), and metadata services of clouds. */
const char *net_special(const struct in6_addr *address);
struct in6_addr net_mapped(const void *v4); /* of the four bytes of an IPv4 address, however aligned */
bool net_is_loopback(const struct in6_addr *address); /* also the unspecified one, by which connect(2) means it */

#define NET_TEXT_MAX 64
/* "1.2.3.4:80", "[::1]:80". Returns buf. */
const char *net_text(const struct in6_addr *address, uint16_t port, char buf[NET_TEXT_MAX]);

#endif
