/* net_pin.c - what guests' sockets are connected to, or are about to be, must not become a program of the host's once the guest that had the port has closed its socket. TCP tries for minutes to
 * reach one that is busy, and a datagram socket stays connected to an address whoever is there. So before a guest's socket is connected within the sandbox the port is pinned, for as long as
 * there is such a connection, by a socket of ours:
 *
 *   - of a socket that is bound to an address of the sandbox's (`here`): by one at the same port of `guard`, an address that no guest reaches. A program of the host that wanted that port of every
 *     address is refused.
 *   - of a datagram socket that is bound to every address: by a duplicate of it.
 *
 * A published port needs none: the user has given it to the sandbox. */
#include "supervisor/net_internal.h"
#include "supervisor/net_owner.h"
#include "supervisor/proctree.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

void net_unpin(NetPin **pin)
{
	if (!*pin)
		return;
	pthread_mutex_lock(&(*pin)->net->pinning);
	(*pin)->busy--;
	pthread_mutex_unlock(&(*pin)->net->pinning);
	*pin = NULL;
}

void net_pins_release(Net *net)
{
	for (size_t i = 0; i < PINS_MAX; i++)
		if (net->pins[i].net)
			close(net->pins[i].fd);
}

/* ---- when there is no room ---- */

typedef struct Connected {
	Net *net;
	int protocol;
} Connected;

/* A socket that is bound to every address is reached at several. */
static bool is_of(const NetPin *p, int protocol, const struct sockaddr_in6 *at)
{
	if (!p->net || p->protocol != protocol || p->at.sin6_port != at->sin6_port)
		return false;
	return p->ino ? net_is_loopback(&at->sin6_addr) : IN6_ARE_ADDR_EQUAL(&p->at.sin6_addr, &at->sin6_addr);
}

/* Only a TCP socket that is still trying can come to somebody else. */
static void note_connected(void *ctx, unsigned state, const struct sockaddr_in6 *peer)
{
	const Connected *c = ctx;

	if (c->protocol == IPPROTO_TCP && state != TCP_SYN_SENT)
		return;
	for (size_t i = 0; i < PINS_MAX; i++)
		c->net->pins[i].connected |= is_of(&c->net->pins[i], c->protocol, peer);
}

static bool look_in_table_locked(Net *net, int protocol)
{
	Connected c = {net, protocol};

	return net_each_peer(protocol, note_connected, &c) == 0;
}

/* Guests can have a datagram socket passed over in the table, by closing others while it is read: so the kernel is asked for one port at a time. With TCP, whose table is read bucket by bucket,
 * they cannot, and its buckets are too many for that. False: nothing is known. */
static bool find_connected_locked(Net *net)
{
	for (size_t i = 0; i < PINS_MAX; i++)
		net->pins[i].connected = false;
	if (!look_in_table_locked(net, IPPROTO_TCP))
		return false;
	if (!net_may_ask(net))
		return look_in_table_locked(net, IPPROTO_UDP);
	for (size_t i = 0; i < PINS_MAX; i++) {
		NetPin *p = &net->pins[i];
		if (p->net && !p->busy && p->protocol == IPPROTO_UDP)
			p->connected = net_port_has_peers(p->protocol, p->at.sin6_port) != 0;
	}
	return true;
}

static void drop_unused_locked(Net *net)
{
	if (!find_connected_locked(net))
		return;
	for (size_t i = 0; i < PINS_MAX; i++) {
		NetPin *p = &net->pins[i];
		if (p->net && !p->busy && !p->connected) {
			close(p->fd);
			*p = (NetPin){0};
		}
	}
}

static NetPin *find_room_locked(Net *net)
{
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < PINS_MAX; i++)
			if (!net->pins[i].net)
				return &net->pins[i];
		if (!again)
			drop_unused_locked(net);
	}
	return NULL;
}

/* ---- the guest's socket ---- */

typedef struct Search {
	uint64_t ino;
	SocketHolder *out;
} Search;

static int is_searched(void *ctx, pid_t pid, int fd, uint64_t ino)
{
	const Search *s = ctx;

	if (ino == s->ino)
		*s->out = (SocketHolder){pid, fd};
	return ino == s->ino;
}

static bool still_holds(ProcTree *tree, const SocketHolder *h, uint64_t ino)
{
	uint64_t held;
	ProcRef *ref;

	if (!h->pid || proctree_get(tree, h->pid, &ref) < 0)
		return false;
	bool holds = !ref->forked && procref_socket(ref, h->fd, &held) && held == ino;
	proctree_put(tree, ref);
	return holds;
}

/* Which guest has it? Known: *holder, which is looked at first. One that is on its way in a message has nobody. */
static int find_holder(Call *call, uint64_t ino, SocketHolder *holder)
{
	Search s = {ino, holder};

	if (still_holds(call->sup->tree, holder, ino))
		return 0;
	if (!call->req.may_block)
		return CALL_SLOW;
	pthread_mutex_lock(&call->sup->net->searching); /* it takes as long as guests have descriptors, and makes nobody wait but those who search */
	int r = proctree_sockets(call->sup->tree, is_searched, &s);
	pthread_mutex_unlock(&call->sup->net->searching);
	return r > 0 ? 0 : r < 0 ? r : -ECONNREFUSED;
}

static int duplicate(Call *call, const SocketHolder *holder, uint64_t ino)
{
	struct stat st;

	if (!call->sup->features.pidfd_getfd)
		return -ECONNREFUSED; /* not one that net_pin_bound has kept */
	CLEAN_FD int process = (int)syscall(SYS_pidfd_open, holder->pid, 0);
	CLEAN_FD int fd = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, holder->fd, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? bv_neg_errno() : -ECONNREFUSED;
	return fstat(fd, &st) == 0 && st.st_ino == ino ? TAKE_FD(fd) : -ECONNREFUSED;
}

/* ---- pins ---- */

static int make_guard(const Net *net, int protocol, in_port_t port)
{
	const struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = net->guard};
	CLEAN_FD int fd = socket(AF_INET, (protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return bv_neg_errno();
	int r = net_bind_to(fd, &at);
	return r == 0 ? TAKE_FD(fd) : r == -EADDRINUSE ? -ECONNREFUSED : r; /* somebody of the host shares it already */
}

static NetPin *find_locked(Net *net, int protocol, const struct sockaddr_in6 *at, uint64_t ino)
{
	for (size_t i = 0; i < PINS_MAX; i++)
		if (net->pins[i].ino == ino && is_of(&net->pins[i], protocol, at))
			return &net->pins[i];
	return NULL;
}

/* `ino`: of the socket that the pin is a duplicate of, which `holder` has; 0: it is a guard. */
static int pin_locked(Call *call, int protocol, const struct sockaddr_in6 *at, uint64_t ino, const SocketHolder *holder, NetPin **out)
{
	Net *net = call->sup->net;
	NetPin *p = find_locked(net, protocol, at, ino);

	if (!p) {
		p = find_room_locked(net);
		int fd = !p ? -EADDRNOTAVAIL : ino ? duplicate(call, holder, ino) : make_guard(net, protocol, at->sin6_port);
		if (fd < 0)
			return fd;
		*p = (NetPin){.net = net, .protocol = protocol, .at = *at, .ino = ino, .fd = fd};
	}
	p->holder = *holder;
	p->busy++;
	*out = p;
	return 0;
}

static int pin(Call *call, int protocol, const struct sockaddr_in6 *at, uint64_t ino, NetPin **out)
{
	Net *net = call->sup->net;
	SocketHolder holder = {0};
	int r = 0;

	if (ino) {
		pthread_mutex_lock(&net->pinning);
		const NetPin *p = find_locked(net, protocol, at, ino);
		if (p)
			holder = p->holder;
		pthread_mutex_unlock(&net->pinning);
		r = find_holder(call, ino, &holder);
	}
	if (r != 0)
		return r;
	pthread_mutex_lock(&net->pinning);
	r = pin_locked(call, protocol, at, ino, &holder, out);
	pthread_mutex_unlock(&net->pinning);
	return r;
}

int net_pin(Call *call, int protocol, const struct sockaddr_in6 *at, uint64_t ino, NetPin **out)
{
	Net *net = call->sup->net;
	bool here = IN6_ARE_ADDR_EQUAL(&at->sin6_addr, &net->here[HERE_V4]) || IN6_ARE_ADDR_EQUAL(&at->sin6_addr, &net->here[HERE_V6]);

	for (size_t i = 0; i < net->n_published; i++)
		if (!here && net->published[i].host_port == at->sin6_port && IN6_ARE_ADDR_EQUAL(&net->published[i].address, &at->sin6_addr))
			return 0;
	int r = pin(call, protocol, at, here ? 0 : ino, out);
	if (here && r == -ECONNREFUSED && protocol == IPPROTO_UDP) /* it is bound to every address, and once there was one at this port of ours */
		r = pin(call, protocol, at, ino, out);
	return r;
}

void net_pin_bound(Net *net, int sock)
{
	struct sockaddr_in6 own;
	struct stat st;

	if (net->open || net_option(sock, SO_PROTOCOL) != IPPROTO_UDP || net_own_name(sock, &own) < 0 || !own.sin6_port || !net_is_any(&own.sin6_addr) || fstat(sock, &st) < 0)
		return;
	pthread_mutex_lock(&net->pinning);
	NetPin *p = find_room_locked(net);
	int fd = p ? fcntl(sock, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd >= 0)
		*p = (NetPin){.net = net, .protocol = IPPROTO_UDP, .at = own, .ino = st.st_ino, .fd = fd};
	pthread_mutex_unlock(&net->pinning);
}
