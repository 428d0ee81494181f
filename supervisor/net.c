/* net.c - see net.h. */
#include "supervisor/net_internal.h"
#include "supervisor/net_owner.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const mode_names[] = {[MODE_HOST] = "host", [MODE_INTERNET] = "internet", [MODE_NONE] = "none"};

/* ---- rules ---- */

static void rules_release(NetRules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		net_rule_release(&rules->list[i]);
		free(rules->texts[i]);
	}
	free(rules->list);
	free(rules->texts);
	*rules = (NetRules){0};
}

static int add_rule(NetRules *rules, const char *text, char **why)
{
	CLEAN_FREE char *wrong = NULL;
	int r = net_rule_parse(text, &rules->list[rules->n], &wrong);

	if (r < 0)
		return bv_fail(why, r, "the network rule '%s' makes no sense: %s", text, wrong ? wrong : strerror(-r));
	rules->texts[rules->n] = strdup(text);
	return rules->texts[rules->n++] ? 0 : -ENOMEM;
}

static int find_mode(const char *name, NetMode *out, char **why)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
		if (strcmp(name, mode_names[i]) == 0) {
			*out = (NetMode)i;
			return 0;
		}
	}
	return bv_fail(why, -EINVAL, "there is no network mode '%s'", name);
}

static int rules_parse(const char *mode, char *const *texts, NetRules *out, char **why)
{
	NetRules rules = {0};
	size_t count = 0;
	int r = find_mode(mode, &rules.mode, why);

	while (texts[count])
		count++;
	rules.list = calloc(count + 1, sizeof *rules.list);
	rules.texts = calloc(count + 1, sizeof *rules.texts);
	if (!rules.list || !rules.texts)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_rule(&rules, texts[i], why);
	if (r == 0)
		*out = rules;
	else
		rules_release(&rules);
	return r;
}

/* "ADDRESS:HOSTPORT:PORT", as the library has checked. */
static bool parse_published(const char *text, NetPublished *out)
{
	unsigned host, port;
	char address[INET_ADDRSTRLEN], more;
	uint8_t v4[4];

	if (sscanf(text, "%15[0-9.]:%u:%u%c", address, &host, &port, &more) != 3 || host - 1 >= 65535 || port - 1 >= 65535 || inet_pton(AF_INET, address, v4) != 1)
		return false;
	*out = (NetPublished){htons((uint16_t)port), htons((uint16_t)host), net_mapped(v4), -1};
	return true;
}

static int add_published(Net *net, char *const *texts, char **why)
{
	size_t count = 0;

	while (texts[count])
		count++;
	net->published = calloc(count + 1, sizeof *net->published);
	if (!net->published)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		NetPublished *p = &net->published[i];
		if (!parse_published(texts[i], p))
			return bv_fail(why, -EINVAL, "'%s' names no port to publish", texts[i]);
		net->n_published++;
		int r = net_publish_start(p);
		if (r == -EADDRINUSE)
			return bv_fail(why, r, "port %u of the host is published already, by another running sandbox or twice by this one: stop that one, or publish another port with --publish HOSTPORT:%u", ntohs(p->host_port), ntohs(p->port));
		if (r < 0)
			return bv_fail(why, r, "port %u of the host cannot be published: %s", ntohs(p->host_port), strerror(-r));
	}
	return 0;
}

int net_new(const char *mode, char *const *rules, const char *servers, char *const *publish, bool diag, Net **out, char **why)
{
	Net *net = calloc(1, sizeof *net);

	if (!net)
		return -ENOMEM;
	pthread_mutex_init(&net->lock, NULL);
	pthread_mutex_init(&net->binding, NULL);
	pthread_mutex_init(&net->pinning, NULL);
	pthread_mutex_init(&net->searching, NULL);
	pthread_rwlock_init(&net->rules_lock, NULL);
	net->reserved = -1;
	atomic_init(&net->diag, diag ? -1 : 0);
	int r = rules_parse(mode, rules, &net->rules, why);
	net->open = net->rules.mode == MODE_HOST;
	if (r == 0 && !net->open)
		r = hmap_init(&net->own);
	if (r == 0 && !net->open && (r = net_map_start(net)) < 0)
		(void)bv_fail(why, r, "no loopback address is free for the sandbox: %s", strerror(-r));
	if (r == 0)
		r = add_published(net, publish, why);
	if (r == 0 && servers && !(net->upstream = strdup(servers)))
		r = -ENOMEM;
	if (r < 0)
		net_free(net);
	else
		*out = net;
	return r;
}

void net_free(Net *net)
{
	if (!net)
		return;
	dns_stop(net->dns);
	free(net->upstream);
	rules_release(&net->rules);
	hmap_release(&net->own);
	free(net->sockets);
	for (size_t i = 0; i < net->n_published; i++)
		bv_close_fd(&net->published[i].reserved);
	free(net->published);
	for (size_t i = 0; i < 4; i++)
		free(net->ports[i / 2][i % 2]);
	net_pins_release(net);
	bv_close_fd(&net->reserved);
	pthread_rwlock_destroy(&net->rules_lock);
	pthread_mutex_destroy(&net->searching);
	pthread_mutex_destroy(&net->pinning);
	pthread_mutex_destroy(&net->binding);
	pthread_mutex_destroy(&net->lock);
	free(net);
}

bool net_is_open(const Net *net)
{
	return net->open;
}

bool net_is_closed(Net *net)
{
	pthread_rwlock_rdlock(&net->rules_lock);
	bool closed = net->rules.mode == MODE_NONE;
	for (size_t i = 0; closed && i < net->rules.n; i++)
		closed = net->rules.list[i].kind == NET_RULE_UNIX;
	pthread_rwlock_unlock(&net->rules_lock);
	return closed;
}

/* The same rule of the new ones, or NULL. */
static const NetRule *rule_again(const NetRules *old, const NetRule *rule, const NetRules *now)
{
	const char *text = old->texts[rule - old->list];

	for (size_t i = 0; i < now->n; i++)
		if (strcmp(now->texts[i], text) == 0)
			return &now->list[i];
	return NULL;
}

int net_change(Net *net, const char *mode, char *const *texts, char **why)
{
	NetRules now, old;
	int r = rules_parse(mode, texts, &now, why);

	if (r < 0)
		return r;
	if (net->open != (now.mode == MODE_HOST)) { /* what was done until now was done otherwise */
		rules_release(&now);
		return bv_fail(why, -EBUSY, "a running sandbox with the host's network cannot be closed, nor a closed one be given it: stop it first");
	}
	pthread_rwlock_wrlock(&net->rules_lock);
	old = net->rules;
	net->rules = now;
	pthread_mutex_lock(&net->lock);
	for (size_t i = 0; i < MIN(net->n_named, (size_t)NAMED_MAX); i++)
		if (net->named[i].rule)
			net->named[i].rule = rule_again(&old, net->named[i].rule, &now);
	pthread_mutex_unlock(&net->lock);
	pthread_rwlock_unlock(&net->rules_lock);
	rules_release(&old);
	return 0;
}

/* ---- sockets of guests ---- */

bool net_cookie(int sock, uint64_t *cookie)
{
	socklen_t len = sizeof *cookie;

	return getsockopt(sock, SOL_SOCKET, SO_COOKIE, cookie, &len) == 0;
}

OwnSocket *net_find_own_locked(Net *net, uint64_t cookie)
{
	for (HmapNode *n = hmap_first(&net->own, hash_u64(cookie, 0)); n; n = hmap_next(n)) {
		OwnSocket *s = CONTAINER_OF(n, OwnSocket, node);
		if (s->cookie == cookie)
			return s;
	}
	return NULL;
}

/* Does it still answer where a guest has bound it? Without sock_diag that would take too long. */
static bool is_there_locked(Net *net, const OwnSocket *s)
{
	const struct in6_addr localhost = net_mapped((const uint8_t[]){127, 0, 0, 1});
	struct sockaddr_in6 at = s->real;
	SocketOwner owner;

	if (!at.sin6_port || !net_may_ask(net))
		return false;
	if (net_is_any(&at.sin6_addr))
		at.sin6_addr = IN6_IS_ADDR_V4MAPPED(&at.sin6_addr) ? localhost : in6addr_loopback;
	return net_owner(true, s->protocol, &at, &at, &owner) == 0 && owner.cookie == s->cookie;
}

/* The oldest of a full ring goes, but for a few that are in its way and serve: clients come by the thousand, and what they ask may be as old as the sandbox. */
OwnSocket *net_add_own_locked(Net *net, int sock, uint64_t cookie)
{
	OwnSocket *s = net_find_own_locked(net, cookie);
	struct stat st;

	if (s)
		return s;
	if (!net->sockets && !(net->sockets = calloc(OWN_MAX, sizeof *net->sockets)))
		return NULL;
	for (int kept = 0; net->n_own >= OWN_MAX && kept < OWN_KEPT && is_there_locked(net, &net->sockets[net->n_own % OWN_MAX]); kept++)
		net->n_own++;
	s = &net->sockets[net->n_own % OWN_MAX];
	if (net->n_own++ >= OWN_MAX)
		hmap_remove(&net->own, &s->node);
	*s = (OwnSocket){.cookie = cookie, .ino = fstat(sock, &st) == 0 ? st.st_ino : 0};
	hmap_insert(&net->own, &s->node, hash_u64(cookie, 0));
	return s;
}

void net_note_place(Net *net, int sock)
{
	uint64_t cookie;

	if (!net_cookie(sock, &cookie))
		return;
	pthread_mutex_lock(&net->lock);
	OwnSocket *own = net_find_own_locked(net, cookie);
	if (own) {
		own->protocol = net_option(sock, SO_PROTOCOL);
		IGNORE_RESULT(net_own_name(sock, &own->real)); /* it stays as it was */
	}
	pthread_mutex_unlock(&net->lock);
}

void net_note_own(Net *net, int sock)
{
	uint64_t cookie;

	if (net_is_open(net) || !net_cookie(sock, &cookie))
		return;
	pthread_mutex_lock(&net->lock);
	IGNORE_RESULT(net_add_own_locked(net, sock, cookie)); /* without memory nobody reaches it */
	pthread_mutex_unlock(&net->lock);
}

void net_note_local(Net *net, int sock)
{
	net_note_own(net, sock);
	if (net_is_open(net) || net_option(sock, SO_TYPE) != SOCK_DGRAM)
		return;
	pthread_mutex_lock(&net->lock);
	net_note_routed_locked(net, sock);
	pthread_mutex_unlock(&net->lock);
}

int net_option(int sock, int name)
{
	int value = 0;
	socklen_t len = sizeof value;

	return getsockopt(sock, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* ---- decisions ---- */

/* What the kernel would take the bytes for. UDP takes AF_UNSPEC for AF_INET when it sends (udp_sendmsg); connect ends a connection by it. */
static bool read_target(NetVerb verb, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_in6 *out)
{
	if (ss->ss_family == AF_INET6 ? len < NET_IN6_MIN : (ss->ss_family != AF_INET && (ss->ss_family != AF_UNSPEC || verb == NET_CONNECT)) || len < sizeof(struct sockaddr_in))
		return false;
	*out = net_widened(ss);
	return true;
}

static bool rule_allows(Net *net, const struct in6_addr *address, uint16_t port)
{
	for (size_t i = 0; i < net->rules.n; i++)
		if (net_rule_has_address(&net->rules.list[i], address, port))
			return true;
	return net_name_allows(net, address, port);
}

static const char *protocol_name(int protocol)
{
	switch (protocol) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return "icmp";
	default: return "other";
	}
}

/* NULL: it may be reached. */
static const char *objection(Net *net, const struct sockaddr_in6 *to, bool here)
{
	const char *special = net_special(&to->sin6_addr);

	if (rule_allows(net, &to->sin6_addr, ntohs(to->sin6_port)))
		return NULL;
	if (here)
		return "it is the host's own";
	return net->rules.mode == MODE_NONE ? "no rule names it" : special;
}

static int refuse(Call *call, int sock, const struct sockaddr_in6 *to, bool here, const char *why)
{
	int protocol = net_option(sock, SO_PROTOCOL);
	char text[NET_TEXT_MAX], rule[NET_TEXT_MAX];
	in_port_t port = ntohs(to->sin6_port);

	net_text(&to->sin6_addr, port, text);
	if (port)
		net_text(&to->sin6_addr, port, rule);
	else
		net_text_alone(&to->sin6_addr, rule); /* of ICMP, or none: a rule cannot name that one alone */
	here &= protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
	if (!here || net_host_listens(call->sup->net, sock, to)) /* which the guest does not learn */
		IGNORE_RESULT(net_refuse(call, protocol_name(protocol), text, rule, why));
	return here ? -ECONNREFUSED : -EACCES;
}

/* To a socket of another guest, or of the same. */
static int go_here(Call *call, int sock, bool datagram, bool connects, const struct sockaddr_in6 *real, uint64_t ino, NetPin **pin)
{
	Net *net = call->sup->net;
	int r = connects || !datagram ? net_pin(call, net_option(sock, SO_PROTOCOL), real, ino, pin) : 0;

	if (r != 0)
		return r;
	if (datagram && !connects && net_is_closed(net)) /* or the kernel would bind it, to every address */
		r = net_bind_inside(net, sock);
	if (datagram)
		net_note_local(net, sock);
	return r;
}

int net_route(Call *call, int sock, NetVerb verb, struct sockaddr_storage *ss, socklen_t *len, NetPin **pin)
{
	Net *net = call->sup->net;
	struct sockaddr_in6 to, real;
	uint64_t ino;

	if (net_is_open(net) || !read_target(verb, ss, *len, &to))
		return 0;
	bool datagram = net_option(sock, SO_TYPE) == SOCK_DGRAM, here = net_is_here(&to.sin6_addr);
	if (here && net_find_listener(net, sock, &to, &real, &ino)) {
		int r = go_here(call, sock, datagram, verb == NET_CONNECT, &real, ino, pin);
		if (r == 0)
			net_go_here(net, sock, &to, &real, ss, len);
		return r;
	}
	if (here && net_is_under_way(sock)) { /* whom it is connected to, sock_diag tells by the connection */
		net_go_nowhere(net, sock, ss, len);
		return 0;
	}
	pthread_rwlock_rdlock(&net->rules_lock);
	const char *why = objection(net, &to, here);
	bool names = why && net_knows_names(net);
	pthread_rwlock_unlock(&net->rules_lock);
	if (why && ntohs(to.sin6_port) == NS_DEFAULTPORT && names && net_ask_ours(net, sock, ss, len) == 0)
		return 0;
	if (why)
		return refuse(call, sock, &to, here, why);
	if (datagram) /* whom it writes to may answer */
		net_note_own(net, sock);
	return 0;
}

cJSON *net_json(Net *net)
{
	cJSON *o = cJSON_CreateObject();

	pthread_rwlock_rdlock(&net->rules_lock);
	cJSON_AddStringToObject(o, "mode", mode_names[net->rules.mode]);
	cJSON *rules = cJSON_AddArrayToObject(o, "allow");
	for (size_t i = 0; i < net->rules.n; i++)
		cJSON_AddItemToArray(rules, cJSON_CreateString(net->rules.texts[i]));
	pthread_rwlock_unlock(&net->rules_lock);
	net_add_denied(net, o);
	return o;
}
