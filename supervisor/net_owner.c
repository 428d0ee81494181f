#include "supervisor/net_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

typedef struct Request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
} Request;

static void put_address(const struct in6_addr *address, bool v4, uint32_t out[4])
{
	memcpy(out, v4 ? address->s6_addr + 12 : address->s6_addr, v4 ? 4 : 16);
}

/* Of UDP the kernel takes the two ends the other way round ("for historical reasons", net/ipv4/udp_diag.c). */
static Request make_request(int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(&to->sin6_addr), udp = protocol == IPPROTO_UDP;
	const struct sockaddr_in6 *src = udp ? from : to, *dst = udp ? to : from;
	Request q = {.head = {.nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
		     .body = {.sdiag_family = v4 ? AF_INET : AF_INET6, .sdiag_protocol = (uint8_t)protocol, .idiag_states = ~0U}};

	q.body.id.idiag_sport = src->sin6_port;
	q.body.id.idiag_dport = dst->sin6_port;
	put_address(&src->sin6_addr, v4, q.body.id.idiag_src);
	put_address(&dst->sin6_addr, v4, q.body.id.idiag_dst);
	q.body.id.idiag_cookie[0] = q.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return q;
}

int net_owner(int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out)
{
	CLEAN_FD int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	Request q = make_request(protocol, from, to);
	union {
		struct nlmsghdr head;
		char room[8192];
	} answer;

	if (fd < 0 || send(fd, &q, sizeof q, 0) != sizeof q)
		return bv_neg_errno();
	ssize_t n = recv(fd, &answer, sizeof answer, 0);
	if (n < (ssize_t)sizeof answer.head)
		return n < 0 ? bv_neg_errno() : -EPROTO;
	if (answer.head.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(&answer.head);
		return e->error < 0 ? e->error : -EPROTO;
	}
	if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -EPROTO;
	const struct inet_diag_msg *found = NLMSG_DATA(&answer.head);
	*out = (SocketOwner){.cookie = found->id.idiag_cookie[0] | (uint64_t)found->id.idiag_cookie[1] << 32, .family = found->idiag_family};
	return 0;
}

/* A packet to an address of this machine is sent from that address. No packet is sent here. */
bool net_is_local(const struct in6_addr *address)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(address);
	CLEAN_FD int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = *address}, own6;
	struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(9)}, own4;
	socklen_t len = v4 ? sizeof own4 : sizeof own6;

	memcpy(&to4.sin_addr, address->s6_addr + 12, sizeof to4.sin_addr);
	if (fd < 0 || connect(fd, v4 ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6, len) < 0 || getsockname(fd, v4 ? (struct sockaddr *)&own4 : (struct sockaddr *)&own6, &len) < 0)
		return false;
	return v4 ? own4.sin_addr.s_addr == to4.sin_addr.s_addr : IN6_ARE_ADDR_EQUAL(&own6.sin6_addr, address);
}
