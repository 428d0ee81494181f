/* lib/config.c - sandbox.json: the description of a sandbox, written once when it is made.
 *
 * The file is written into a directory that is not published yet, so readers never see half of it. It is not synced here: the supervisor
 * syncs it before the first durable commit, so that starting a command costs no disk flush. */
#include "lib/internal.h"
#include "lib/limits.h"

#include <fcntl.h>

#define CONFIG_FILE "sandbox.json"
#define CONFIG_MAX (8 * 1024 * 1024)

void config_set_fake_root(SandboxConfig *config, bool on)
{
	config->fake_root = on;
	config->uid = on ? geteuid() : 0;
	config->gid = on ? getegid() : 0;
}

uid_t config_shows_uid(const SandboxConfig *config, uid_t uid)
{
	return config->fake_root && uid == config->uid ? 0 : uid;
}

gid_t config_shows_gid(const SandboxConfig *config, gid_t gid)
{
	return config->fake_root && gid == config->gid ? 0 : gid;
}

static const char *const pidns_words[] = {[PIDNS_NONE] = NULL, [PIDNS_IF_PERMITTED] = "if permitted", [PIDNS_REQUIRED] = "required"};

const char *config_pidns_word(PidnsWish wish)
{
	return pidns_words[wish];
}

void config_release(SandboxConfig *config)
{
	free(config->name);
	free(config->backend);
	free(config->data_dir);
	free(config->cwd);
	free(config->hostname);
	free(config->kernel_release);
	strv_free(config->command);
	strv_free(config->rw);
	strv_free(config->hide);
	strv_free(config->show);
	strv_free(config->env);
	free(config->net);
	free(config->dns);
	strv_free(config->allow);
	strv_free(config->publish);
	memset(config, 0, sizeof(*config));
}

bool config_add_list(cJSON *json, const char *key, Strv list)
{
	cJSON *array = cJSON_AddArrayToObject(json, key);

	if (!array)
		return false;
	for (size_t i = 0; list && list[i]; i++)
		if (!cJSON_AddItemToArray(array, cJSON_CreateString(list[i])))
			return false;
	return true;
}

static bool fill_json(cJSON *json, const SandboxConfig *c)
{
	return json && cJSON_AddNumberToObject(json, "format", SANDBOX_FORMAT) && cJSON_AddStringToObject(json, "name", c->name) &&
	       cJSON_AddNumberToObject(json, "created", (double)c->created_sec) &&
	       cJSON_AddNumberToObject(json, "created_nsec", (double)c->created_nsec) &&
	       ((c->since_sec == c->created_sec && c->since_nsec == c->created_nsec) ||
		(cJSON_AddNumberToObject(json, "since", (double)c->since_sec) && cJSON_AddNumberToObject(json, "since_nsec", (double)c->since_nsec))) && cJSON_AddStringToObject(json, "backend", c->backend) &&
	       (!c->data_dir || cJSON_AddStringToObject(json, "data", c->data_dir)) && (!c->cwd || cJSON_AddStringToObject(json, "cwd", c->cwd)) &&
	       config_add_list(json, "command", c->command) && config_add_list(json, "rw", c->rw) && config_add_list(json, "hide", c->hide) &&
	       config_add_list(json, "show", c->show) && cJSON_AddBoolToObject(json, "ro", c->ro) && cJSON_AddBoolToObject(json, "unnamed", c->unnamed) &&
	       (!c->env || config_add_list(json, "env", c->env)) && (!c->ephemeral || cJSON_AddTrueToObject(json, "ephemeral")) && (!c->spool || cJSON_AddNumberToObject(json, "spool", (double)c->spool)) &&
	       (!c->fake_root || (cJSON_AddTrueToObject(json, "fake_root") && cJSON_AddNumberToObject(json, "uid", c->uid) && cJSON_AddNumberToObject(json, "gid", c->gid))) &&
	       (!c->pidns || cJSON_AddStringToObject(json, "pidns", config_pidns_word(c->pidns))) && (!c->continuous || cJSON_AddTrueToObject(json, "continuous")) && (!c->carries || cJSON_AddTrueToObject(json, "carries")) &&
	       (!c->net || cJSON_AddStringToObject(json, "net", c->net)) && (!c->dns || cJSON_AddStringToObject(json, "dns", c->dns)) && (!c->allow || config_add_list(json, "allow", c->allow)) && (!c->publish || config_add_list(json, "publish", c->publish)) &&
	       (!c->hostname || cJSON_AddStringToObject(json, "hostname", c->hostname)) && (!c->kernel_release || cJSON_AddStringToObject(json, "kernel_release", c->kernel_release)) &&
	       lib_limits_add(json, &c->limits);
}

int config_write(int dirfd, const SandboxConfig *config, BvError **err)
{
	cJSON *json = cJSON_CreateObject();
	CLEAN_FREE char *text = fill_json(json, config) ? cJSON_Print(json) : NULL;
	CLEAN_FD int fd = -1;
	int r;

	cJSON_Delete(json);
	if (!text)
		return lib_fail(err, -ENOMEM, "out of memory");
	fd = openat(dirfd, CONFIG_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = bv_neg_errno();
		return lib_fail(err, r, "cannot write %s: %s", CONFIG_FILE, strerror(-r));
	}
	r = bv_write_full(fd, text, strlen(text));
	return r < 0 ? lib_fail(err, r, "cannot write %s: %s", CONFIG_FILE, strerror(-r)) : 0;
}

static int get_string(const cJSON *json, const char *key, bool needed, char **out)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	if (!text)
		return needed ? -EUCLEAN : 0;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int get_list(const cJSON *json, const char *key, Strv *out)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, key);
	const cJSON *item;

	if (!cJSON_IsArray(array))
		return -EUCLEAN;
	cJSON_ArrayForEach(item, array)
	{
		int r = cJSON_IsString(item) ? strv_add(out, item->valuestring) : -EUCLEAN;
		if (r < 0)
			return r;
	}
	return 0;
}

static int get_fake_root(const cJSON *json, SandboxConfig *c)
{
	const cJSON *uid = cJSON_GetObjectItemCaseSensitive(json, "uid"), *gid = cJSON_GetObjectItemCaseSensitive(json, "gid");

	c->fake_root = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "fake_root"));
	if (!c->fake_root)
		return 0;
	if (!cJSON_IsNumber(uid) || !cJSON_IsNumber(gid))
		return -EUCLEAN;
	c->uid = (uid_t)uid->valuedouble;
	c->gid = (gid_t)gid->valuedouble;
	return 0;
}

static int get_pidns(const cJSON *json, SandboxConfig *c)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "pidns");

	for (size_t i = PIDNS_IF_PERMITTED; i < ARRAY_LEN(pidns_words); i++)
		if (cJSON_IsString(item) && strcmp(item->valuestring, pidns_words[i]) == 0)
			c->pidns = (PidnsWish)i;
	return item && !c->pidns ? -EUCLEAN : 0; /* who has set it counts on it */
}

static int parse_config(const cJSON *json, SandboxConfig *c)
{
	const cJSON *created = cJSON_GetObjectItemCaseSensitive(json, "created");
	const cJSON *nsec = cJSON_GetObjectItemCaseSensitive(json, "created_nsec");
	const cJSON *since = cJSON_GetObjectItemCaseSensitive(json, "since");
	const cJSON *spool = cJSON_GetObjectItemCaseSensitive(json, "spool");
	const cJSON *since_nsec = cJSON_GetObjectItemCaseSensitive(json, "since_nsec");
	int r;

	if (!cJSON_IsNumber(created) || !cJSON_IsNumber(nsec) || (since && (!cJSON_IsNumber(since) || !cJSON_IsNumber(since_nsec))))
		return -EUCLEAN;
	c->created_sec = (int64_t)created->valuedouble;
	c->created_nsec = (long)nsec->valuedouble;
	c->since_sec = since ? (int64_t)since->valuedouble : c->created_sec;
	c->since_nsec = since ? (long)since_nsec->valuedouble : c->created_nsec;
	c->ro = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ro"));
	c->unnamed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "unnamed"));
	c->spool = cJSON_IsNumber(spool) && spool->valuedouble > 0 && spool->valuedouble < 9e15 ? (uint64_t)spool->valuedouble : 0;
	c->continuous = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "continuous"));
	r = get_fake_root(json, c);
	if (r < 0)
		return r;
	c->carries = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "carries"));
	c->ephemeral = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ephemeral"));
	if ((r = get_string(json, "name", true, &c->name)) < 0 || (r = get_string(json, "backend", true, &c->backend)) < 0 ||
	    (r = get_string(json, "net", false, &c->net)) < 0 || (r = get_string(json, "dns", false, &c->dns)) < 0 || (r = get_string(json, "data", false, &c->data_dir)) < 0 || (r = get_string(json, "cwd", false, &c->cwd)) < 0)
		return r;
	if ((r = get_string(json, "hostname", false, &c->hostname)) < 0 || (r = get_string(json, "kernel_release", false, &c->kernel_release)) < 0)
		return r;
	if ((c->hostname && !machine_is_hostname(c->hostname)) || (c->kernel_release && !machine_is_release(c->kernel_release)))
		return -EUCLEAN;
	if (c->data_dir && c->data_dir[0] != '/')
		return -EUCLEAN;
	if ((r = get_list(json, "command", &c->command)) < 0 || (r = get_list(json, "rw", &c->rw)) < 0 ||
	    (r = get_list(json, "hide", &c->hide)) < 0 || (r = get_list(json, "show", &c->show)) < 0)
		return r;
	if ((r = lib_limits_parse(json, &c->limits)) < 0 || (r = get_pidns(json, c)) < 0)
		return r;
	if (cJSON_HasObjectItem(json, "allow") && (r = get_list(json, "allow", &c->allow)) < 0)
		return r;
	if (cJSON_HasObjectItem(json, "publish") && (r = get_list(json, "publish", &c->publish)) < 0)
		return r;
	if (cJSON_HasObjectItem(json, "env") && (r = get_list(json, "env", &c->env)) < 0)
		return r;
	return 0;
}

static int check_format(const cJSON *json, BvError **err)
{
	const cJSON *format = cJSON_GetObjectItemCaseSensitive(json, "format");

	if (!cJSON_IsNumber(format) || format->valuedouble < 1)
		return lib_fail(err, -EUCLEAN, "%s is damaged: it holds no format number", CONFIG_FILE);
	if (format->valuedouble > SANDBOX_FORMAT)
		return lib_fail(err, -EPROTO, "%s has format %.0f, written by a newer bvisor (this one knows up to %d): use that one", CONFIG_FILE,
				format->valuedouble, SANDBOX_FORMAT);
	return 0;
}

int config_read(int dirfd, SandboxConfig *out, BvError **err)
{
	SandboxConfig config = {0};
	CLEAN_FREE char *text = NULL;
	ssize_t len = bv_read_file_at(dirfd, CONFIG_FILE, CONFIG_MAX, &text);
	cJSON *json;
	int r;

	if (len < 0)
		return lib_fail(err, (int)len, "cannot read %s: %s", CONFIG_FILE, strerror((int)-len));
	json = cJSON_ParseWithLength(text, (size_t)len);
	r = check_format(json, err);
	if (r == 0) {
		r = parse_config(json, &config);
		if (r < 0)
			(void)lib_fail(err, r, "%s is damaged: %s", CONFIG_FILE, r == -ENOMEM ? "out of memory" : "a field is missing or of the wrong type");
	}
	cJSON_Delete(json);
	if (r < 0) {
		config_release(&config);
		return r;
	}
	*out = config;
	return 0;
}

int sandbox_write_json(const BvSandbox *sb, const char *file, const cJSON *o, BvError **err)
{
	CLEAN_FREE char *text = o ? cJSON_Print(o) : NULL;
	CLEAN_FD int fd = -1;
	char name[64];

	if (!text)
		return lib_fail(err, -ENOMEM, "out of memory");
	snprintf(name, sizeof(name), ".%s.%d", file, getpid());
	fd = openat(sb->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? bv_neg_errno() : bv_write_full(fd, text, strlen(text));
	if (r == 0 && (fsync(fd) < 0 || renameat(sb->dirfd, name, sb->dirfd, file) < 0 || fsync(sb->dirfd) < 0))
		r = bv_neg_errno();
	if (r < 0)
		(void)unlinkat(sb->dirfd, name, 0);
	return r < 0 ? lib_fail(err, r, "cannot write %s/%s: %s", sb->dir, file, strerror(-r)) : 0;
}
