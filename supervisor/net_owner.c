#include "supervisor/net_owner.h"

#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
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

typedef union Answer {
	struct nlmsghdr head;
	char room[8192];
} Answer;

/* The first message of the answer, as much as there is in *n: a socket, or the end of a list (NLMSG_DONE). */
static int exchange(const Request *q, Answer *answer, ssize_t *n)
{
	CLEAN_FD int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0 || send(fd, q, sizeof *q, 0) != sizeof *q)
		return bv_neg_errno();
	*n = recv(fd, answer, sizeof *answer, 0);
	if (*n < (ssize_t)sizeof answer->head)
		return *n < 0 ? bv_neg_errno() : -EPROTO;
	if (answer->head.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(&answer->head);
		return e->error < 0 ? e->error : -EPROTO;
	}
	return 0;
}

static int ask_diag(int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out)
{
	Request q = make_request(protocol, from, to);
	Answer answer;
	ssize_t n;
	int r = exchange(&q, &answer, &n);

	if (r < 0)
		return r;
	if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -EPROTO;
	const struct inet_diag_msg *found = NLMSG_DATA(&answer.head);
	*out = (SocketOwner){.cookie = found->id.idiag_cookie[0] | (uint64_t)found->id.idiag_cookie[1] << 32, .ino = found->idiag_inode, .family = found->idiag_family};
	return 0;
}

int net_port_has_peers(int protocol, in_port_t port)
{
	Request q = {.head = {.nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     .body = {.sdiag_protocol = (uint8_t)protocol, .idiag_states = ~0U, .id.idiag_dport = port}};
	bool found = false;

	for (int v6 = 0; v6 < 2 && !found; v6++) {
		Answer answer;
		ssize_t n;
		q.body.sdiag_family = v6 ? AF_INET6 : AF_INET;
		int r = exchange(&q, &answer, &n);
		if (r < 0)
			return v6 && r == -ENOENT ? 0 : r; /* a kernel without IPv6 */
		found = answer.head.nlmsg_type != NLMSG_DONE;
	}
	return found;
}

bool net_has_diag(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	socklen_t len = sizeof at;
	SocketOwner owner;

	for (int udp = 0; udp < 2; udp++) {
		CLEAN_FD int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
		at.sin_port = 0;
		if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || (!udp && listen(fd, 1) < 0) || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
			return false;
		to.sin6_port = at.sin_port;
		if (ask_diag(udp ? IPPROTO_UDP : IPPROTO_TCP, &to, &to, &owner) < 0)
			return false;
	}
	return true;
}

/* ---- without it ---- */

bool net_parse_end(const char *text, struct sockaddr_in6 *out)
{
	size_t digits = strspn(text, "0123456789ABCDEF");
	uint32_t words[4] = {0, 0, htonl(0xffff), 0}; /* as this machine has them in memory */
	unsigned port;

	if ((digits != 8 && digits != 32) || sscanf(text + digits, ":%4X", &port) != 1)
		return false;
	for (size_t i = 0; i < digits / 8; i++)
		if (sscanf(text + i * 8, "%8X", &words[digits == 8 ? 3 : i]) != 1)
			return false;
	*out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	memcpy(&out->sin6_addr, words, sizeof words);
	return true;
}

static bool same_end(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	return a->sin6_port == b->sin6_port && IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr);
}

typedef struct Row {
	struct sockaddr_in6 own, peer;
	unsigned state;
	uint64_t ino;
	int family;
} Row;

static bool parse_row(const char *text, Row *out)
{
	char ends[2][48];

	return sscanf(text, " %*u: %47s %47s %X %*s %*s %*s %*u %*u %" SCNu64, ends[0], ends[1], &out->state, &out->ino) == 4 && net_parse_end(ends[0], &out->own) && net_parse_end(ends[1], &out->peer);
}

static int each_row_of(const char *name, void (*visit)(void *ctx, const Row *row), void *ctx)
{
	char path[32], text[512];
	Row row = {.family = strchr(name, '6') ? AF_INET6 : AF_INET};

	snprintf(path, sizeof path, "/proc/net/%s", name);
	FILE *table = fopen(path, "re");
	if (!table)
		return errno == ENOENT ? 0 : bv_neg_errno(); /* tcp6 of a kernel without IPv6 */
	while (fgets(text, sizeof text, table))
		if (parse_row(text, &row))
			visit(ctx, &row);
	fclose(table);
	return 0;
}

static int each_row(int protocol, void (*visit)(void *ctx, const Row *row), void *ctx)
{
	bool udp = protocol == IPPROTO_UDP;
	int r = each_row_of(udp ? "udp" : "tcp", visit, ctx);

	return r < 0 ? r : each_row_of(udp ? "udp6" : "tcp6", visit, ctx);
}

typedef struct Fit {
	int protocol, best;
	const struct sockaddr_in6 *from, *to;
	SocketOwner *out;
} Fit;

/* How well the row's socket fits, as the kernel weighs it: 0, not at all. */
static int fit(const Fit *f, const Row *row)
{
	static const uint8_t any_v4[16] = {[10] = 0xff, 0xff};

	if (row->own.sin6_port != f->to->sin6_port || (f->protocol == IPPROTO_TCP && row->state != TCP_LISTEN))
		return 0;
	bool connected = row->peer.sin6_port != 0;
	if (connected && !same_end(&row->peer, f->from))
		return 0;
	if (IN6_ARE_ADDR_EQUAL(&row->own.sin6_addr, &f->to->sin6_addr))
		return connected ? 4 : 3;
	return memcmp(&row->own.sin6_addr, any_v4, sizeof any_v4) == 0 && IN6_IS_ADDR_V4MAPPED(&f->to->sin6_addr) ? 2 : IN6_IS_ADDR_UNSPECIFIED(&row->own.sin6_addr) ? 1 : 0;
}

static void keep_fittest(void *ctx, const Row *row)
{
	Fit *f = ctx;
	int found = fit(f, row);

	if (found > f->best) {
		f->best = found;
		*f->out = (SocketOwner){.ino = row->ino, .family = row->family};
	}
}

static int ask_tables(int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out)
{
	Fit f = {.protocol = protocol, .from = from, .to = to, .out = out};
	int r = each_row(protocol, keep_fittest, &f);

	return r == 0 && !f.best ? -ENOENT : r;
}

typedef struct Peers {
	void (*visit)(void *ctx, unsigned state, const struct sockaddr_in6 *peer);
	void *ctx;
} Peers;

static void visit_peer(void *ctx, const Row *row)
{
	const Peers *p = ctx;

	if (row->peer.sin6_port)
		p->visit(p->ctx, row->state, &row->peer);
}

int net_each_peer(int protocol, void (*visit)(void *ctx, unsigned state, const struct sockaddr_in6 *peer), void *ctx)
{
	Peers p = {visit, ctx};

	return each_row(protocol, visit_peer, &p);
}

int net_owner(bool diag, int protocol, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to, SocketOwner *out)
{
	return diag ? ask_diag(protocol, from, to, out) : ask_tables(protocol, from, to, out);
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
