/* sandbox_ops.c - making, opening, closing sandboxes; what they may use and reach. */
#include "addon.h"

/* ---- making and opening ---- */

static void describe(Job *job, BvSandbox *handle)
{
	cJSON *o = out_object(job);

	add_text(o, "name", bv_sandbox_name(handle));
	add_text(o, "dir", bv_sandbox_dir(handle));
	add_text(o, "place", bv_sandbox_place(handle));
	add_texts(o, "env", bv_sandbox_environment(handle));
}

/* The result is the sandbox; the handle is taken over. Also for restore (snapshot_ops.c). */
int sandbox_result(Job *job, BvSandbox *handle)
{
	describe(job, handle);
	job->made = sandbox_new(handle);
	return job->made ? 0 : -ENOMEM;
}

/* Also for restore. */
void arg_limits(const Job *job, BvLimits *l)
{
	*l = (BvLimits)BV_LIMITS_INIT;
	l->flags = arg_flag(job, "bestEffort") ? BV_LIMITS_BEST_EFFORT : 0;
	l->cpus = arg_number(job, "cpus", 0);
	l->memory = (uint64_t)arg_number(job, "memory", 0);
	l->pids = (uint64_t)arg_number(job, "pids", 0);
	l->io_read = (uint64_t)arg_number(job, "ioRead", 0);
	l->io_write = (uint64_t)arg_number(job, "ioWrite", 0);
	l->nofile = (uint64_t)arg_number(job, "nofile", 0);
	l->disk = (uint64_t)arg_number(job, "disk", 0);
	l->disk_files = (uint64_t)arg_number(job, "diskFiles", 0);
}

static unsigned create_flags(const Job *job)
{
	return (arg_flag(job, "readOnly") ? BV_CREATE_READ_ONLY : 0U) | (arg_flag(job, "continuous") ? BV_CREATE_CONTINUOUS : 0U) | (arg_flag(job, "fakeRoot") ? BV_CREATE_FAKE_ROOT : 0U) |
	       (arg_flag(job, "pidns") ? BV_CREATE_PIDNS : 0U) | (arg_flag(job, "keep") ? 0U : BV_CREATE_EPHEMERAL);
}

static int create(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **rw = arg_list(job, "rw", &failed), **hide = arg_list(job, "hide", &failed), **show = arg_list(job, "show", &failed);
	CLEAN_LIST const char **env = arg_list(job, "env", &failed), **allow = arg_list(job, "allow", &failed), **publish = arg_list(job, "publish", &failed);
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	BvLimits limits;
	BvKeyOptions key;
	BvSandbox *handle = NULL;

	arg_limits(job, &limits);
	o.flags = create_flags(job);
	o.store = arg_text(job, "store");
	o.name = arg_text(job, "name");
	o.backend = arg_text(job, "backend");
	o.cwd = arg_text(job, "cwd");
	o.net = arg_text(job, "net");
	o.dns = arg_text(job, "dns");
	o.hostname = arg_text(job, "hostname");
	o.kernel_release = arg_text(job, "kernelRelease");
	o.spool = (uint64_t)arg_number(job, "spool", 0);
	o.rw = rw, o.hide = hide, o.show = show, o.env = env, o.allow = allow, o.publish = publish;
	o.limits = &limits;
	int r = failed ? -ENOMEM : bv_sandbox_create(&o, &handle, &job->err);
	if (r == 0 && arg_key(job, &key))
		r = bv_sandbox_set_key(handle, &key, &job->err);
	if (r < 0)
		bv_sandbox_close(handle);
	return r < 0 ? r : sandbox_result(job, handle);
}

static int open_existing(Job *job)
{
	BvKeyOptions key;
	BvSandbox *handle = NULL;
	int r = bv_sandbox_open(arg_text(job, "store"), arg_text(job, "name"), &handle, &job->err);

	if (r == 0 && arg_key(job, &key))
		r = bv_sandbox_set_key(handle, &key, &job->err);
	if (r < 0)
		bv_sandbox_close(handle);
	return r < 0 ? r : sandbox_result(job, handle);
}

static int add_sandbox(void *list, const BvSandboxInfo *info)
{
	cJSON *o = add_object(list);

	add_text(o, "name", info->name);
	add_text(o, "dir", info->dir);
	add_text(o, "backend", info->backend);
	add_text(o, "cwd", info->cwd);
	add_texts(o, "command", info->command);
	add_time(o, "created", info->created_sec, info->created_nsec);
	add_flag(o, "running", info->running);
	add_flag(o, "unnamed", info->unnamed);
	add_text(o, "damage", info->damage);
	return 0;
}

static int list(Job *job)
{
	return bv_sandbox_list(arg_text(job, "store"), add_sandbox, out_list(job), &job->err);
}

/* ---- the end ---- */

static int close_it(Job *job)
{
	sandbox_shut(job->sandbox);
	return 0;
}

static int remove_it(Job *job)
{
	return bv_sandbox_remove(job->sandbox->handle, arg_flag(job, "force"), &job->err);
}

static int stop(Job *job)
{
	return bv_sandbox_stop(job->sandbox->handle, &job->err);
}

static int kill_all(Job *job)
{
	return bv_sandbox_kill(job->sandbox->handle, (int)arg_number(job, "signal", -1), &job->err);
}

/* ---- looking ---- */

static int add_process(void *list_, const BvProcessInfo *info)
{
	const char state[2] = {info->state, '\0'};
	cJSON *o = add_object(list_);

	add_number(o, "pid", info->pid);
	add_number(o, "ppid", info->ppid);
	add_number(o, "id", (double)info->id);
	add_text(o, "state", state);
	add_text(o, "comm", info->comm);
	add_texts(o, "args", info->args);
	add_time(o, "start", info->start, 0);
	return 0;
}

static int processes(Job *job)
{
	return bv_sandbox_ps(job->sandbox->handle, add_process, out_list(job), &job->err);
}

static int stats(Job *job)
{
	char *json = NULL;
	int r = bv_sandbox_stats(job->sandbox->handle, &json, &job->err);

	if (r < 0)
		return r;
	job->out = cJSON_Parse(json);
	bv_free(json);
	return job->out ? 0 : -EPROTO;
}

static int visit_limit(void *list_, const BvLimitInfo *info)
{
	add_limit(list_, info);
	return 0;
}

static int limits(Job *job)
{
	int r = bv_sandbox_limits(job->sandbox->handle, visit_limit, out_list(job), &job->err);

	return r == -ESRCH ? 0 : r; /* stopped, and none was ever reached */
}

/* As arg_limits takes them. */
static int given_limits(Job *job)
{
	BvLimits l = BV_LIMITS_INIT;
	int r = bv_sandbox_given_limits(job->sandbox->handle, &l, &job->err);
	cJSON *o = out_object(job);

	add_flag(o, "bestEffort", l.flags & BV_LIMITS_BEST_EFFORT);
	const struct {
		const char *name;
		double value;
	} fields[] = {{"cpus", l.cpus},	      {"memory", (double)l.memory},   {"pids", (double)l.pids}, {"ioRead", (double)l.io_read},
		      {"ioWrite", (double)l.io_write}, {"nofile", (double)l.nofile}, {"disk", (double)l.disk}, {"diskFiles", (double)l.disk_files}};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].value > 0)
			add_number(o, fields[i].name, fields[i].value);
	return r;
}

static int warning(Job *job)
{
	add_text(out_object(job), "warning", bv_sandbox_warning(job->sandbox->handle));
	return 0;
}

/* ---- network ---- */

static int set_network(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **allow = arg_list(job, "allow", &failed), **deny = arg_list(job, "deny", &failed);
	BvNetworkChange change = BV_NETWORK_CHANGE_INIT;

	change.net = arg_text(job, "net");
	change.allow = allow;
	change.deny = deny;
	return failed ? -ENOMEM : bv_sandbox_set_network(job->sandbox->handle, &change, &job->err);
}

static int add_network(void *ctx, const BvNetwork *network)
{
	cJSON *o = ctx;

	add_text(o, "mode", network->mode);
	add_texts(o, "allow", network->allow);
	add_texts(o, "publish", network->publish);
	add_number(o, "denied", (double)network->denied);
	cJSON *last = cJSON_AddArrayToObject(o, "last");
	for (size_t i = 0; i < network->n_last; i++) {
		const BvDenied *d = &network->last[i];
		cJSON *item = add_object(last);
		add_time(item, "time", d->time, 0);
		add_number(item, "pid", d->pid);
		add_text(item, "comm", d->comm);
		add_text(item, "protocol", d->protocol);
		add_text(item, "to", d->to);
		add_text(item, "why", d->why);
		add_number(item, "count", (double)d->count);
	}
	return 0;
}

static int network(Job *job)
{
	return bv_sandbox_network(job->sandbox->handle, add_network, out_object(job), &job->err);
}

const Op sandbox_ops[] = {
	{"create", 0, create},
	{"open", 0, open_existing},
	{"list", 0, list},
	{"close", OP_SANDBOX | OP_SHUTS | OP_OWN_THREAD, close_it},
	{"remove", OP_SANDBOX | OP_OWN_THREAD, remove_it},
	{"stop", OP_SANDBOX | OP_OWN_THREAD, stop},
	{"kill", OP_SANDBOX, kill_all},
	{"processes", OP_SANDBOX, processes},
	{"stats", OP_SANDBOX, stats},
	{"limits", OP_SANDBOX, limits},
	{"limits.given", OP_SANDBOX, given_limits},
	{"warning", OP_SANDBOX, warning},
	{"setNetwork", OP_SANDBOX, set_network},
	{"network", OP_SANDBOX, network},
	{NULL, 0, NULL},
};
