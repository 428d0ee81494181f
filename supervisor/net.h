/* supervisor/net.h - what guests may reach over the network: the mode, the rules, whose sockets there are, what was refused.
 *
 * The kernel has no part in it: a guest reaches an address only by calls that carry one (connect, sendto, sendmsg, sendmmsg), which the supervisor makes itself, with its
 * own copy of the address, after net_check(). A socket that was connected so is the guest's, and its data are native.
 *
 * Guests reach each other at addresses of the sandbox's own, which they know as those of this machine (net_map.c): a socket that one of them has bound is remembered by its cookie
 * (SO_COOKIE, which the kernel never gives twice), and reached if the kernel says (sock_diag(7)) that such a socket answers there. */
#ifndef SUPERVISOR_NET_H
#define SUPERVISOR_NET_H

#include "supervisor/call.h"

#include <cjson/cJSON.h>
#include <sys/socket.h>

typedef struct NetPin NetPin;

/* mode: "host" (everything is open), "internet" (public addresses, and what the rules name) or "none" (what the rules name). `servers`: whom names are asked of (resolver_new), or
 * NULL. `publish`: "ADDRESS:HOSTPORT:PORT" (IPv4), for each port of guests that the host reaches at that address. `diag`: whether sock_diag(7) may be
 * asked, if it is there. -EINVAL, -EADDRINUSE, -ENOMEM. */
int net_new(const char *mode, char *const *rules, const char *servers, char *const *publish, bool diag, Net **out, char **why) MUST_CHECK;
void net_free(Net *net);
bool net_is_open(const Net *net); /* mode host */
/* Other rules from now on; what is connected stays so. -EINVAL, -EBUSY (from or to the mode host), -ENOMEM. */
int net_change(Net *net, const char *mode, char *const *rules, char **why) MUST_CHECK;

typedef enum NetVerb { NET_CONNECT, NET_SEND } NetVerb;
/* May the caller connect `sock` to the address, or send there? 0, or -EACCES, which is recorded; -ECONNREFUSED: of this machine, and no guest listens (recorded if the host does). Addresses of other families, and those that the kernel will refuse, are none of its matters: 0.
 * That of a name server which may not be reached is replaced by that of ours (dns.h).
 * *pin keeps what it is connected to until the kernel has done so (CLEAN_PIN); CALL_SLOW: whom, takes a worker to find out. */
int net_route(Call *call, int sock, NetVerb verb, struct sockaddr_storage *address, socklen_t *len, NetPin **pin) MUST_CHECK;
void net_unpin(NetPin **pin);
#define CLEAN_PIN __attribute__((cleanup(net_unpin)))
/* A guest has bound `sock`, and where descriptors of guests cannot be duplicated it is kept for those that connect to it. */
void net_pin_bound(Net *net, int sock);
/* bind(2) for every family, to an address of the sandbox's where the guest has named one of this machine. `privileged`: also to ports for which one needs CAP_NET_BIND_SERVICE. The errno of bind(2). */
int net_bind(Net *net, bool privileged, int sock, const struct sockaddr_storage *address, socklen_t len) MUST_CHECK;
/* A socket that is to be bound once it is known what for is bound; with `listens` also one that listen(2) would bind. 0 or the errno. */
int net_settle(Net *net, int sock, bool listens) MUST_CHECK;
/* SO_REUSEADDR and SO_REUSEPORT in a closed network, where a datagram socket has them only as far as it shares ports with other guests. 0 or the errno of setsockopt(2), getsockopt(2). */
int net_set_reuse(Net *net, int sock, int name, int value) MUST_CHECK;
int net_get_reuse(Net *net, int sock, int name, int *value) MUST_CHECK;
/* Is it a loopback address, as guests know them? */
bool net_is_nearby(const struct sockaddr_storage *address, socklen_t len);
/* An address of this machine as guests know it: true, or left alone. `protocol`: IPPROTO_TCP, IPPROTO_UDP. */
bool net_show(Net *net, int protocol, struct sockaddr_in6 *address);
/* What getsockname(2), and getpeername, accept or recvfrom have said of this socket; other families are left alone. */
void net_show_own(Net *net, int sock, struct sockaddr_storage *address, socklen_t *len);
void net_show_peer(Net *net, int sock, struct sockaddr_storage *address, socklen_t *len);
/* Replaces the address of our name server by the one that the guest has sent to with this socket. False: it is another one. */
bool net_unroute(Net *net, int sock, struct sockaddr_storage *address, socklen_t *len);
/* May the datagram socket with this inode number get messages from addresses that guests know by another name? */
bool net_is_routed(Net *net, uint64_t ino);
bool net_has_routed(const Net *net); /* any socket? */
/* From now on it may. */
void net_note_local(Net *net, int sock);
/* A guest has bound `sock`, or it is about to get a port by itself: others may reach it. */
void net_note_own(Net *net, int sock);
/* socket(2) in a closed network: 0 or the errno for this family, type and protocol. Not MPTCP, with which the peer names further addresses that the kernel connects to by itself. */
int net_check_socket(int family, int type, int protocol) MUST_CHECK;
/* setsockopt(2) there, and a control message of our copy, which is made harmless where that is enough: -EPERM, -ENOPROTOOPT. */
int net_check_option(int level, int name) MUST_CHECK;
int net_check_control(const Net *net, struct cmsghdr *c) MUST_CHECK;

/* {"mode", "allow": [RULE...], "denied": N, "last": [{"time", "pid", "comm", "protocol", "to", "why", "count"}...]} */
cJSON *net_json(Net *net);
/* What was refused since `seen` (which is brought up to date), for people; NULL: nothing. The caller's to free. */
char *net_remark(Net *net, uint64_t *seen);

#endif
