#include "supervisor/resolver.h"

#include "base/netrule.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define CARES_SONAME "libcares.so.2"
#define TIMEOUT_MS 3000
#define TRIES 2
#define EDNS_SIZE 1232 /* bytes of a datagram: what name servers agreed on in 2020 */

#define CARES_SYMBOLS(X) \
	X(ares_library_init) X(ares_init_options) X(ares_destroy) X(ares_set_servers_ports_csv) X(ares_getaddrinfo) X(ares_freeaddrinfo) X(ares_query) X(ares_getsock) X(ares_timeout) X(ares_process_fd) X(ares_strerror)

typedef struct Cares {
#define DECLARE(f) __typeof__(f) *f;
	CARES_SYMBOLS(DECLARE)
} Cares;

struct Resolver {
	const Cares *lib;
	ares_channel channel;
};

typedef struct Question {
	Resolver *r;
	ResolverDone *done;
	void *ctx;
} Question;

static int load(Cares *out, char **why)
{
	void *handle = bv_load_library(CARES_SONAME);

	if (!handle)
		return bv_fail(why, -ENOSYS, "names cannot be resolved without %s: install c-ares", CARES_SONAME);
#define LOAD(f) \
	out->f = (__typeof__(out->f))dlsym(handle, #f); \
	if (!out->f) \
		return bv_fail(why, -ENOSYS, "names need %s in " CARES_SONAME ": install a newer one", #f);
	CARES_SYMBOLS(LOAD)
	return out->ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS ? 0 : -ENOMEM;
}

int resolver_new(const char *servers, Resolver **out, char **why)
{
	static Cares lib; /* one thread of one supervisor uses it */
	struct ares_options options = {.flags = ARES_FLAG_EDNS, .ednspsz = EDNS_SIZE, .timeout = TIMEOUT_MS, .tries = TRIES};
	Resolver *r = calloc(1, sizeof *r);
	int rc = r ? load(&lib, why) : -ENOMEM;

	if (rc == 0) {
		r->lib = &lib;
		rc = lib.ares_init_options(&r->channel, &options, ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) == ARES_SUCCESS ? 0 : -ENOMEM;
	}
	if (rc < 0) {
		free(r);
		return rc;
	}
	if (servers && lib.ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS) {
		resolver_free(r);
		return bv_fail(why, -EINVAL, "'%s' is no name server: ADDRESS or ADDRESS:PORT", servers);
	}
	*out = r;
	return 0;
}

void resolver_free(Resolver *r)
{
	if (!r)
		return;
	r->lib->ares_destroy(r->channel);
	free(r);
}

static int result_of(int status)
{
	switch (status) {
	case ARES_SUCCESS: return 0;
	case ARES_ENOTFOUND:
	case ARES_EBADNAME: return -ENOENT;
	case ARES_ENODATA: return -ENODATA;
	default: return -EAGAIN;
	}
}

static void take_address(const struct ares_addrinfo_node *node, ResolverAnswer *answer)
{
	ResolvedAddress *a = &answer->addresses[answer->n];

	*a = (ResolvedAddress){.ttl = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0};
	if (node->ai_family == AF_INET6)
		a->address = ((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr;
	else
		a->address = net_mapped(&((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr);
	answer->n++;
}

static void on_addresses(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	Question *q = ctx;
	ResolverAnswer answer = {.result = result_of(status)};

	(void)timeouts;
	for (const struct ares_addrinfo_node *n = info ? info->nodes : NULL; n && answer.n < RESOLVER_ADDRESSES; n = n->ai_next)
		if (n->ai_family == AF_INET || n->ai_family == AF_INET6)
			take_address(n, &answer);
	if (info)
		q->r->lib->ares_freeaddrinfo(info);
	q->done(q->ctx, &answer);
	free(q);
}

static void on_message(void *ctx, int status, int timeouts, unsigned char *message, int len)
{
	Question *q = ctx;
	ResolverAnswer answer = {.result = result_of(status), .message = message, .len = message && len > 0 ? (size_t)len : 0};

	(void)timeouts;
	q->done(q->ctx, &answer);
	free(q);
}

void resolver_ask(Resolver *r, const char *name, int type, ResolverDone *done, void *ctx)
{
	Question *q = malloc(sizeof *q);
	CLEAN_FREE char *whole = bv_asprintf("%s.", name); /* the search list is the guest's matter */

	if (!q || !whole) {
		free(q);
		done(ctx, &(ResolverAnswer){.result = -EAGAIN});
		return;
	}
	*q = (Question){r, done, ctx};
	if (type == ns_t_a || type == ns_t_aaaa) {
		const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = type == ns_t_a ? AF_INET : AF_INET6, .ai_socktype = SOCK_STREAM};
		r->lib->ares_getaddrinfo(r->channel, whole, NULL, &hints, on_addresses, q);
	} else {
		r->lib->ares_query(r->channel, whole, ns_c_in, type, on_message, q);
	}
}

size_t resolver_poll(Resolver *r, struct pollfd *p, int *timeout_ms)
{
	ares_socket_t socks[ARES_GETSOCK_MAXNUM];
	unsigned bits = (unsigned)r->lib->ares_getsock(r->channel, socks, ARES_GETSOCK_MAXNUM); /* the macros for it shift into the sign */
	struct timeval most = {.tv_sec = 60}, tv, *t = r->lib->ares_timeout(r->channel, &most, &tv);
	size_t n = 0;

	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = (short)((bits >> i & 1 ? POLLIN : 0) | (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));
		if (events)
			p[n++] = (struct pollfd){.fd = socks[i], .events = events};
	}
	int ms = (int)(t->tv_sec * 1000 + t->tv_usec / 1000 + 1);
	if (n && (*timeout_ms < 0 || ms < *timeout_ms))
		*timeout_ms = ms;
	return n;
}

void resolver_serve(Resolver *r, const struct pollfd *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].revents)
			r->lib->ares_process_fd(r->channel, p[i].revents & (POLLIN | POLLERR | POLLHUP) ? p[i].fd : ARES_SOCKET_BAD, p[i].revents & POLLOUT ? p[i].fd : ARES_SOCKET_BAD);
	r->lib->ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what has waited too long */
}
