/* lib/network.c - what a sandbox may reach over the network, as it is described. What it means: base/netrule.h, supervisor/net.h. */
#include "lib/internal.h"

#include "base/netrule.h"

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

int network_config(const char *net, const char *const *allow, const char *dns, SandboxConfig *c, BvError **err)
{
	int r = 0;

	if (net && !is_mode(net))
		return lib_fail(err, -EINVAL, "'%s' is no network: host, internet or none", net);
	c->net = strdup(net ? net : allow && allow[0] ? "none" : "host");
	c->dns = dns ? strdup(dns) : NULL;
	if (!c->net || (dns && !c->dns))
		r = -ENOMEM;
	if (r == 0 && dns)
		r = check_servers(dns, err);
	for (size_t i = 0; r == 0 && allow && allow[i]; i++)
		r = add_rule(&c->allow, allow[i], err);
	return r == -ENOMEM ? lib_fail(err, r, "out of memory") : r;
}

bool network_is_rule(const char *text)
{
	NetRule rule = {0};
	bool good = net_rule_parse(text, &rule, NULL) == 0 && rule.kind != NET_RULE_UNIX;

	net_rule_release(&rule);
	return good;
}

bool network_request(cJSON *req, const SandboxConfig *c)
{
	cJSON *allow = cJSON_CreateStringArray((const char *const *)c->allow, (int)strv_len((const char *const *)c->allow));

	if (!allow)
		allow = cJSON_CreateArray();
	return cJSON_AddItemToObject(req, "allow", allow) && cJSON_AddStringToObject(req, "net", c->net ? c->net : "host") && (!c->dns || cJSON_AddStringToObject(req, "dns", c->dns));
}
