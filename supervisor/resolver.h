/* supervisor/resolver.h - names asked of the host's name servers, by c-ares, which is loaded with the first use.
 *
 * One thread uses a Resolver: it asks, polls what resolver_poll() names, and gets the answers within resolver_serve() (or at once, within resolver_ask()). */
#ifndef SUPERVISOR_RESOLVER_H
#define SUPERVISOR_RESOLVER_H

#include "base/util.h"

#include <netinet/in.h>
#include <poll.h>

typedef struct Resolver Resolver;

#define RESOLVER_ADDRESSES 64 /* of one name that are looked at */
#define RESOLVER_FDS 16

typedef struct ResolvedAddress {
	struct in6_addr address; /* of IPv4 mapped */
	uint32_t ttl;		 /* seconds */
} ResolvedAddress;

typedef struct ResolverAnswer {
	int result; /* 0; -ENOENT: there is no such name; -ENODATA: it has nothing of that type; -EAGAIN: the servers did not say */
	ResolvedAddress addresses[RESOLVER_ADDRESSES]; /* of the types A and AAAA */
	size_t n;
	const uint8_t *message; /* of other types: what the server answered */
	size_t len;
} ResolverAnswer;
typedef void ResolverDone(void *ctx, ResolverAnswer *answer);

/* `servers`: "ADDRESS[:PORT],..." ("[V6]:PORT"); NULL: those of the host's resolv.conf. -ENOSYS (no c-ares), -EINVAL, -ENOMEM. */
int resolver_new(const char *servers, Resolver **out, char **why) MUST_CHECK;
void resolver_free(Resolver *r); /* questions that are open are answered -EAGAIN */
/* `type` as in a DNS message, class IN. A and AAAA also out of the host's hosts file. `done` is called once. */
void resolver_ask(Resolver *r, const char *name, int type, ResolverDone *done, void *ctx);
/* Fills in at most RESOLVER_FDS; *timeout_ms is made shorter where needed. Returns how many. */
size_t resolver_poll(Resolver *r, struct pollfd *p, int *timeout_ms);
void resolver_serve(Resolver *r, const struct pollfd *p, size_t n);

#endif
