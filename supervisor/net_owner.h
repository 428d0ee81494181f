/* supervisor/net_owner.h - which socket of this machine answers at an address: sock_diag(7), or the tables in /proc/net (proc_net_tcp) of a kernel without it. */
#ifndef SUPERVISOR_NET_OWNER_H
#define SUPERVISOR_NET_OWNER_H

#include "base/util.h"

#include <netinet/in.h>

typedef struct SocketOwner {
	uint64_t cookie; /* SO_COOKIE; 0: only the inode number is known */
	uint64_t ino;
	int family; /* AF_INET6 also for one of IPv6 that takes IPv4 */
} SocketOwner;

/* Does the kernel answer such questions? In some, diagnosis of TCP and UDP are modules that may be missing, which looks like an address without a socket. */
bool net_has_diag(void);
/* The socket that would get a packet of `protocol` (IPPROTO_TCP, IPPROTO_UDP) from `from` to `to`, an address of this machine. `diag`: by sock_diag; otherwise by the tables, where time
 * grows with the sockets of the machine. -ENOENT: nobody; or another errno: the kernel does not say. */
int net_owner(bool diag, int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out) MUST_CHECK;
/* Calls visit for every socket of this machine that has a peer, by /proc/net; `state` is TCP's. Negative errno. The table of UDP is read in pieces, and each begins so many rows from its begin:
 * where sockets that stand before it go meanwhile, others are passed over. */
int net_each_peer(int protocol, void (*visit)(void *ctx, unsigned state, const struct sockaddr_in6 *peer), void *ctx) MUST_CHECK;
/* Has any socket of this machine a peer with this port? By sock_diag, in one look, so nobody is passed over. 1, 0, or a negative errno. */
int net_port_has_peers(int protocol, in_port_t port) MUST_CHECK;
/* One end of a row of these tables: "0100007F:1F90", or 32 digits. */
bool net_parse_end(const char *text, struct sockaddr_in6 *out);
/* Is it an address of this machine? */
bool net_is_local(const struct in6_addr *address);

#endif
