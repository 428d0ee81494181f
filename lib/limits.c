#include "lib/limits.h"
#include "lib/conn.h"

#define CHANGED_FILE "limits.set.json"
#define CHANGED_MAX (64 << 10)
#define NUMBER_MAX 9e15 /* what a JSON number keeps exactly */

typedef struct Field {
	const char *name;
	size_t offset; /* of a uint64_t */
} Field;

static const Field fields[] = {
	{"memory", offsetof(BvLimits, memory)},
	{"pids", offsetof(BvLimits, pids)},
	{"io-read", offsetof(BvLimits, io_read)},
	{"io-write", offsetof(BvLimits, io_write)},
	{"disk", offsetof(BvLimits, disk)},
	{"disk-files", offsetof(BvLimits, disk_files)},
	{"nofile", offsetof(BvLimits, nofile)},
};

static uint64_t *value_of(BvLimits *limits, const Field *f)
{
	return (uint64_t *)(void *)((char *)limits + f->offset);
}

static uint64_t value(const BvLimits *limits, const Field *f)
{
	return *(const uint64_t *)(const void *)((const char *)limits + f->offset);
}

bool lib_limits_any(const BvLimits *limits)
{
	bool any = limits->cpus > 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		any |= value(limits, &fields[i]) != 0;
	return any;
}

static bool is_cpus(double cpus)
{
	return cpus == 0 || (cpus >= 0.01 && cpus <= 100000);
}

int lib_limits_take(const BvLimits *given, BvLimits *out, BvError **err)
{
	*out = (BvLimits)BV_LIMITS_INIT;
	if (lib_take_options(out, sizeof(*out), given) < 0)
		return lib_fail(err, -EINVAL, "the limits have a size that this library does not know");
	if (lib_check_flags(out->flags, BV_LIMITS_BEST_EFFORT, err) < 0)
		return -EINVAL;
	if (!is_cpus(out->cpus))
		return lib_fail(err, -EINVAL, "the limit cpus is %g: it takes 0.01 at least", out->cpus);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if ((double)value(out, &fields[i]) > NUMBER_MAX)
			return lib_fail(err, -EINVAL, "the limit %s is too large: %llu", fields[i].name, (unsigned long long)value(out, &fields[i]));
	return 0;
}

bool lib_limits_add(cJSON *object, const BvLimits *limits)
{
	if (!lib_limits_any(limits))
		return true;
	cJSON *o = cJSON_AddObjectToObject(object, "limits");
	bool added = o && cJSON_AddBoolToObject(o, "best_effort", limits->flags & BV_LIMITS_BEST_EFFORT) && (limits->cpus <= 0 || cJSON_AddNumberToObject(o, "cpus", limits->cpus));
	for (size_t i = 0; added && i < ARRAY_LEN(fields); i++)
		if (value(limits, &fields[i]))
			added = cJSON_AddNumberToObject(o, fields[i].name, (double)value(limits, &fields[i]));
	return added;
}

int lib_limits_parse(const cJSON *object, BvLimits *out)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(object, "limits");
	const cJSON *cpus = cJSON_GetObjectItemCaseSensitive(o, "cpus");

	*out = (BvLimits)BV_LIMITS_INIT;
	out->flags = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "best_effort")) ? BV_LIMITS_BEST_EFFORT : 0;
	out->cpus = cJSON_IsNumber(cpus) ? cpus->valuedouble : 0;
	if (!is_cpus(out->cpus))
		return -EUCLEAN;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, fields[i].name);
		if (item && !(cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble <= NUMBER_MAX))
			return -EUCLEAN; /* who has set it counts on it */
		*value_of(out, &fields[i]) = item ? (uint64_t)item->valuedouble : 0;
	}
	return 0;
}

/* ---- what was changed since ---- */

int lib_limits_now(const BvSandbox *sb, BvLimits *out, BvError **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t len = bv_read_file_at(sb->dirfd, CHANGED_FILE, CHANGED_MAX, &text);

	*out = sb->config.limits;
	if (len == -ENOENT)
		return 0;
	if (len < 0)
		return lib_fail(err, (int)len, "cannot read %s/%s: %s", sb->dir, CHANGED_FILE, strerror((int)-len));
	cJSON *o = cJSON_ParseWithLength(text, (size_t)len);
	int r = o ? lib_limits_parse(o, out) : -EUCLEAN;
	cJSON_Delete(o);
	return r < 0 ? lib_fail(err, r, "%s/%s is damaged: set the limits again", sb->dir, CHANGED_FILE) : 0;
}

int bv_sandbox_given_limits(BvSandbox *sb, BvLimits *out, BvError **err)
{
	BvLimits now;
	int r = lib_limits_now(sb, &now, err);

	if (r == 0)
		lib_give(out, &now, sizeof(now));
	return r;
}

/* ---- what was reached ---- */

static double number(const cJSON *item, const char *key)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(item, key);

	return cJSON_IsNumber(n) && n->valuedouble > 0 ? n->valuedouble : 0;
}

int lib_limits_visit(const cJSON *answer, int (*visit)(void *, const BvLimitInfo *), void *ctx)
{
	const cJSON *item;
	int r = 0;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "limits"))
	{
		const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name"));
		const char *by = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "by"));
		const BvLimitInfo info = {
			.name = name ? name : "",
			.by = by ? by : "nothing",
			.limit = number(item, "limit"),
			.peak = (uint64_t)number(item, "peak"),
			.hits = (uint64_t)number(item, "hits"),
		};
		r = visit(ctx, &info);
		if (r != 0)
			break;
	}
	return r;
}

/* What was reached when the last command of a stopped sandbox ended: {"running": false, "limits": [...]}. -ESRCH: there is none, *err stays as it was. */
static int read_saved(const BvSandbox *sb, cJSON **out, BvError **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(sb->dirfd, "limits.json", 1 << 20, &text);
	cJSON *list = n < 0 ? NULL : cJSON_ParseWithLength(text, (size_t)n), *o = cJSON_CreateObject();

	if (!cJSON_IsArray(list) || !o || !cJSON_AddFalseToObject(o, "running") || !cJSON_AddItemToObject(o, "limits", list)) {
		cJSON_Delete(list);
		cJSON_Delete(o);
		return -ESRCH;
	}
	lib_error_clear(err);
	*out = o;
	return 0;
}

/* A connection that the end of the supervisor has closed is found out by using it. */
int lib_stats(BvSandbox *sb, cJSON **out, BvError **err)
{
	int r = -ECONNRESET;

	for (int i = 0; i < 2 && r == -ECONNRESET; i++) {
		Conn *conn = NULL;
		lib_error_clear(err);
		r = sandbox_connect(sb, false, &conn, err);
		if (r == 0)
			r = conn_call(conn, conn_request("stats"), NULL, 0, out, err);
		if (r == -ECONNRESET)
			(void)sandbox_disconnect(sb, TAKE_PTR(conn));
		conn_put(conn);
	}
	return r == -ESRCH ? read_saved(sb, out, err) : r;
}

static bool is_running(BvSandbox *sb)
{
	cJSON *o = NULL;
	bool running = lib_stats(sb, &o, NULL) == 0 && !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "running"));

	cJSON_Delete(o);
	return running;
}

int bv_sandbox_set_limits(BvSandbox *sb, const BvLimits *limits, BvError **err)
{
	BvLimits taken;
	int r = lib_limits_take(limits, &taken, err);

	if (r < 0)
		return r;
	if (is_running(sb))
		return lib_fail(err, -EBUSY, "the limits of '%s' cannot be changed while it runs: stop it with `bvisor kill %s`", sb->config.name, sb->config.name);
	cJSON *o = cJSON_CreateObject();
	r = sandbox_write_json(sb, CHANGED_FILE, lib_limits_add(o, &taken) ? o : NULL, err);
	cJSON_Delete(o);
	return r;
}

int bv_sandbox_limits(BvSandbox *sb, int (*visit)(void *, const BvLimitInfo *), void *ctx, BvError **err)
{
	cJSON *answer = NULL;
	int r = lib_stats(sb, &answer, err);

	if (r == 0)
		r = lib_limits_visit(answer, visit, ctx);
	cJSON_Delete(answer);
	return r;
}

const char *bv_sandbox_warning(const BvSandbox *sb)
{
	return sb->warning;
}
