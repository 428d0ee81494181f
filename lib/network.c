/* lib/network.c - what a sandbox may reach over the network, as it is described. What it means: base/netrule.h, supervisor/net.h. */
#include "lib/conn.h"

#include "base/netrule.h"

#include <arpa/inet.h>
#include <fcntl.h>

#define NETWORK_FILE "network.json"
#define NETWORK_MAX (1024 * 1024)

static bool is_mode(const char *net)
{
	return strcmp(net, "host") == 0 || strcmp(net, "internet") == 0 || strcmp(net, "none") == 0;
}

/* A unix socket is known by its real path, as the view's symlinks are a guest's. */
static int add_socket(Strv *list, const char *path, BvError **err)
{
	CLEAN_FREE char *real = realpath(path, NULL);
	CLEAN_FREE char *rule = real ? bv_asprintf("unix:%s", real) : NULL;

	if (!real)
		return lib_fail(err, bv_neg_errno(), "allow unix:%s: %s", path, strerror(errno));
	return rule ? strv_add(list, rule) : -ENOMEM;
}

static int add_rule(Strv *list, const char *text, BvError **err)
{
	CLEAN_FREE char *why = NULL;
	NetRule rule = {0};
	int r = net_rule_parse(text, &rule, &why);

	if (r == -EINVAL)
		return lib_fail(err, r, "allow %s: %s", text, why ? why : "it makes no sense");
	if (r == 0)
		r = rule.kind == NET_RULE_UNIX ? add_socket(list, rule.name, err) : strv_add(list, text);
	net_rule_release(&rule);
	return r;
}

/* ADDRESS or ADDRESS:PORT, several with commas. */
static int check_servers(const char *dns, BvError **err)
{
	CLEAN_FREE char *copy = strdup(dns);
	char *rest = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *one = strtok_r(copy, ",", &rest); one || !*dns; one = strtok_r(NULL, ",", &rest)) {
		NetRule rule = {0};
		bool good = one && net_rule_parse(one, &rule, NULL) == 0 && rule.kind == NET_RULE_BLOCK && rule.prefix == 128;
		net_rule_release(&rule);
		if (!good)
			return lib_fail(err, -EINVAL, "'%s' is no name server: ADDRESS or ADDRESS:PORT", one ? one : "");
	}
	return 0;
}

/* Who names what may be reached means that and nothing else; a socket of the host is beside the network. */
static bool has_address_rule(const char *const *allow)
{
	for (; allow && *allow; allow++)
		if (strncmp(*allow, "unix:", 5) != 0)
			return true;
	return false;
}

int network_config(const char *net, const char *const *allow, const char *dns, SandboxConfig *c, BvError **err)
{
	int r = 0;

	if (net && !is_mode(net))
		return lib_fail(err, -EINVAL, "'%s' is no network: host, internet or none", net);
	c->net = strdup(net ? net : has_address_rule(allow) ? "none" : "internet");
	c->dns = dns ? strdup(dns) : NULL;
	if (!c->net || (dns && !c->dns))
		r = -ENOMEM;
	if (r == 0 && dns)
		r = check_servers(dns, err);
	for (size_t i = 0; r == 0 && allow && allow[i]; i++)
		r = add_rule(&c->allow, allow[i], err);
	return r == -ENOMEM ? lib_fail(err, r, "out of memory") : r;
}

/* The decimal number up to the end or `stop`; 0: none that a port could be. */
static unsigned take_port(const char **text, char stop)
{
	char *end;
	unsigned long n = strtoul(*text, &end, 10);

	if (end == *text || **text < '0' || **text > '9' || *end != stop || n > 65535)
		return 0;
	*text = end + (stop != 0);
	return (unsigned)n;
}

static int add_published(Strv *list, const char *text, BvError **err)
{
	const char *first = strchr(text, ':'), *last = strrchr(text, ':'), *at = text;
	char address[INET_ADDRSTRLEN] = "127.0.0.1";
	struct in_addr parsed;
	unsigned host = 0;
	bool good = true;

	if (first != last) {
		good = (size_t)(first - text) < sizeof(address);
		snprintf(address, sizeof(address), "%.*s", good ? (int)(first - text) : 0, text);
		good = inet_pton(AF_INET, address, &parsed) == 1;
		at = first + 1;
	}
	if (good && last)
		good = (host = take_port(&at, ':')) != 0;
	unsigned port = good ? take_port(&at, 0) : 0;
	if (!port)
		return lib_fail(err, -EINVAL, "publish '%s': a port is PORT, HOSTPORT:PORT or ADDRESS:HOSTPORT:PORT, with an IPv4 address of the host", text);
	CLEAN_FREE char *rule = bv_asprintf("%s:%u:%u", address, host ? host : port, port);
	return rule ? strv_add(list, rule) : -ENOMEM;
}

int network_publish(const char *const *publish, SandboxConfig *c, BvError **err)
{
	int r = publish[0] && strcmp(c->net, "host") == 0 ? lib_fail(err, -EINVAL, "with the host's network every port is the host's: there is none to publish") : 0;

	for (size_t i = 0; r == 0 && publish[i]; i++)
		r = add_published(&c->publish, publish[i], err);
	return r == -ENOMEM ? lib_fail(err, r, "out of memory") : r;
}

bool network_is_rule(const char *text)
{
	NetRule rule = {0};
	bool good = net_rule_parse(text, &rule, NULL) == 0 && rule.kind != NET_RULE_UNIX;

	net_rule_release(&rule);
	return good;
}

/* ---- what was changed since ---- */

static cJSON *to_json(const SandboxConfig *c)
{
	cJSON *o = cJSON_CreateObject();

	if (o && config_add_list(o, "allow", c->allow) && cJSON_AddStringToObject(o, "net", c->net))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static int take_json(const cJSON *o, SandboxConfig *c)
{
	const char *net = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "net"));
	const cJSON *allow = cJSON_GetObjectItemCaseSensitive(o, "allow"), *rule;
	CLEAN_STRV Strv list = NULL;

	if (!net || !is_mode(net) || !cJSON_IsArray(allow))
		return -EUCLEAN;
	cJSON_ArrayForEach(rule, allow)
	{
		int r = cJSON_IsString(rule) ? strv_add(&list, rule->valuestring) : -EUCLEAN;
		if (r < 0)
			return r;
	}
	char *copy = strdup(net);
	if (!copy)
		return -ENOMEM;
	free(c->net);
	strv_free(c->allow);
	c->net = copy;
	c->allow = TAKE_PTR(list);
	return 0;
}

/* What was changed takes the place of what the description says. */
static int read_file(int dirfd, SandboxConfig *c, BvError **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t len = bv_read_file_at(dirfd, NETWORK_FILE, NETWORK_MAX, &text);

	if (len == -ENOENT)
		return 0;
	if (len < 0)
		return lib_fail(err, (int)len, "cannot read %s: %s", NETWORK_FILE, strerror((int)-len));
	cJSON *o = cJSON_ParseWithLength(text, (size_t)len);
	int r = take_json(o, c);
	cJSON_Delete(o);
	return r < 0 ? lib_fail(err, r, "%s is damaged", NETWORK_FILE) : 0;
}

static int write_file(const BvSandbox *sb, const SandboxConfig *c, BvError **err)
{
	cJSON *o = to_json(c);
	int r = sandbox_write_json(sb, NETWORK_FILE, o, err); /* a sandbox must not be open because half of this was written */

	cJSON_Delete(o);
	return r;
}

int network_now(const BvSandbox *sb, SandboxConfig *out, BvError **err)
{
	out->net = strdup(sb->config.net ? sb->config.net : "host");
	int r = out->net ? strv_copy(&out->allow, (const char *const *)sb->config.allow) : -ENOMEM;

	return r < 0 ? lib_fail(err, r, "out of memory") : read_file(sb->dirfd, out, err);
}

int network_request(cJSON *req, const BvSandbox *sb, BvError **err)
{
	CLEAN_CONFIG SandboxConfig now = {0};
	int r = network_now(sb, &now, err);

	if (r < 0)
		return r;
	bool good = config_add_list(req, "allow", now.allow) && cJSON_AddStringToObject(req, "net", now.net) && (!sb->config.dns || cJSON_AddStringToObject(req, "dns", sb->config.dns)) &&
		    (!sb->config.publish || config_add_list(req, "publish", sb->config.publish));
	return good ? 0 : lib_fail(err, -ENOMEM, "out of memory");
}

/* ---- asked and changed from outside ---- */

static bool has_rule(const char *const *list, const char *rule)
{
	for (size_t i = 0; list && list[i]; i++)
		if (strcmp(list[i], rule) == 0)
			return true;
	return false;
}

/* The rules that there are, without those that are taken off, and the new ones. */
static int make_rules(const SandboxConfig *now, const BvNetworkChange *change, SandboxConfig *out, BvError **err)
{
	CLEAN_STRV Strv list = NULL;
	int r = 0;

	for (size_t i = 0; change->deny && change->deny[i]; i++)
		if (!has_rule((const char *const *)now->allow, change->deny[i]))
			return lib_fail(err, -ENOENT, "there is no rule %s to take off", change->deny[i]);
	for (size_t i = 0; r == 0 && now->allow && now->allow[i]; i++)
		if (!has_rule(change->deny, now->allow[i]))
			r = strv_add(&list, now->allow[i]);
	for (size_t i = 0; r == 0 && change->allow && change->allow[i]; i++)
		if (!has_rule((const char *const *)list, change->allow[i]))
			r = strv_add(&list, change->allow[i]);
	return r < 0 ? lib_fail(err, r, "out of memory") : network_config(change->net ? change->net : now->net, (const char *const *)list, NULL, out, err);
}

static int tell_supervisor(BvSandbox *sb, const SandboxConfig *c, BvError **err)
{
	BvError *why = NULL;
	Conn *conn = NULL;
	int r = sandbox_connect(sb, false, &conn, &why);

	if (r == -ESRCH) { /* it is stopped */
		bv_error_free(why);
		return 0;
	}
	cJSON *o = r == 0 ? to_json(c) : NULL, *req = o ? conn_request("net") : NULL;
	if (req) {
		cJSON_AddItemToObject(req, "allow", cJSON_DetachItemFromObjectCaseSensitive(o, "allow"));
		cJSON_AddStringToObject(req, "net", c->net);
		r = conn_call(conn, req, NULL, 0, NULL, &why);
	} else if (r == 0) {
		r = -ENOMEM;
	}
	cJSON_Delete(o);
	conn_put(conn);
	if (r < 0)
		(void)lib_fail(err, r, "the network of sandbox '%s' was not changed: %s", sb->config.name, why ? bv_error_message(why) : strerror(-r));
	bv_error_free(why);
	return r;
}

int bv_sandbox_set_network(BvSandbox *sb, const BvNetworkChange *change, BvError **err)
{
	BvNetworkChange o = BV_NETWORK_CHANGE_INIT;
	CLEAN_CONFIG SandboxConfig now = {0}, then = {0};

	if (lib_take_options(&o, sizeof(o), change) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	int r = network_now(sb, &now, err);
	if (r == 0)
		r = make_rules(&now, &o, &then, err);
	if (r == 0)
		r = tell_supervisor(sb, &then, err);
	return r == 0 ? write_file(sb, &then, err) : r;
}

static const char *text_of(const cJSON *o, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));

	return text ? text : "";
}

static double number_of(const cJSON *o, const char *name)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);

	return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

/* `o`: of the supervisor (net_json), or NULL: it is stopped. */
static int show(const cJSON *o, const BvSandbox *sb, const SandboxConfig *now, int (*visit)(void *ctx, const BvNetwork *network), void *ctx)
{
	static const char *const nothing[] = {NULL};
	const cJSON *last = cJSON_GetObjectItemCaseSensitive(o, "last"), *item;
	size_t n = (size_t)cJSON_GetArraySize(last);
	CLEAN_FREE BvDenied *list = calloc(n + 1, sizeof(*list));
	BvNetwork network = {.mode = now->net ? now->net : "host", .allow = now->allow ? (const char *const *)now->allow : nothing, .denied = (uint64_t)number_of(o, "denied"), .last = list, .publish = sb->config.publish ? (const char *const *)sb->config.publish : nothing};

	if (!list)
		return -ENOMEM;
	cJSON_ArrayForEach(item, last) list[network.n_last++] =
		(BvDenied){.time = (int64_t)number_of(item, "time"), .pid = (pid_t)number_of(item, "pid"), .comm = text_of(item, "comm"), .protocol = text_of(item, "protocol"),
			   .to = text_of(item, "to"), .why = text_of(item, "why"), .count = (uint64_t)number_of(item, "count")};
	return visit(ctx, &network);
}

int bv_sandbox_network(BvSandbox *sb, int (*visit)(void *ctx, const BvNetwork *network), void *ctx, BvError **err)
{
	CLEAN_CONFIG SandboxConfig now = {0};
	cJSON *answer = NULL;
	Conn *conn = NULL;
	BvError *why = NULL;
	int r = sandbox_connect(sb, false, &conn, &why);

	if (r == 0)
		r = conn_call(conn, conn_request("stats"), NULL, 0, &answer, &why);
	conn_put(conn);
	if (r < 0 && r != -ESRCH)
		(void)lib_fail(err, r, "%s", bv_error_message(why));
	else
		r = network_now(sb, &now, err);
	bv_error_free(why);
	if (r == 0)
		r = show(cJSON_GetObjectItemCaseSensitive(answer, "net"), sb, &now, visit, ctx);
	if (r == -ENOMEM)
		(void)lib_fail(err, r, "out of memory");
	cJSON_Delete(answer);
	return r;
}
