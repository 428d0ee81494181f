/* net_share.c - ports that several sockets have at once: SO_REUSEADDR and SO_REUSEPORT.
 *
 * With them the kernel may give a datagram socket the port of any program of this machine that has set them, too, and with it what is meant for that; also where the kernel chooses
 * the port, which it does for bind(2) with port 0, and when a socket without one is connected, sent to or written to, the latter unseen. So:
 *
 *   1. A datagram socket has the options in the kernel only while it cannot come to another address than the sandbox's own, or a published one. What the guest has said is
 *      remembered (OwnSocket.reuse), and told to it.
 *   2. OWN_BOUND means that: connect(2) with AF_UNSPEC takes away what the kernel has chosen, never an address that was bound, nor a port that was.
 *   3. `binding` is held from the look at any of it until what was to be done is done.
 *
 * A stream socket is not bound to the port of others by them: who it talks with is told by both ends, and it listens at the sandbox's own addresses. */
#include "supervisor/net_internal.h"

enum { REUSE_ADDRESS = 1, REUSE_PORT = 2 };

static unsigned bit_of(int name)
{
	return name == SO_REUSEADDR ? REUSE_ADDRESS : REUSE_PORT;
}

static bool is_datagram(int sock)
{
	int domain = net_option(sock, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) && net_option(sock, SO_TYPE) == SOCK_DGRAM;
}

static int set_option(int sock, int name, int value)
{
	return setsockopt(sock, SOL_SOCKET, name, &value, sizeof value) < 0 ? bv_neg_errno() : 0;
}

static int set_both(int sock, unsigned reuse)
{
	int r = set_option(sock, SO_REUSEADDR, (reuse & REUSE_ADDRESS) != 0);

	return r < 0 ? r : set_option(sock, SO_REUSEPORT, (reuse & REUSE_PORT) != 0);
}

static unsigned wished(Net *net, int sock)
{
	uint64_t cookie;
	unsigned reuse = 0;

	if (!net_cookie(sock, &cookie))
		return 0;
	pthread_mutex_lock(&net->lock);
	const OwnSocket *own = net_find_own_locked(net, cookie);
	if (own)
		reuse = own->reuse;
	pthread_mutex_unlock(&net->lock);
	return reuse;
}

/* Remembers it; *state is what the socket is bound to. */
static int wish(Net *net, int sock, unsigned bit, bool on, OwnState *state)
{
	uint64_t cookie;

	if (!net_cookie(sock, &cookie))
		return -ENOBUFS;
	pthread_mutex_lock(&net->lock);
	OwnSocket *own = net_add_own_locked(net, sock, cookie);
	if (own) {
		own->reuse = on ? own->reuse | bit : own->reuse & ~bit;
		*state = own->state;
	}
	pthread_mutex_unlock(&net->lock);
	return own ? 0 : -ENOMEM;
}

int net_set_reuse(Net *net, int sock, int name, int value)
{
	OwnState state = OWN_BOUND;

	pthread_mutex_lock(&net->binding);
	int r = is_datagram(sock) ? wish(net, sock, bit_of(name), value, &state) : 0;
	if (r == 0 && state == OWN_BOUND)
		r = set_option(sock, name, value);
	pthread_mutex_unlock(&net->binding);
	return r;
}

int net_get_reuse(Net *net, int sock, int name, int *value)
{
	socklen_t len = sizeof *value;

	if (getsockopt(sock, SOL_SOCKET, name, value, &len) < 0)
		return bv_neg_errno();
	if (is_datagram(sock))
		*value = (wished(net, sock) & bit_of(name)) != 0;
	return 0;
}

/* It has them if somebody of the host has made it, or if it is no longer remembered. */
void net_share_begin(int sock)
{
	if (is_datagram(sock))
		IGNORE_RESULT(set_both(sock, 0)); /* turning them off does not fail */
}

void net_share_bound(Net *net, int sock)
{
	if (is_datagram(sock))
		IGNORE_RESULT(set_both(sock, wished(net, sock))); /* who wants to share it is refused then */
}

/* After a bind that has failed the kernel has forgotten the address, so that a write of another thread may have got the socket a port of anybody's. */
static void take_back(int sock, const struct sockaddr_in6 *at)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in6 own;

	IGNORE_RESULT(set_both(sock, 0));
	if (net_own_name(sock, &own) == 0 && !IN6_ARE_ADDR_EQUAL(&own.sin6_addr, &at->sin6_addr))
		IGNORE_RESULT(connect(sock, &none, sizeof none));
}

int net_share_port(Net *net, int sock, const struct sockaddr_in6 *at)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in6 anywhere = *at;
	unsigned reuse = wished(net, sock);
	CLEAN_FD int probe = -1;

	if (!reuse || !is_datagram(sock) || net_is_any(&at->sin6_addr)) /* an address that is any is none to stay at */
		return -EADDRINUSE;
	/* Whether it can be shared is tried with a socket that no guest has; while that has the port, nobody comes who would not share it. */
	probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return bv_neg_errno();
	int r = set_both(probe, reuse);
	if (r == 0)
		r = net_bind_to(probe, at);
	/* The guest's is bound to the address first, where it stays, with any port, which is taken away again. */
	anywhere.sin6_port = 0;
	if (r == 0)
		r = net_bind_to(sock, &anywhere);
	if (r < 0)
		return r;
	if (connect(sock, &none, sizeof none) < 0)
		return bv_neg_errno();
	r = set_both(sock, reuse);
	if (r == 0)
		r = net_bind_to(sock, at);
	if (r < 0)
		take_back(sock, at);
	return r;
}
