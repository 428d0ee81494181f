/* net_option.c - kinds of sockets, options and control messages in a closed network. Closed is what leads packets another way than their address says, what brings packets that were not
 * asked for, and what reaches into the host's own handling of packets; also where the kernel asks for a capability that guests do not have.
 * Source: include/uapi/linux/in.h, in6.h, tcp.h, udp.h and asm-generic/socket.h of Linux 6.16; what a newer one adds is not there for guests until somebody has looked at it.
 *
 * Looked at and left open, among others: filters of what a socket receives (SO_ATTACH_FILTER, SO_ATTACH_BPF) and which of the sandbox's own sockets gets it (SO_ATTACH_REUSEPORT_*),
 * SO_DONTROUTE (it sends less far), IP_PKTINFO and IPV6_RECVPKTINFO (to receive), IP_BIND_ADDRESS_NO_PORT (no port but those that are free). */
#include "supervisor/net_internal.h"

#include <linux/udp.h>
#include <netinet/tcp.h>

#define IPV6_2292PKTINFO 2
#define IPV6_2292HOPOPTS 3
#define IPV6_2292DSTOPTS 4
#define IPV6_2292RTHDR 5
#define IPV6_2292PKTOPTIONS 6
#define IPV6_FLOWLABEL_MGR 32
#define IP_LOCAL_PORT_RANGE 51
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

enum { OPTION = 1, CONTROL = 2, BOTH = 3 };

typedef struct Closed {
	int level, name;
	unsigned as;
	const char *why;
} Closed;

static const char route[] = "a route of its own", device[] = "another device than the host's routes say", group[] = "what others send to a group", host_only[] = "the host's handling of packets",
		  foreign[] = "addresses that this machine does not have", header[] = "headers by which a packet goes or answers elsewhere";

static const Closed closed[] = {
	{SOL_SOCKET, SO_BINDTODEVICE, BOTH, device}, {SOL_SOCKET, SO_BINDTOIFINDEX, BOTH, device}, {SOL_SOCKET, SO_MARK, BOTH, route},
	{IPPROTO_IP, IP_OPTIONS, BOTH, route}, {IPPROTO_IP, IP_RETOPTS, BOTH, route}, {IPPROTO_IP, IP_UNICAST_IF, BOTH, device}, {IPPROTO_IP, IP_MULTICAST_IF, BOTH, device},
	{IPPROTO_IP, IP_LOCAL_PORT_RANGE, BOTH, "the very port at which a program of the host is about to serve"},
	{IPPROTO_IP, IP_FREEBIND, BOTH, foreign}, {IPPROTO_IP, IP_TRANSPARENT, BOTH, foreign}, {IPPROTO_IP, IP_IPSEC_POLICY, BOTH, host_only}, {IPPROTO_IP, IP_XFRM_POLICY, BOTH, host_only},
	{IPPROTO_IP, IP_ADD_MEMBERSHIP, BOTH, group}, {IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, BOTH, group}, {IPPROTO_IP, IP_MSFILTER, BOTH, group}, {IPPROTO_IP, MCAST_JOIN_GROUP, BOTH, group},
	{IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, BOTH, group}, {IPPROTO_IP, MCAST_MSFILTER, BOTH, group},
	{IPPROTO_IPV6, IPV6_ADDRFORM, OPTION, "a socket that is of another family than it was when its address was checked"},
	{IPPROTO_IPV6, IPV6_2292HOPOPTS, CONTROL, header}, {IPPROTO_IPV6, IPV6_2292DSTOPTS, CONTROL, header}, {IPPROTO_IPV6, IPV6_2292RTHDR, BOTH, route},
	{IPPROTO_IPV6, IPV6_2292PKTOPTIONS, BOTH, header}, {IPPROTO_IPV6, IPV6_NEXTHOP, BOTH, route}, {IPPROTO_IPV6, IPV6_AUTHHDR, BOTH, header},
	{IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, BOTH, "a route within the description of a flow"}, {IPPROTO_IPV6, IPV6_IPSEC_POLICY, BOTH, host_only}, {IPPROTO_IPV6, IPV6_XFRM_POLICY, BOTH, host_only},
	{IPPROTO_IPV6, IPV6_PKTINFO, OPTION, device}, {IPPROTO_IPV6, IPV6_HOPOPTS, BOTH, header}, {IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, BOTH, header}, {IPPROTO_IPV6, IPV6_RTHDR, BOTH, route},
	{IPPROTO_IPV6, IPV6_DSTOPTS, BOTH, header}, {IPPROTO_IPV6, IPV6_UNICAST_IF, BOTH, device}, {IPPROTO_IPV6, IPV6_MULTICAST_IF, BOTH, device}, {IPPROTO_IPV6, IPV6_TRANSPARENT, BOTH, foreign},
	{IPPROTO_IPV6, IPV6_FREEBIND, BOTH, foreign}, {IPPROTO_IPV6, IPV6_JOIN_GROUP, BOTH, group}, {IPPROTO_IPV6, IPV6_JOIN_ANYCAST, BOTH, group}, {IPPROTO_IPV6, MCAST_JOIN_GROUP, BOTH, group},
	{IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, BOTH, group}, {IPPROTO_IPV6, MCAST_MSFILTER, BOTH, group},
	{IPPROTO_TCP, TCP_REPAIR, BOTH, "a connection that was never made to an address which was checked"},
	{IPPROTO_UDP, UDP_ENCAP, BOTH, host_only},
};

typedef struct Known {
	int level, newest;
} Known;

static const Known known[] = {{SOL_SOCKET, 84}, {IPPROTO_IP, 52}, {IPPROTO_IPV6, 78}, {IPPROTO_TCP, 45}, {IPPROTO_UDP, 104}};

static int check(int level, int name, unsigned as)
{
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		if (closed[i].level == level && closed[i].name == name && (closed[i].as & as))
			return -EPERM;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].level == level && name > known[i].newest)
			return -ENOPROTOOPT;
	return 0;
}

int net_check_socket(int family, int type, int protocol)
{
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (type != SOCK_STREAM && type != SOCK_DGRAM) /* SCTP, DCCP where the kernel has them */
		return -ESOCKTNOSUPPORT;
	switch (protocol) {
	case 0:
	case IPPROTO_TCP: return 0;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return type == SOCK_DGRAM ? 0 : -EPROTONOSUPPORT;
	default: return -EPROTONOSUPPORT;
	}
}

int net_check_option(int level, int name)
{
	return check(level, name, OPTION);
}

/* Who answers says from which of its addresses: one of its own. Through which device it goes is the matter of the host's routes. */
static void neutralize(const Net *net, struct in6_addr *source, unsigned *device_number)
{
	*device_number = 0;
	if (net_is_loopback(source) && !IN6_ARE_ADDR_EQUAL(source, &net->here[HERE_V4]) && !IN6_ARE_ADDR_EQUAL(source, &net->here[HERE_V6]))
		*source = in6addr_any;
}

int net_check_control(const Net *net, struct cmsghdr *c)
{
	struct in6_pktinfo v6 = {0};
	struct in_pktinfo v4 = {0};
	int r = check(c->cmsg_level, c->cmsg_type, CONTROL);

	if (r < 0)
		return r;
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof v4)) {
		memcpy(&v4, CMSG_DATA(c), sizeof v4);
		v6.ipi6_addr = net_mapped(&v4.ipi_spec_dst);
		neutralize(net, &v6.ipi6_addr, &v6.ipi6_ifindex);
		memcpy(&v4.ipi_spec_dst, v6.ipi6_addr.s6_addr + 12, sizeof v4.ipi_spec_dst);
		v4.ipi_ifindex = 0;
		memcpy(CMSG_DATA(c), &v4, sizeof v4);
	}
	if (c->cmsg_level == IPPROTO_IPV6 && (c->cmsg_type == IPV6_PKTINFO || c->cmsg_type == IPV6_2292PKTINFO) && c->cmsg_len >= CMSG_LEN(sizeof v6)) {
		memcpy(&v6, CMSG_DATA(c), sizeof v6);
		neutralize(net, &v6.ipi6_addr, &v6.ipi6_ifindex);
		memcpy(CMSG_DATA(c), &v6, sizeof v6);
	}
	return 0;
}
