/* supervisor/net_internal.h - what the net*.c files share: net.c decides, net_map.c and net_share.c bind, net_pin.c keeps ports, net_names.c resolves, net_denied.c records. Nobody else includes it. */
#ifndef SUPERVISOR_NET_INTERNAL_H
#define SUPERVISOR_NET_INTERNAL_H

#include "supervisor/dns.h"
#include "supervisor/net.h"

#include "base/hmap.h"
#include "base/netrule.h"

#include <arpa/nameser.h>

#define DENIED_MAX 64	    /* refused attempts that are told; older ones are counted only */
#define OWN_MAX (64 * 1024) /* sockets of guests that are remembered; the oldest are forgotten (net_add_own_locked), nobody reaches those then */
#define OWN_KEPT 16	    /* so many of those that serve stay, before one goes */

typedef enum NetMode { MODE_HOST, MODE_INTERNET, MODE_NONE } NetMode;

#define ROUTED_MAX 256
#define PINS_MAX 256
#define SERVERS_MAX 16	    /* addresses of name servers that guests know */
#define NAMED_MAX 1024	    /* addresses of allowed names that are remembered */
#define NAMED_GRACE 5	    /* seconds after a name's address has expired: who has just been told it connects now */

/* UNBOUND: or bound as the guest has said. DEFERRED: not bound yet. BOUND: to an address of ours. Of the latter two `shown` is what the guest has said. */
typedef enum OwnState { OWN_UNBOUND, OWN_DEFERRED, OWN_BOUND } OwnState;

typedef struct OwnSocket {
	HmapNode node;
	uint64_t cookie, ino;
	unsigned server; /* 1 + which name server the guest believes to ask, or 0 */
	OwnState state;
	unsigned reuse; /* of a datagram socket what the guest has set (net_share.c) */
	struct sockaddr_in6 shown;
	struct sockaddr_in6 real; /* what it is bound to, as far as a guest has asked for it; port 0: nothing */
	int protocol;		  /* of `real` */
} OwnSocket;

typedef enum NetHere { HERE_V4, HERE_V6 } NetHere;

/* The port of ours for each that guests have bound, and back; in network byte order, 0: none. It stays with the port. */
typedef struct NetPorts {
	in_port_t real[65536], shown[65536];
} NetPorts;

/* A port at which the host is served, too. */
typedef struct NetPublished {
	in_port_t port, host_port;
	struct in6_addr address;
	int reserved; /* keeps it from other sandboxes, or -1 */
} NetPublished;

/* Of a guest's descriptor. */
typedef struct SocketHolder {
	pid_t pid; /* 0: none is known */
	int fd;
} SocketHolder;

struct NetPin {
	Net *net; /* NULL: this entry is free */
	int protocol, fd;
	struct sockaddr_in6 at;
	uint64_t ino; /* of the guest's socket that `fd` is a duplicate of; 0: it is a guard of that address */
	SocketHolder holder;
	unsigned busy; /* calls that are connecting */
	bool connected; /* what was found when there was no room */
};

typedef struct NameServer {
	struct sockaddr_storage address;
	socklen_t len;
} NameServer;

/* What an allowed name leads to. */
typedef struct Named {
	struct in6_addr address;
	const NetRule *rule;
	int64_t until; /* of CLOCK_MONOTONIC */
} Named;

typedef struct Denied {
	int64_t time;
	pid_t pid;
	char comm[17], protocol[8], to[NS_MAXDNAME / 4 + NET_TEXT_MAX], rule[NS_MAXDNAME / 4]; /* rule: with which it would be allowed */
	const char *why;
	uint64_t count;
} Denied;

typedef struct NetRules {
	NetMode mode;
	NetRule *list;
	char **texts; /* of the rules, as written */
	size_t n;
} NetRules;

struct Net {
	pthread_rwlock_t rules_lock; /* outside of `lock` */
	NetRules rules;
	bool open; /* mode host; never changes, nor does what follows */
	struct in6_addr here[2]; /* by NetHere: what stands for 127.0.0.1 and ::1 */
	struct in6_addr guard; /* another one, where nobody is (net_pin.c) */
	int reserved; /* keeps them */
	NetPublished *published;
	size_t n_published;
	pthread_mutex_t binding; /* outside of `lock`, never with rules_lock: net_share.c */
	pthread_mutex_t pinning; /* of the pins; inside of no other but rules_lock */
	pthread_mutex_t searching; /* who looks through the descriptors of all guests, one at a time; inside and outside of no other */
	NetPin pins[PINS_MAX];
	pthread_mutex_t lock; /* of what follows */
	Hmap own;
	OwnSocket *sockets; /* a ring of OWN_MAX */
	size_t n_own;
	NetPorts *ports[2][2]; /* of TCP and UDP, by NetHere; from the first port on */
	Denied denied[DENIED_MAX]; /* a ring, too */
	size_t n_denied;	   /* entries ever made */
	uint64_t refused;	   /* attempts */
	NameServer servers[SERVERS_MAX];
	size_t n_servers;
	Named named[NAMED_MAX]; /* a ring */
	size_t n_named;
	char *upstream;
	Dns *dns; /* from the first question on */
	uint64_t routed[ROUTED_MAX]; /* inode numbers of datagram sockets that get answers of it or of other guests, a ring */
	atomic_size_t n_routed;
	atomic_int diag; /* net_has_diag: 1, 0, or -1: not known yet */
};

/* ---- net.c ---- */
bool net_cookie(int sock, uint64_t *cookie);
int net_option(int sock, int name); /* of SOL_SOCKET; -1: it has none */
bool net_is_closed(Net *net); /* Does nothing lead out? */
OwnSocket *net_find_own_locked(Net *net, uint64_t cookie);
OwnSocket *net_add_own_locked(Net *net, int sock, uint64_t cookie); /* NULL: no memory */
void net_note_place(Net *net, int sock); /* It has just been bound: there it serves. */

/* ---- net_map.c ---- */
#define NET_IN6_MIN offsetof(struct sockaddr_in6, sin6_scope_id) /* what bind(2) and connect(2) need of an IPv6 address */
struct sockaddr_in6 net_widened(const struct sockaddr_storage *ss); /* AF_INET6 as it is; else taken for AF_INET, mapped */
int net_map_start(Net *net) MUST_CHECK; /* -EADDRINUSE, or another errno */
/* No other sandbox publishes it from now on: -EADDRINUSE, or another errno. */
int net_publish_start(NetPublished *p) MUST_CHECK;
bool net_is_any(const struct in6_addr *a); /* the unspecified one, of IPv4 or IPv6 */
int net_own_name(int sock, struct sockaddr_in6 *out) MUST_CHECK; /* getsockname(2) */
int net_bind_to(int sock, const struct sockaddr_in6 *six) MUST_CHECK; /* bind(2) of a socket of either family */
bool net_may_ask(Net *net); /* sock_diag(7) */
bool net_is_here(const struct in6_addr *address); /* an address of this machine, or the unspecified one, which means it */
/* Which socket of a guest answers where a guest would reach `to` of this machine; *ino is its number. False: none. */
bool net_find_listener(Net *net, int sock, const struct sockaddr_in6 *to, struct sockaddr_in6 *real, uint64_t *ino);
/* Binds a datagram socket that has no port, and is to be reached by guests alone. */
int net_bind_inside(Net *net, int sock) MUST_CHECK;
bool net_host_listens(Net *net, int sock, const struct sockaddr_in6 *to); /* or it cannot be known */
/* Is it a TCP socket that is connected, or about to be? connect(2) says so then, whatever the address is. */
bool net_is_under_way(int sock);
/* Makes the address one at which nobody is: for a call that the kernel answers without looking at it, should the socket not be what it was a moment ago. */
void net_go_nowhere(const Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len);
/* Makes `real`, which was found for `to`, the address that the socket is connected to. */
void net_go_here(Net *net, int sock, const struct sockaddr_in6 *to, const struct sockaddr_in6 *real, struct sockaddr_storage *ss, socklen_t *len);

/* ---- net_share.c: with `binding` ---- */
/* It is about to be bound: it shares no port until it is known that it may. */
void net_share_begin(int sock);
/* It is OWN_BOUND now: what the guest has said of sharing its port holds. */
void net_share_bound(Net *net, int sock);
/* Binds a datagram socket to a port that another one has already, if both want to share it: -EADDRINUSE, or another errno of bind(2). */
int net_share_port(Net *net, int sock, const struct sockaddr_in6 *at) MUST_CHECK;

/* ---- net_pin.c ---- */
/* Before a socket is connected to `at`, where the guest's socket `ino` is: no program of the host comes there, for as long as anything is connected or connecting to it. *out is to be given back by
 * net_unpin when connect(2) has returned; NULL: it needs none. CALL_SLOW, or -ECONNREFUSED: the guest's socket is closed or cannot be kept; -EADDRNOTAVAIL: there are too many; -EMFILE. */
int net_pin(Call *call, int protocol, const struct sockaddr_in6 *at, uint64_t ino, NetPin **out) MUST_CHECK;
void net_pins_release(Net *net);

/* ---- net_names.c ---- */
void net_note_routed_locked(Net *net, int sock);
bool net_knows_names(const Net *net); /* Is there any name that resolves? */
/* Replaces the address of a name server by that of ours. Negative errno: it cannot be had. */
int net_ask_ours(Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len) MUST_CHECK;
/* Is it an address that an allowed name led to a moment ago? */
bool net_name_allows(Net *net, const struct in6_addr *address, uint16_t port);

/* ---- net_denied.c ---- */
/* Records it: -EACCES. `rule`: with which it would be allowed. `why` is static. */
int net_refuse(Call *call, const char *protocol, const char *to, const char *rule, const char *why);
/* `rule`: with which it would be allowed. Who asks a name server cannot be told. */
void net_refuse_name(Net *net, const char *name, const char *rule, const char *why);
/* Adds "denied" and "last" of net_json. */
void net_add_denied(Net *net, cJSON *o);

#endif
