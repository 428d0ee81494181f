/* net_names.c - names: which may be known, where they lead for how long, and whom guests believe to ask. */
#include "supervisor/net_internal.h"

#include <stdio.h>
#include <sys/stat.h>

static int64_t now_seconds(void)
{
	return (int64_t)(bv_now_ns() / 1000000000);
}

bool net_name_allows(Net *net, const struct in6_addr *address, uint16_t port)
{
	bool found = false;

	pthread_mutex_lock(&net->lock);
	for (size_t i = 0; !found && i < MIN(net->n_named, (size_t)NAMED_MAX); i++) {
		const Named *n = &net->named[i];
		found = n->rule && port >= n->rule->low && port <= n->rule->high && IN6_ARE_ADDR_EQUAL(&n->address, address) && now_seconds() <= n->until;
	}
	pthread_mutex_unlock(&net->lock);
	return found;
}

bool net_knows_names(const Net *net)
{
	for (size_t i = 0; i < net->rules.n; i++)
		if (net->rules.list[i].kind == NET_RULE_NAME || net->rules.list[i].kind == NET_RULE_BELOW)
			return true;
	return net->rules.mode == MODE_INTERNET;
}

static bool may_know(void *ctx, const char *name)
{
	Net *net = ctx;

	pthread_rwlock_rdlock(&net->rules_lock);
	bool known = net->rules.mode == MODE_INTERNET;
	for (size_t i = 0; !known && i < net->rules.n; i++)
		known = net_rule_has_name(&net->rules.list[i], name);
	pthread_rwlock_unlock(&net->rules_lock);
	if (known)
		return true;
	net_refuse_name(net, name, name, "no rule names it");
	return false;
}

static void note_named(Net *net, const ResolvedAddress *a, const NetRule *rule)
{
	pthread_mutex_lock(&net->lock);
	Named *n = NULL;
	for (size_t i = 0; !n && i < MIN(net->n_named, (size_t)NAMED_MAX); i++)
		if (net->named[i].rule == rule && IN6_ARE_ADDR_EQUAL(&net->named[i].address, &a->address))
			n = &net->named[i];
	if (!n)
		n = &net->named[net->n_named++ % NAMED_MAX];
	*n = (Named){a->address, rule, now_seconds() + a->ttl + NAMED_GRACE};
	pthread_mutex_unlock(&net->lock);
}

/* Why a name may not lead there; NULL: it may. */
static const char *private_reason(const struct in6_addr *address)
{
	const char *special = net_special(address);

	return special ? special : net_is_here(address) ? "it is the host's own" : NULL;
}

static bool is_named_by_address(const NetRules *rules, const struct in6_addr *address)
{
	for (size_t i = 0; i < rules->n; i++)
		if (net_rule_has_address(&rules->list[i], address, rules->list[i].low))
			return true;
	return false;
}

static void refuse_address(Net *net, const char *name, const struct in6_addr *address, const char *why)
{
	char text[NET_TEXT_MAX];

	net_text_alone(address, text);
	CLEAN_FREE char *to = bv_asprintf("%s (%s)", name, text);
	net_refuse_name(net, to ? to : name, text, why);
}

/* A name that somebody else has the say of may lead anywhere: to the host itself, to its network. Only a rule that names such an address opens it, at that rule's ports; the name may be
 * used for it then, and opens nothing. */
static size_t filter_addresses(void *ctx, const char *name, ResolvedAddress *list, size_t n)
{
	Net *net = ctx;
	size_t kept = 0;

	pthread_rwlock_rdlock(&net->rules_lock);
	for (size_t i = 0; i < n; i++) {
		const char *why = private_reason(&list[i].address);
		if (why && !is_named_by_address(&net->rules, &list[i].address)) {
			refuse_address(net, name, &list[i].address, why);
			continue;
		}
		for (size_t k = 0; !why && k < net->rules.n; k++)
			if (net_rule_has_name(&net->rules.list[k], name))
				note_named(net, &list[i], &net->rules.list[k]);
		list[kept++] = list[i];
	}
	pthread_rwlock_unlock(&net->rules_lock);
	return kept;
}

static unsigned server_number_locked(Net *net, const struct sockaddr_storage *ss, socklen_t len)
{
	for (unsigned i = 0; i < MIN(net->n_servers, (size_t)SERVERS_MAX); i++)
		if (net->servers[i].len == len && memcmp(&net->servers[i].address, ss, len) == 0)
			return i + 1;
	size_t at = net->n_servers++ % SERVERS_MAX;
	memcpy(&net->servers[at].address, ss, sizeof *ss);
	net->servers[at].len = len;
	return (unsigned)at + 1;
}

static int start_dns_locked(Net *net)
{
	const DnsPolicy policy = {net, may_know, filter_addresses};
	CLEAN_FREE char *why = NULL;
	int r = net->dns ? 0 : dns_start(&policy, net->upstream, &net->dns, &why);

	if (r < 0)
		fprintf(stderr, "bvisor-supervisor: cannot start the name server of guests: %s\n", why ? why : strerror(-r));
	return r;
}

void net_note_routed_locked(Net *net, int sock)
{
	struct stat st;

	if (fstat(sock, &st) < 0)
		return;
	for (size_t i = 0; i < MIN(net->n_routed, (size_t)ROUTED_MAX); i++)
		if (net->routed[i] == st.st_ino)
			return;
	net->routed[net->n_routed % ROUTED_MAX] = st.st_ino;
	atomic_fetch_add(&net->n_routed, 1);
}

int net_ask_ours(Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len)
{
	int family = net_option(sock, SO_DOMAIN), type = net_option(sock, SO_TYPE);
	struct sockaddr_in6 ours;
	uint64_t cookie;

	if ((type != SOCK_DGRAM && type != SOCK_STREAM) || !net_cookie(sock, &cookie))
		return -EPROTOTYPE;
	pthread_mutex_lock(&net->lock);
	int r = start_dns_locked(net);
	if (r == 0)
		r = dns_address(net->dns, family, type, &ours);
	OwnSocket *own = r == 0 ? net_add_own_locked(net, sock, cookie) : NULL;
	if (own) {
		own->server = server_number_locked(net, ss, *len);
		if (type == SOCK_DGRAM)
			net_note_routed_locked(net, sock);
		*len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof ours;
		memset(ss, 0, sizeof *ss);
		memcpy(ss, &ours, *len);
	}
	pthread_mutex_unlock(&net->lock);
	return own ? 0 : -ENOMEM;
}

bool net_has_routed(const Net *net)
{
	return atomic_load(&net->n_routed) > 0;
}

bool net_is_routed(Net *net, uint64_t ino)
{
	bool found = false;

	pthread_mutex_lock(&net->lock);
	for (size_t i = 0; !found && i < MIN(net->n_routed, (size_t)ROUTED_MAX); i++)
		found = net->routed[i] == ino;
	pthread_mutex_unlock(&net->lock);
	return found;
}

bool net_unroute(Net *net, int sock, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in6 ours;
	uint64_t cookie;
	bool found = false;

	if (net->open || !net_cookie(sock, &cookie))
		return false;
	pthread_mutex_lock(&net->lock);
	const OwnSocket *own = net_find_own_locked(net, cookie);
	if (own && own->server && net->dns && dns_address(net->dns, ss->ss_family, net_option(sock, SO_TYPE), &ours) == 0 &&
	    memcmp(&ours, ss, ss->ss_family == AF_INET ? offsetof(struct sockaddr_in, sin_zero) : offsetof(struct sockaddr_in6, sin6_flowinfo)) == 0) {
		const NameServer *server = &net->servers[own->server - 1];
		memcpy(ss, &server->address, sizeof *ss);
		*len = server->len;
		found = true;
	}
	pthread_mutex_unlock(&net->lock);
	return found;
}
