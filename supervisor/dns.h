/* supervisor/dns.h - the name server that guests ask: whatever they send to port 53 of an address which they may not reach goes to it.
 *
 * It listens on the loopback, UDP and TCP, in a thread of its own, which begins with the first question. What a name leads to is asked of the host's name servers (resolver.h); who may know it, and which of its
 * addresses, say the callbacks. Sources: RFC 1035, RFC 7766 (TCP). */
#ifndef SUPERVISOR_DNS_H
#define SUPERVISOR_DNS_H

#include "supervisor/resolver.h"

typedef struct Dns Dns;

typedef struct DnsPolicy {
	void *ctx;
	bool (*may_know)(void *ctx, const char *name); /* without a final dot */
	/* Which of the addresses may be told: those that may not are taken out of the list, the others are noted. */
	size_t (*filter)(void *ctx, const char *name, ResolvedAddress *addresses, size_t n);
} DnsPolicy;

/* `servers` as for resolver_new. -ENOSYS, -EINVAL, and the errnos of socket(2), bind(2), pthread_create(3). */
int dns_start(const DnsPolicy *policy, const char *servers, Dns **out, char **why) MUST_CHECK;
void dns_stop(Dns *dns);
/* Where it answers: SOCK_STREAM or SOCK_DGRAM, AF_INET or AF_INET6 (-EAFNOSUPPORT where the machine has none). */
int dns_address(const Dns *dns, int family, int type, struct sockaddr_in6 *out) MUST_CHECK;

#endif
