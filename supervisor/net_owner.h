/* supervisor/net_owner.h - which socket of this machine answers at an address: sock_diag(7). */
#ifndef SUPERVISOR_NET_OWNER_H
#define SUPERVISOR_NET_OWNER_H

#include "base/util.h"

#include <netinet/in.h>

typedef struct SocketOwner {
	uint64_t cookie;
	int family; /* AF_INET6 also for one of IPv6 that takes IPv4 */
} SocketOwner;

/* The socket that would get a packet of `protocol` (IPPROTO_TCP, IPPROTO_UDP) from `from` to `to`, an address of this machine. -ENOENT: nobody; -ENOSYS and others: the kernel does not say. */
int net_owner(int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out) MUST_CHECK;
/* Is it an address of this machine? */
bool net_is_local(const struct in6_addr *address);

#endif
