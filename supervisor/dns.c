/* dns.c - see dns.h. */
#include "supervisor/dns.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define HEADER 12
#define QUERY_MAX 512 /* of a guest; more than a name and EDNS take is no query */
#define ANSWER_MAX 65535
#define UDP_MAX 1232 /* with EDNS (what name servers agreed on in 2020); 512 without */
#define CLIENTS 64
#define OPEN_MAX 512 /* questions at a time */

enum { UDP4, UDP6, TCP4, TCP6, SOCKETS };

typedef struct Client {
	int fd; /* -1: free */
	unsigned generation;
	uint8_t buf[2 + QUERY_MAX];
	size_t len;
} Client;

struct Dns {
	DnsPolicy policy;
	Resolver *resolver;
	pthread_t thread;
	int stop, sockets[SOCKETS]; /* -1: not here */
	struct sockaddr_in6 addresses[SOCKETS];
	Client clients[CLIENTS];
	size_t open;
};

typedef struct Asked {
	Dns *dns;
	int socket; /* of UDP, or -1 */
	struct sockaddr_in6 from;
	socklen_t from_len;
	unsigned client, generation; /* of TCP */
	uint8_t id[2], flags;
	bool edns;
	uint16_t type;
	char name[NS_MAXDNAME];
	uint8_t question[NS_MAXCDNAME + 4];
	size_t n_question;
} Asked;

/* ---- answers ---- */

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

static void send_tcp(const Asked *a, uint8_t *message, size_t len)
{
	Client *c = &a->dns->clients[a->client];
	uint8_t head[2];
	struct iovec iov[2] = {{head, sizeof head}, {message, len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (c->fd < 0 || c->generation != a->generation)
		return; /* it has gone */
	put16(head, (unsigned)len);
	if (sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(len + 2))
		bv_close_fd(&c->fd); /* it does not read */
}

/* What does not fit into a datagram is cut to the question, which says: ask by TCP. */
static void reply(const Asked *a, uint8_t *message, size_t len)
{
	size_t most = a->edns ? UDP_MAX : NS_PACKETSZ;

	memcpy(message, a->id, sizeof a->id);
	if (a->socket < 0) {
		send_tcp(a, message, len);
		return;
	}
	if (len > most) {
		message[2] |= 0x02; /* TC */
		memset(message + 6, 0, 6);
		memcpy(message + HEADER, a->question, a->n_question);
		len = HEADER + a->n_question;
	}
	IGNORE_RESULT(sendto(a->socket, message, len, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&a->from, a->from_len)); /* lost: it is asked again */
}

static size_t begin_answer(const Asked *a, uint8_t *out, unsigned rcode)
{
	memset(out, 0, HEADER);
	out[2] = (uint8_t)(0x80 | (a->flags & 0x01)); /* QR, RD as asked */
	out[3] = (uint8_t)(0x80 | rcode);	      /* RA */
	put16(out + 4, 1);
	memcpy(out + HEADER, a->question, a->n_question);
	return HEADER + a->n_question;
}

static void answer_code(const Asked *a, unsigned rcode)
{
	uint8_t out[HEADER + sizeof a->question];

	reply(a, out, begin_answer(a, out, rcode));
}

/* Each with the name that was asked for: aliases in between say nothing to who only wants to connect. */
static void answer_addresses(const Asked *a, const ResolvedAddress *list, size_t n)
{
	uint8_t out[HEADER + sizeof a->question + RESOLVER_ADDRESSES * (12 + 16)];
	size_t len = begin_answer(a, out, ns_r_noerror), width = a->type == ns_t_a ? 4 : 16, count = 0;

	for (size_t i = 0; i < n; i++) {
		if ((a->type == ns_t_a) != IN6_IS_ADDR_V4MAPPED(&list[i].address))
			continue;
		put16(out + len, 0xc000 | HEADER); /* the name in the question */
		put16(out + len + 2, a->type);
		put16(out + len + 4, ns_c_in);
		put32(out + len + 6, list[i].ttl);
		put16(out + len + 10, (unsigned)width);
		memcpy(out + len + 12, list[i].address.s6_addr + 16 - width, width);
		len += 12 + width;
		count++;
	}
	put16(out + 6, (unsigned)count);
	reply(a, out, len);
}

static void on_answer(void *ctx, ResolverAnswer *answer)
{
	CLEAN_FREE Asked *a = ctx;
	CLEAN_FREE uint8_t *message = NULL;

	a->dns->open--;
	if (a->type == ns_t_a || a->type == ns_t_aaaa) {
		size_t n = answer->result == 0 ? a->dns->policy.filter(a->dns->policy.ctx, a->name, answer->addresses, answer->n) : 0;
		if (answer->result == 0 || answer->result == -ENODATA)
			answer_addresses(a, answer->addresses, n);
		else
			answer_code(a, answer->result == -ENOENT ? ns_r_nxdomain : ns_r_servfail);
	} else if (answer->len >= HEADER && answer->len <= ANSWER_MAX && (message = malloc(answer->len))) {
		memcpy(message, answer->message, answer->len);
		reply(a, message, answer->len);
	} else {
		answer_code(a, answer->result == -ENODATA ? ns_r_noerror : answer->result == -ENOENT ? ns_r_nxdomain : ns_r_servfail);
	}
}

/* ---- questions ---- */

/* The name in the question as text. Names of a question are not compressed. False: no host has such a name. */
static bool read_name(const uint8_t *query, size_t len, size_t *at, char *name)
{
	size_t n = 0;

	for (;;) {
		if (*at >= len)
			return false;
		size_t label = query[(*at)++];
		if (label == 0)
			break;
		if (label > 63 || *at + label > len || n + label + 2 > NS_MAXDNAME / 4)
			return false;
		if (n)
			name[n++] = '.';
		for (size_t i = 0; i < label; i++) {
			unsigned char c = query[(*at)++];
			if (!isalnum(c) && c != '-' && c != '_')
				return false;
			name[n++] = (char)c;
		}
	}
	name[n] = 0;
	return true;
}

/* False: it is no question, and gets no answer. *rcode: what it is answered with, unless it has to be asked. */
static bool read_query(const uint8_t *query, size_t len, Asked *a, unsigned *rcode)
{
	size_t at = HEADER;

	if (len < HEADER || query[2] & 0x80)
		return false;
	memcpy(a->id, query, sizeof a->id);
	a->flags = query[2];
	a->edns = query[10] || query[11];
	*rcode = ns_r_formerr;
	if (query[4] != 0 || query[5] != 1)
		return true;
	*rcode = ns_r_nxdomain;
	if (query[2] & 0x78 || !read_name(query, len, &at, a->name) || at + 4 > len)
		return true;
	a->n_question = at + 4 - HEADER;
	memcpy(a->question, query + HEADER, a->n_question);
	a->type = (uint16_t)(query[at] << 8 | query[at + 1]);
	*rcode = query[at + 2] == 0 && query[at + 3] == ns_c_in && a->type != ns_t_axfr && a->type != ns_t_ixfr && a->type != ns_t_any ? ns_r_noerror : ns_r_notimpl;
	return true;
}

static void take_query(Dns *dns, const uint8_t *query, size_t len, Asked *from)
{
	CLEAN_FREE Asked *a = malloc(sizeof *a);
	unsigned rcode;

	if (!a)
		return;
	*a = *from;
	if (!read_query(query, len, a, &rcode))
		return;
	if (rcode == ns_r_noerror && !(a->name[0] && dns->policy.may_know(dns->policy.ctx, a->name)))
		rcode = ns_r_nxdomain;
	if (rcode == ns_r_noerror && dns->open >= OPEN_MAX)
		rcode = ns_r_servfail;
	if (rcode != ns_r_noerror) {
		answer_code(a, rcode);
		return;
	}
	dns->open++;
	Asked *asked = TAKE_PTR(a);
	resolver_ask(dns->resolver, asked->name, asked->type, on_answer, asked);
}

static void on_datagram(Dns *dns, int i)
{
	uint8_t query[QUERY_MAX];
	Asked from = {.dns = dns, .socket = dns->sockets[i], .from_len = sizeof from.from};
	ssize_t n = recvfrom(dns->sockets[i], query, sizeof query, MSG_DONTWAIT, (struct sockaddr *)&from.from, &from.from_len);

	if (n > 0)
		take_query(dns, query, (size_t)n, &from);
}

static void on_connection(Dns *dns, int i)
{
	CLEAN_FD int fd = accept4(dns->sockets[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t k = 0; fd >= 0 && k < CLIENTS; k++) {
		Client *c = &dns->clients[k];
		if (c->fd < 0) {
			*c = (Client){.fd = TAKE_FD(fd), .generation = c->generation + 1};
			return;
		}
	}
}

static void on_client(Dns *dns, size_t i)
{
	Client *c = &dns->clients[i];
	ssize_t n = read(c->fd, c->buf + c->len, sizeof c->buf - c->len);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			bv_close_fd(&c->fd);
		return;
	}
	c->len += (size_t)n;
	while (c->fd >= 0 && c->len >= 2) {
		size_t want = (size_t)(c->buf[0] << 8 | c->buf[1]);
		Asked from = {.dns = dns, .socket = -1, .client = (unsigned)i, .generation = c->generation};
		if (want > QUERY_MAX) {
			bv_close_fd(&c->fd);
			return;
		}
		if (c->len < 2 + want)
			return;
		take_query(dns, c->buf + 2, want, &from);
		c->len -= 2 + want;
		memmove(c->buf, c->buf + 2 + want, c->len);
	}
}

/* ---- the thread ---- */

static size_t fill_poll(const Dns *dns, struct pollfd *p)
{
	size_t n = 0;

	p[n++] = (struct pollfd){.fd = dns->stop, .events = POLLIN};
	for (int i = 0; i < SOCKETS; i++)
		p[n++] = (struct pollfd){.fd = dns->sockets[i], .events = POLLIN};
	for (size_t i = 0; i < CLIENTS; i++)
		p[n++] = (struct pollfd){.fd = dns->clients[i].fd, .events = POLLIN};
	return n;
}

static void *run(void *ctx)
{
	Dns *dns = ctx;
	struct pollfd p[1 + SOCKETS + CLIENTS + RESOLVER_FDS];

	for (;;) {
		int timeout = -1;
		size_t own = fill_poll(dns, p), n = resolver_poll(dns->resolver, p + own, &timeout);
		if (poll(p, own + n, timeout) < 0)
			continue;
		if (p[0].revents)
			return NULL;
		for (int i = 0; i < SOCKETS; i++)
			if (p[1 + i].revents)
				i < TCP4 ? on_datagram(dns, i) : on_connection(dns, i);
		for (size_t i = 0; i < CLIENTS; i++)
			if (p[1 + SOCKETS + i].revents)
				on_client(dns, i);
		resolver_serve(dns->resolver, p + own, n);
	}
}

/* A machine may be without IPv6, or without IPv4. */
static int open_socket(Dns *dns, int i)
{
	int family = i == UDP4 || i == TCP4 ? AF_INET : AF_INET6, type = i < TCP4 ? SOCK_DGRAM : SOCK_STREAM;
	CLEAN_FD int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof a;

	if (family == AF_INET) {
		const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
		memcpy(&a, &v4, sizeof v4);
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || (type == SOCK_STREAM && listen(fd, CLIENTS) < 0) || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return bv_neg_errno();
	dns->addresses[i] = a;
	dns->sockets[i] = TAKE_FD(fd);
	return 0;
}

static void release(Dns *dns)
{
	resolver_free(dns->resolver); /* answers what is open */
	for (int i = 0; i < SOCKETS; i++)
		bv_close_fd(&dns->sockets[i]);
	for (size_t i = 0; i < CLIENTS; i++)
		bv_close_fd(&dns->clients[i].fd);
	bv_close_fd(&dns->stop);
	free(dns);
}

int dns_start(const DnsPolicy *policy, const char *servers, Dns **out, char **why)
{
	Dns *dns = calloc(1, sizeof *dns);
	int r = 0;

	if (!dns)
		return -ENOMEM;
	dns->policy = *policy;
	for (size_t i = 0; i < CLIENTS; i++)
		dns->clients[i].fd = -1;
	for (int i = 0; i < SOCKETS; i++)
		dns->sockets[i] = -1;
	dns->stop = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < SOCKETS && dns->stop >= 0; i++) {
		int one = open_socket(dns, i);
		r = one < 0 ? one : r;
	}
	if (dns->stop < 0 || (dns->sockets[UDP4] < 0 && dns->sockets[UDP6] < 0))
		r = r < 0 ? r : -EMFILE;
	else
		r = resolver_new(servers, &dns->resolver, why);
	if (r == 0)
		r = -pthread_create(&dns->thread, NULL, run, dns);
	if (r < 0) {
		release(dns);
		return r;
	}
	*out = dns;
	return 0;
}

void dns_stop(Dns *dns)
{
	if (!dns)
		return;
	IGNORE_RESULT(eventfd_write(dns->stop, 1));
	pthread_join(dns->thread, NULL);
	release(dns);
}

int dns_address(const Dns *dns, int family, int type, struct sockaddr_in6 *out)
{
	int i = type == SOCK_DGRAM ? (family == AF_INET ? UDP4 : UDP6) : (family == AF_INET ? TCP4 : TCP6);

	if (dns->sockets[i] < 0)
		return -EAFNOSUPPORT;
	*out = dns->addresses[i];
	return 0;
}
