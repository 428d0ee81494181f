/* net_map.c - this machine's own addresses in a closed network. What guests bind and reach as 127.0.0.1, ::1 or another address of this machine are two addresses out of 127.0.0.0/8
 * that no other sandbox has, so that their ports are not the host's, nobody outside is served by accident, and the services of the host are never in the way of a guest's. They
 * are shown as what the guest takes them for.
 *
 * IPv6 has one loopback address only, so its sockets carry IPv4 addresses (mapped ones) here; the second address tells them apart where a guest could: from ::1, and for
 * sockets that are not to take IPv4 (IPV6_V6ONLY).
 *
 * A TCP socket that is bound to every address and no port may become a listener or a client: it is bound when that is known (listen), or somebody asks for its port. */
#include "supervisor/net_internal.h"
#include "supervisor/net_owner.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { RESERVE_TRIES = 64, PUBLISH_WAIT_MS = 1500, PUBLISH_STEP_MS = 20 };

/* The abstract names of unix sockets belong to the network namespace, as addresses and ports do: who has this one has what it says, until it ends. */
static int reserve(const char *name, int *out)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "%s", name);
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
		return bv_neg_errno();
	*out = TAKE_FD(fd);
	return 0;
}

#define PUBLISHED "bvisor-publish-"

static int published_text(const NetPublished *p, char text[NET_TEXT_MAX])
{
	return snprintf(text, NET_TEXT_MAX, "%u.%u.%u.%u:%u", p->address.s6_addr[12], p->address.s6_addr[13], p->address.s6_addr[14], p->address.s6_addr[15], ntohs(p->host_port));
}

/* Does the list of unix sockets have a name of another sandbox with this port, of an address that includes ours or is included? */
static bool is_published_elsewhere(const NetPublished *p)
{
	CLEAN_FREE char *list = NULL;
	char own[NET_TEXT_MAX];
	bool found = false;

	published_text(p, own);
	if (bv_read_file_at(AT_FDCWD, "/proc/net/unix", 64 * 1024 * 1024, &list) < 0)
		return false;
	for (char *at = list; !found && (at = strstr(at, "@" PUBLISHED)); at++) {
		const char *address = at + strlen("@" PUBLISHED), *port = strchr(address, ':');
		size_t len = strcspn(address, "\n");
		bool same_port = port && strncmp(port, strchr(own, ':'), strlen(strchr(own, ':'))) == 0 && port + strlen(strchr(own, ':')) == address + len;
		bool itself = len == strlen(own) && strncmp(address, own, len) == 0;
		found = same_port && !itself && (net_is_any(&p->address) || strncmp(address, "0.0.0.0:", 8) == 0);
	}
	return found;
}

/* Looked for when ours is there to be found. */
static int try_publish(NetPublished *p)
{
	char text[NET_TEXT_MAX], name[NET_TEXT_MAX + sizeof PUBLISHED];

	published_text(p, text);
	snprintf(name, sizeof name, PUBLISHED "%s", text);
	int r = reserve(name, &p->reserved);
	if (r < 0 || !is_published_elsewhere(p))
		return r;
	bv_close_fd(&p->reserved);
	return -EADDRINUSE;
}

/* The supervisor of a command that has just ended may be about to end. */
int net_publish_start(NetPublished *p)
{
	int r = try_publish(p);

	for (int waited = 0; r == -EADDRINUSE && waited < PUBLISH_WAIT_MS; waited += PUBLISH_STEP_MS) {
		usleep(PUBLISH_STEP_MS * 1000);
		r = try_publish(p);
	}
	return r;
}

int net_map_start(Net *net)
{
	int r = -EADDRINUSE;

	for (int tries = 0; r == -EADDRINUSE && tries < RESERVE_TRIES; tries++) {
		char name[sizeof "bvisor-net-255.255.255.255"];
		uint8_t v4[4];
		if (getrandom(v4, sizeof v4, 0) != sizeof v4)
			return bv_neg_errno();
		v4[0] = 127;
		v4[1] = (uint8_t)((v4[1] | 0x40) & ~0x20); /* not where programs of the host have theirs: 127.0.x.y */
		v4[3] = (uint8_t)(2 + v4[3] % 126 * 2);
		snprintf(name, sizeof name, "bvisor-net-%u.%u.%u.%u", v4[0], v4[1], v4[2], v4[3]);
		r = reserve(name, &net->reserved);
		net->here[HERE_V4] = net_mapped(v4);
		v4[3]++;
		net->here[HERE_V6] = net_mapped(v4);
		v4[1] |= 0x20;
		net->guard = net_mapped(v4);
	}
	return r;
}

/* ---- addresses ---- */

struct sockaddr_in6 net_widened(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;
	struct sockaddr_in6 six;

	if (ss->ss_family != AF_INET6)
		return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = v4->sin_port, .sin6_addr = net_mapped(&v4->sin_addr)};
	memcpy(&six, ss, sizeof six);
	return six;
}

/* What bind(2) would take it for. False: the kernel says what is wrong with it. */
static bool read_local(int domain, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_in6 *out)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;

	if (domain == AF_INET6 ? ss->ss_family != AF_INET6 || len < NET_IN6_MIN
			       : domain != AF_INET || len < sizeof *v4 || (ss->ss_family != AF_INET && (ss->ss_family != AF_UNSPEC || v4->sin_addr.s_addr)))
		return false;
	*out = net_widened(ss);
	return true;
}

/* For a socket of this domain. */
static void narrow(int domain, const struct sockaddr_in6 *six, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = six->sin6_port};

	memset(ss, 0, sizeof *ss);
	memcpy(&v4.sin_addr, six->sin6_addr.s6_addr + 12, 4);
	*len = domain == AF_INET ? sizeof v4 : sizeof *six;
	memcpy(ss, domain == AF_INET ? (const void *)&v4 : six, *len);
}

bool net_is_any(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a) || (IN6_IS_ADDR_V4MAPPED(a) && memcmp(a->s6_addr + 12, (char[4]){0}, 4) == 0);
}

bool net_is_here(const struct in6_addr *address)
{
	return net_is_loopback(address) || net_is_local(address);
}

bool net_is_nearby(const struct sockaddr_storage *ss, socklen_t len)
{
	struct sockaddr_in6 a;

	return read_local(ss->ss_family, ss, len, &a) && net_is_loopback(&a.sin6_addr);
}

static bool is_group(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr[12] >= 224 : IN6_IS_ADDR_MULTICAST(a);
}

int net_own_name(int sock, struct sockaddr_in6 *out)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof ss;

	if (getsockname(sock, (struct sockaddr *)&ss, &len) < 0)
		return bv_neg_errno();
	*out = net_widened(&ss);
	return 0;
}

int net_bind_to(int sock, const struct sockaddr_in6 *six)
{
	struct sockaddr_storage ss;
	socklen_t len;

	narrow(net_option(sock, SO_DOMAIN), six, &ss, &len);
	return bind(sock, (struct sockaddr *)&ss, len) < 0 ? bv_neg_errno() : 0;
}

static bool only_v6(int sock)
{
	int value = 0;
	socklen_t len = sizeof value;

	return getsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 && value;
}

static void take_v4(int sock)
{
	const int off = 0;

	IGNORE_RESULT(setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off)); /* what follows from it is said by what follows it */
}

/* ---- whose socket answers ---- */

bool net_may_ask(Net *net)
{
	int diag = atomic_load(&net->diag);

	if (diag < 0)
		atomic_store(&net->diag, diag = net_has_diag());
	return diag;
}

/* The numbers of sockets do not come again before 2^32 of them. */
static bool find_ino_locked(const Net *net, uint64_t ino)
{
	for (size_t i = 0; ino && i < MIN(net->n_own, (size_t)OWN_MAX); i++)
		if (net->sockets[i].ino == ino)
			return true;
	return false;
}

/* The family of a guest's (AF_INET, AF_INET6), 0: another one, -ENOENT: none, or another errno: the kernel does not say. */
static int find_owner(Net *net, int sock, int protocol, const struct sockaddr_in6 *at, SocketOwner *owner)
{
	struct sockaddr_in6 from;

	if (net_own_name(sock, &from) < 0 || net_is_any(&from.sin6_addr))
		from.sin6_addr = at->sin6_addr;
	int r = net_owner(net_may_ask(net), protocol, &from, at, owner);
	if (r < 0)
		return r;
	pthread_mutex_lock(&net->lock);
	r = (owner->cookie ? net_find_own_locked(net, owner->cookie) != NULL : find_ino_locked(net, owner->ino)) ? owner->family : 0;
	pthread_mutex_unlock(&net->lock);
	return r;
}

static int whose(Net *net, int sock, int protocol, const struct sockaddr_in6 *at)
{
	SocketOwner owner;

	return find_owner(net, sock, protocol, at, &owner);
}

static bool is_itself(int sock, const SocketOwner *owner)
{
	struct stat st;

	return fstat(sock, &st) == 0 && st.st_ino == owner->ino;
}

static NetPorts **ports_of(Net *net, int protocol, NetHere kind)
{
	return &net->ports[protocol == IPPROTO_UDP][kind];
}

/* Our port for one of guests; 0: there is none. */
static in_port_t real_port(Net *net, int protocol, NetHere kind, in_port_t shown)
{
	pthread_mutex_lock(&net->lock);
	const NetPorts *p = *ports_of(net, protocol, kind);
	in_port_t real = p ? p->real[shown] : 0;
	pthread_mutex_unlock(&net->lock);
	return real;
}

static in_port_t shown_port(Net *net, int protocol, NetHere kind, in_port_t real)
{
	pthread_mutex_lock(&net->lock);
	const NetPorts *p = *ports_of(net, protocol, kind);
	in_port_t shown = p ? p->shown[real] : 0;
	pthread_mutex_unlock(&net->lock);
	return shown ? shown : real;
}

static int note_port(Net *net, int protocol, NetHere kind, in_port_t shown, in_port_t real)
{
	int r = 0;

	pthread_mutex_lock(&net->lock);
	NetPorts **p = ports_of(net, protocol, kind);
	if (!*p && !(*p = calloc(1, sizeof **p)))
		r = -ENOMEM;
	if (r == 0) {
		(*p)->shown[(*p)->real[shown]] = 0;
		(*p)->real[shown] = real;
		(*p)->shown[real] = shown;
	}
	pthread_mutex_unlock(&net->lock);
	return r;
}

static const NetPublished *find_published(const Net *net, in_port_t port)
{
	for (size_t i = 0; i < net->n_published; i++)
		if (port && net->published[i].port == port)
			return &net->published[i];
	return NULL;
}

typedef struct Places {
	struct sockaddr_in6 at[5];
	size_t n;
} Places;

static void add_place(Places *p, const struct in6_addr *address, in_port_t port)
{
	if (port)
		p->at[p->n++] = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = *address};
}

bool net_find_listener(Net *net, int sock, const struct sockaddr_in6 *to, struct sockaddr_in6 *real, uint64_t *ino)
{
	const struct in6_addr localhost = net_mapped((const uint8_t[]){127, 0, 0, 1});
	int protocol = net_option(sock, SO_PROTOCOL);
	bool v6 = !IN6_IS_ADDR_V4MAPPED(&to->sin6_addr);
	const NetPublished *p = find_published(net, to->sin6_port);
	struct sockaddr_in6 own;
	Places places = {0};

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return false;
	if (v6)
		add_place(&places, &net->here[HERE_V6], real_port(net, protocol, HERE_V6, to->sin6_port));
	if (p)
		add_place(&places, &p->address, p->host_port);
	add_place(&places, &net->here[HERE_V4], real_port(net, protocol, HERE_V4, to->sin6_port));
	if (protocol == IPPROTO_UDP) { /* those that are bound to every address or none */
		bool carries_v4 = net_own_name(sock, &own) == 0 && IN6_IS_ADDR_V4MAPPED(&own.sin6_addr); /* and nothing else */
		if (v6 && !carries_v4)
			add_place(&places, &in6addr_loopback, to->sin6_port);
		add_place(&places, &localhost, to->sin6_port);
	}
	bool found = false;
	for (size_t i = 0; i < places.n; i++) {
		SocketOwner owner;
		int family = find_owner(net, sock, protocol, &places.at[i], &owner);
		if (family != AF_INET6 && (family <= 0 || v6)) /* one of IPv4 takes none from ::1 */
			continue;
		/* Itself only if there is no other: a port that is bound is not so to the kernel, which may give it to a client of that very socket. */
		bool other = !is_itself(sock, &owner);
		if (other || !found) {
			*real = places.at[i];
			*ino = owner.ino;
		}
		found = true;
		if (other)
			break;
	}
	return found;
}

bool net_host_listens(Net *net, int sock, const struct sockaddr_in6 *to)
{
	struct sockaddr_in6 at = *to;

	if (net_is_any(&at.sin6_addr))
		at.sin6_addr = IN6_IS_ADDR_V4MAPPED(&at.sin6_addr) ? net_mapped((const uint8_t[]){127, 0, 0, 1}) : in6addr_loopback;
	return whose(net, sock, net_option(sock, SO_PROTOCOL), &at) != -ENOENT;
}

/* ---- binding ---- */

/* Remembers what the guest has said. */
static int note_state(Net *net, int sock, OwnState state, const struct sockaddr_in6 *shown)
{
	uint64_t cookie;

	if (!net_cookie(sock, &cookie))
		return -ENOBUFS;
	pthread_mutex_lock(&net->lock);
	OwnSocket *own = net_add_own_locked(net, sock, cookie);
	if (own) {
		own->state = state;
		own->shown = *shown;
	}
	pthread_mutex_unlock(&net->lock);
	return own ? 0 : -ENOMEM;
}

/* To the port of ours that stands for this one, so that whoever has it is in the way of others as natively. A new one, which the host is not likely to want, is taken where there is
 * none yet, or a program of the host has it now. */
static int bind_port(Net *net, int sock, int protocol, NetHere kind, struct sockaddr_in6 *shown)
{
	struct sockaddr_in6 real = {.sin6_family = AF_INET6, .sin6_addr = net->here[kind]};

	if (shown->sin6_port)
		real.sin6_port = real_port(net, protocol, kind, shown->sin6_port);
	int r = net_bind_to(sock, &real);
	if (r == -EADDRINUSE && real.sin6_port) {
		bool host = whose(net, sock, protocol, &real) == 0;
		if (host)
			real.sin6_port = 0;
		r = host ? net_bind_to(sock, &real) : net_share_port(net, sock, &real);
	}
	if (r == 0)
		r = net_own_name(sock, &real);
	if (r < 0)
		return r;
	if (!shown->sin6_port)
		shown->sin6_port = real.sin6_port;
	return note_port(net, protocol, kind, shown->sin6_port, real.sin6_port);
}

/* Shared with other guests only, whatever options a program of the host has set: -EADDRINUSE. */
static int bind_published(Net *net, int sock, int protocol, const NetPublished *p)
{
	const struct sockaddr_in6 published = {.sin6_family = AF_INET6, .sin6_port = p->host_port, .sin6_addr = p->address};
	struct sockaddr_in6 at = published;

	if (net_is_any(&at.sin6_addr))
		at.sin6_addr = net_mapped((const uint8_t[]){127, 0, 0, 1});
	if (whose(net, sock, protocol, &at) == 0)
		return -EADDRINUSE;
	int r = net_bind_to(sock, &published);
	return r == -EADDRINUSE && protocol == IPPROTO_UDP ? net_share_port(net, sock, &published) : r;
}

static int bind_here_locked(Net *net, int sock, const struct sockaddr_in6 *asked)
{
	int protocol = net_option(sock, SO_PROTOCOL);
	bool six = !IN6_IS_ADDR_V4MAPPED(&asked->sin6_addr);
	NetHere kind = six && (!net_is_any(&asked->sin6_addr) || only_v6(sock)) ? HERE_V6 : HERE_V4;
	const NetPublished *p = kind == HERE_V4 ? find_published(net, asked->sin6_port) : NULL;
	struct sockaddr_in6 shown = *asked;

	net_share_begin(sock);
	if (six)
		take_v4(sock);
	int r = p ? bind_published(net, sock, protocol, p) : bind_port(net, sock, protocol, kind, &shown);
	if (r < 0)
		return r;
	if (note_state(net, sock, OWN_BOUND, &shown) == 0) /* without memory it is shown as it is, and nobody reaches it */
		net_share_bound(net, sock);
	net_note_place(net, sock);
	return 0;
}

/* Binds it to an address of the sandbox's, whatever address of this machine the guest has named. */
static int bind_here(Net *net, int sock, const struct sockaddr_in6 *asked)
{
	pthread_mutex_lock(&net->binding);
	int r = bind_here_locked(net, sock, asked);
	pthread_mutex_unlock(&net->binding);
	return r;
}

int net_bind_inside(Net *net, int sock)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6}, own;

	if (net_option(sock, SO_DOMAIN) == AF_INET)
		any.sin6_addr = net_mapped((const uint8_t[4]){0});
	return net_own_name(sock, &own) < 0 || own.sin6_port ? 0 : bind_here(net, sock, &any);
}

/* UNBOUND: nothing was said, and `shown` is left alone. */
static OwnState state_of(Net *net, int sock, struct sockaddr_in6 *shown)
{
	OwnState state = OWN_UNBOUND;
	uint64_t cookie;

	if (!net_cookie(sock, &cookie))
		return state;
	pthread_mutex_lock(&net->lock);
	const OwnSocket *own = net_find_own_locked(net, cookie);
	if (own && (state = own->state) != OWN_UNBOUND)
		*shown = own->shown;
	pthread_mutex_unlock(&net->lock);
	return state;
}

static bool is_bound(Net *net, int sock)
{
	struct sockaddr_in6 own;

	return state_of(net, sock, &own) != OWN_UNBOUND || (net_own_name(sock, &own) == 0 && own.sin6_port);
}

/* Does the port need a capability? ip(7), ip_unprivileged_port_start. */
static bool is_privileged(in_port_t port)
{
	CLEAN_FREE char *text = NULL;

	if (!port)
		return false;
	return ntohs(port) < (bv_read_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 32, &text) > 0 ? strtoul(text, NULL, 10) : IPPORT_RESERVED);
}

static int bind_as_asked(Net *net, int sock, const struct sockaddr_storage *ss, socklen_t len)
{
	pthread_mutex_lock(&net->binding);
	net_share_begin(sock);
	int r = bind(sock, (const struct sockaddr *)ss, len) < 0 ? bv_neg_errno() : 0;
	pthread_mutex_unlock(&net->binding);
	if (r == 0)
		net_note_place(net, sock);
	return r;
}

/* To an address that guests may have. */
static int bind_inet(Net *net, bool privileged, int sock, const struct sockaddr_storage *ss, socklen_t len, const struct sockaddr_in6 *asked)
{
	int protocol = net_option(sock, SO_PROTOCOL);
	bool may_go_out = !asked->sin6_port && (net_is_any(&asked->sin6_addr) || !net_is_loopback(&asked->sin6_addr)) && (protocol == IPPROTO_TCP || !net_is_closed(net));

	if (!privileged && is_privileged(asked->sin6_port))
		return -EACCES;
	if (!may_go_out || protocol == IPPROTO_UDP)
		net_note_local(net, sock);
	if (!may_go_out)
		return bind_here(net, sock, asked);
	return protocol == IPPROTO_TCP ? note_state(net, sock, OWN_DEFERRED, asked) : bind_as_asked(net, sock, ss, len);
}

int net_bind(Net *net, bool privileged, int sock, const struct sockaddr_storage *ss, socklen_t len)
{
	int domain = net_option(sock, SO_DOMAIN), protocol = net_option(sock, SO_PROTOCOL);
	struct sockaddr_in6 asked;

	if (net->open || (domain != AF_INET && domain != AF_INET6))
		return bind(sock, (const struct sockaddr *)ss, len) < 0 ? bv_neg_errno() : 0;
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || !read_local(domain, ss, len, &asked))
		return bind_as_asked(net, sock, ss, len);
	if (is_bound(net, sock))
		return -EINVAL;
	if (is_group(&asked.sin6_addr))
		return -EADDRNOTAVAIL; /* what others send to the group would come */
	if (IN6_IS_ADDR_V4MAPPED(&asked.sin6_addr) && domain == AF_INET6 && only_v6(sock))
		return -EINVAL;
	if (!net_is_here(&asked.sin6_addr)) /* nor broadcasts, nor what is sent to an address of a link */
		return -EADDRNOTAVAIL;
	return bind_inet(net, privileged, sock, ss, len, &asked);
}

int net_settle(Net *net, int sock, bool listens)
{
	int domain = net_option(sock, SO_DOMAIN);
	struct sockaddr_in6 asked = {.sin6_family = AF_INET6}, own;

	if (net->open || (domain != AF_INET && domain != AF_INET6) || net_option(sock, SO_PROTOCOL) != IPPROTO_TCP || net_own_name(sock, &own) < 0 || own.sin6_port)
		return 0;
	OwnState state = state_of(net, sock, &asked);
	if (state == OWN_UNBOUND && domain == AF_INET)
		asked.sin6_addr = net_mapped((const uint8_t[4]){0});
	return state == OWN_DEFERRED || (state == OWN_UNBOUND && listens) ? bind_here(net, sock, &asked) : 0;
}

/* A connection to ::1 comes from ::1. */
static void come_from_v6(Net *net, int sock)
{
	const struct sockaddr_in6 source = {.sin6_family = AF_INET6, .sin6_addr = net->here[HERE_V6]};
	struct sockaddr_in6 own;

	if (net_own_name(sock, &own) == 0 && !own.sin6_port)
		IGNORE_RESULT(net_bind_to(sock, &source)); /* it comes from 127.0.0.1 then */
}

void net_go_here(Net *net, int sock, const struct sockaddr_in6 *to, const struct sockaddr_in6 *real, struct sockaddr_storage *ss, socklen_t *len)
{
	int domain = net_option(sock, SO_DOMAIN);

	if (domain == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&real->sin6_addr)) {
		if (only_v6(sock))
			take_v4(sock);
		if (!IN6_IS_ADDR_V4MAPPED(&to->sin6_addr) && net_option(sock, SO_PROTOCOL) == IPPROTO_TCP)
			come_from_v6(net, sock);
	}
	narrow(domain, real, ss, len);
}

bool net_is_under_way(int sock)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof info;

	return net_option(sock, SO_PROTOCOL) == IPPROTO_TCP && getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_CLOSE && info.tcpi_state != TCP_LISTEN;
}

void net_go_nowhere(const Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len)
{
	const struct sockaddr_in6 nowhere = {.sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_addr = net->here[HERE_V4]};

	narrow(net_option(sock, SO_DOMAIN), &nowhere, ss, len);
}

/* ---- as guests see it ---- */

bool net_show(Net *net, int protocol, struct sockaddr_in6 *a)
{
	if (net->open)
		return false;
	for (NetHere kind = HERE_V4; kind <= HERE_V6; kind++) {
		if (!IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &net->here[kind]))
			continue;
		a->sin6_port = shown_port(net, protocol, kind, a->sin6_port);
		a->sin6_addr = kind == HERE_V6 ? in6addr_loopback : net_mapped((const uint8_t[]){127, 0, 0, 1});
		return true;
	}
	for (size_t i = 0; i < net->n_published; i++) {
		if (net->published[i].host_port != a->sin6_port || !IN6_ARE_ADDR_EQUAL(&net->published[i].address, &a->sin6_addr))
			continue;
		a->sin6_port = net->published[i].port;
		a->sin6_addr = net_mapped((const uint8_t[]){127, 0, 0, 1});
		return true;
	}
	return false;
}

/* Of what is IPv6 to guests one end at least says so (come_from_v6; bound to ::1, or to IPv6 alone). */
static bool is_v6(const Net *net, int sock)
{
	struct sockaddr_storage peer = {0};
	socklen_t len = sizeof peer;
	struct sockaddr_in6 end;

	if (net_own_name(sock, &end) == 0 && IN6_ARE_ADDR_EQUAL(&end.sin6_addr, &net->here[HERE_V6]))
		return true;
	if (getpeername(sock, (struct sockaddr *)&peer, &len) < 0)
		return false;
	end = net_widened(&peer);
	return IN6_ARE_ADDR_EQUAL(&end.sin6_addr, &net->here[HERE_V6]);
}

void net_show_peer(Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len)
{
	if (net->open || (ss->ss_family != AF_INET && ss->ss_family != AF_INET6) || net_unroute(net, sock, ss, len))
		return;
	struct sockaddr_in6 six = net_widened(ss);
	bool ours = net_show(net, net_option(sock, SO_PROTOCOL), &six);
	if (ss->ss_family == AF_INET6 && net_is_loopback(&six.sin6_addr) && is_v6(net, sock)) {
		six.sin6_addr = in6addr_loopback;
		ours = true;
	}
	if (ours)
		narrow(ss->ss_family, &six, ss, len);
}

void net_show_own(Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in6 shown;

	if (net->open || (ss->ss_family != AF_INET && ss->ss_family != AF_INET6))
		return;
	if (state_of(net, sock, &shown) == OWN_BOUND)
		narrow(ss->ss_family, &shown, ss, len);
	else
		net_show_peer(net, sock, ss, len);
}
