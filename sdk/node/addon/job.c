/* job.c - what JavaScript asks for, from its arguments to its result. */
#include "addon.h"

/* Of objects that JavaScript has of this addon, and nobody else can make. */
static const napi_type_tag sandbox_tag = {0x62766973616e6462, 0x6f78000000000001}, child_tag = {0x6276697363686c64, 0x0000000000000002};

/* ---- arguments and results of operations ---- */

const char *arg_text(const Job *job, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job->in, name));
}

double arg_number(const Job *job, const char *name, double otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(job->in, name);

	return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

bool arg_flag(const Job *job, const char *name)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(job->in, name));
}

const char **arg_list(const Job *job, const char *name, bool *failed)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(job->in, name), *item;
	const char **list;
	size_t n = 0;

	if (!cJSON_IsArray(array))
		return NULL;
	list = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(*list));
	if (!list) {
		*failed = true;
		return NULL;
	}
	cJSON_ArrayForEach(item, array)
		if (cJSON_IsString(item))
			list[n++] = item->valuestring;
	return list;
}

const BvKeyOptions *arg_key(const Job *job, BvKeyOptions *key)
{
	*key = (BvKeyOptions)BV_KEY_OPTIONS_INIT;
	key->key_file = arg_text(job, "keyFile");
	key->passphrase_file = arg_text(job, "passphraseFile");
	return key->key_file || key->passphrase_file ? key : NULL;
}

cJSON *out_object(Job *job)
{
	return job->out = cJSON_CreateObject();
}

cJSON *out_list(Job *job)
{
	return job->out = cJSON_CreateArray();
}

cJSON *add_object(cJSON *list)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddItemToArray(list, o);
	return o;
}

void add_text(cJSON *o, const char *name, const char *text)
{
	if (text)
		cJSON_AddStringToObject(o, name, text);
	else
		cJSON_AddNullToObject(o, name);
}

void add_number(cJSON *o, const char *name, double number)
{
	cJSON_AddNumberToObject(o, name, number);
}

void add_flag(cJSON *o, const char *name, bool flag)
{
	cJSON_AddBoolToObject(o, name, flag);
}

void add_texts(cJSON *o, const char *name, const char *const *list)
{
	cJSON *array = cJSON_AddArrayToObject(o, name);

	for (size_t i = 0; list && list[i]; i++)
		cJSON_AddItemToArray(array, cJSON_CreateString(list[i]));
}

void add_time(cJSON *o, const char *name, int64_t seconds, long nanoseconds)
{
	cJSON_AddNumberToObject(o, name, (double)seconds * 1e3 + (double)nanoseconds / 1e6);
}

void add_limit(cJSON *list, const BvLimitInfo *info)
{
	cJSON *o = add_object(list);

	add_text(o, "name", info->name);
	add_text(o, "by", info->by);
	add_number(o, "limit", info->limit);
	add_number(o, "peak", (double)info->peak);
	add_number(o, "hits", (double)info->hits);
}

int add_entry(void *list, const BvEntry *entry)
{
	cJSON *o = add_object(list);

	add_text(o, "path", entry->path);
	add_text(o, "name", entry->name);
	add_number(o, "mode", entry->mode);
	add_number(o, "uid", entry->uid);
	add_number(o, "gid", entry->gid);
	add_number(o, "size", (double)entry->bytes);
	add_number(o, "ino", (double)entry->ino);
	add_number(o, "links", entry->links);
	add_time(o, "mtimeMs", entry->mtime_sec, entry->mtime_nsec);
	add_text(o, "target", entry->target);
	return 0;
}

/* ---- from JavaScript ---- */

static const Op *find_op(const char *name)
{
	static const Op *const tables[] = {sandbox_ops, process_ops, file_ops, snapshot_ops};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const Op *op = tables[i]; op->name; op++)
			if (strcmp(op->name, name) == 0)
				return op;
	return NULL;
}

static char *take_text(napi_env env, napi_value value, size_t *len)
{
	char *text;

	if (napi_get_value_string_utf8(env, value, NULL, 0, len) != napi_ok)
		return NULL;
	text = malloc(*len + 1);
	if (text && napi_get_value_string_utf8(env, value, text, *len + 1, len) != napi_ok)
		free(TAKE_PTR(text));
	return text;
}

/* A reference of the handle for the job. 0, -EINVAL (not of this kind), -EBADF (it is closed). */
static int take_handle(napi_env env, napi_value value, Job *job)
{
	const Op *op = job->op;
	bool child = op->flags & OP_CHILD, right = false;
	void *data = NULL;

	if (!(op->flags & (OP_SANDBOX | OP_CHILD)))
		return 0;
	if (napi_check_object_type_tag(env, value, child ? &child_tag : &sandbox_tag, &right) != napi_ok || !right || napi_unwrap(env, value, &data) != napi_ok)
		return -EINVAL;
	SandboxRef *s = child ? ((Child *)data)->sandbox : data;
	if (!(op->flags & OP_SHUTS) && !sandbox_enter(s))
		return -EBADF;
	job->sandbox = sandbox_get(s);
	if (child)
		child_get(job->child = data);
	return 0;
}

static int take_bytes(napi_env env, napi_value value, Job *job)
{
	napi_typedarray_type type;
	bool is_array = false;
	void *data = NULL;

	if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array)
		return 0;
	if (napi_get_typedarray_info(env, value, &type, &job->len, &data, NULL, NULL) != napi_ok || type != napi_uint8_array)
		return -EINVAL;
	job->data = malloc(job->len + 1);
	if (!job->data)
		return -ENOMEM;
	if (job->len > 0)
		memcpy(job->data, data, job->len);
	return 0;
}

static int take_arguments(napi_env env, const napi_value args[4], Job *job)
{
	size_t len = 0;
	CLEAN_FREE char *name = take_text(env, args[0], &len);
	CLEAN_FREE char *json = take_text(env, args[2], &len);

	job->op = name ? find_op(name) : NULL;
	job->in = json ? cJSON_ParseWithLength(json, len) : NULL;
	if (!job->op || !job->in)
		return -EINVAL;
	int r = take_bytes(env, args[3], job);
	return r < 0 ? r : take_handle(env, args[1], job);
}

/* ---- to JavaScript ---- */

static bool set_text(napi_env env, napi_value object, const char *name, const char *text)
{
	napi_value value;

	return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok && napi_set_named_property(env, object, name, value) == napi_ok;
}

static void set_number(napi_env env, napi_value object, const char *name, double number)
{
	napi_value value;

	if (napi_create_double(env, number, &value) == napi_ok)
		napi_set_named_property(env, object, name, value);
}

static void finalize_sandbox(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	job_shut_later(data);
}

static void finalize_child(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	child_put(data);
}

/* Hands the reference over to a new object. False: there is none. */
static bool set_handle(napi_env env, napi_value result, Job *job)
{
	bool child = job->born;
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, child ? &child_tag : &sandbox_tag) != napi_ok ||
	    napi_wrap(env, object, child ? (void *)job->born : job->made, child ? finalize_child : finalize_sandbox, NULL, NULL) != napi_ok)
		return false; /* job_free gives it back */
	if (child)
		job->born = NULL;
	else
		job->made = NULL;
	return napi_set_named_property(env, result, "handle", object) == napi_ok;
}

static void set_fds(napi_env env, napi_value result, Job *job)
{
	napi_value list, value;

	if (napi_create_array_with_length(env, ARRAY_LEN(job->fds), &list) != napi_ok)
		return;
	for (uint32_t i = 0; i < ARRAY_LEN(job->fds); i++)
		if (napi_create_int32(env, job->fds[i], &value) == napi_ok && napi_set_element(env, list, i, value) == napi_ok)
			job->fds[i] = -1;
	napi_set_named_property(env, result, "fds", list);
}

/* 0; -EFBIG: it is more than JavaScript can have in one piece. */
static int fill_result(napi_env env, napi_value result, Job *job)
{
	CLEAN_FREE char *json = job->out ? cJSON_PrintUnformatted(job->out) : NULL;
	napi_value value;

	if (job->out && !json)
		return -ENOMEM;
	if (!set_text(env, result, "json", json ? json : "null"))
		return -EFBIG;
	if (job->bytes && (napi_create_buffer_copy(env, job->n_bytes, job->bytes, NULL, &value) != napi_ok || napi_set_named_property(env, result, "bytes", value) != napi_ok))
		return -EFBIG;
	if ((job->born || job->made) && !set_handle(env, result, job))
		return -ENOMEM;
	set_fds(env, result, job);
	return 0;
}

/* What a call of Node-API has thrown on its way. */
static void clear_exception(napi_env env)
{
	napi_value exception;
	bool pending = false;

	if (napi_is_exception_pending(env, &pending) == napi_ok && pending)
		napi_get_and_clear_last_exception(env, &exception);
}

static void fill_failure(napi_env env, napi_value result, const Job *job)
{
	const char *message = bv_error_message(job->err), *code = strerrorname_np(-job->code);

	set_number(env, result, "errno", job->code);
	set_text(env, result, "code", code ? code : "EIO");
	set_text(env, result, "message", message[0] ? message : job->code == -EBADF ? "the sandbox is closed" : strerror(-job->code));
	set_text(env, result, "stage", bv_error_stage(job->err));
}

static void settle(napi_env env, Job *job)
{
	napi_value result;

	if (napi_create_object(env, &result) != napi_ok)
		return;
	if (job->code >= 0)
		job->code = MIN(fill_result(env, result, job), 0);
	clear_exception(env);
	if (job->code < 0) {
		fill_failure(env, result, job);
		napi_reject_deferred(env, job->deferred, result);
	} else {
		napi_resolve_deferred(env, job->deferred, result);
	}
}

void job_deliver(napi_env env, Job *job)
{
	napi_handle_scope scope;

	if (napi_open_handle_scope(env, &scope) == napi_ok) {
		if (job->held)
			environment_release(job->environment, env);
		settle(env, job);
		napi_close_handle_scope(env, scope);
	}
	job_free(job);
}

void job_free(Job *job)
{
	child_put(job->born);
	sandbox_put(job->made);
	child_put(job->child);
	sandbox_put(job->sandbox);
	for (size_t i = 0; i < ARRAY_LEN(job->fds); i++)
		bv_close_fd(&job->fds[i]);
	cJSON_Delete(job->in);
	cJSON_Delete(job->out);
	bv_error_free(job->err);
	free(job->bytes);
	free(job->data);
	environment_put(job->environment);
	free(job);
}

static Job *job_new(void)
{
	Job *job = calloc(1, sizeof(*job));

	if (job)
		job->fds[0] = job->fds[1] = job->fds[2] = -1;
	return job;
}

napi_value job_submit(napi_env env, napi_callback_info info)
{
	size_t n = 4;
	napi_value args[4], promise = NULL;
	Environment *e = NULL;
	Job *job = job_new();

	if (!job || napi_get_cb_info(env, info, &n, args, NULL, NULL) != napi_ok || napi_get_instance_data(env, (void **)&e) != napi_ok || !e ||
	    napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
		free(job);
		napi_throw_error(env, "ENOMEM", "out of memory");
		return NULL;
	}
	job->environment = environment_get(e);
	job->code = take_arguments(env, args, job);
	if (job->code < 0) {
		settle(env, job);
		job_free(job);
		return promise;
	}
	job->held = !(job->op->flags & OP_UNHELD);
	if (job->held)
		environment_hold(e, env);
	pool_run(job);
	return promise;
}

/* ---- without JavaScript ---- */

static int shut(Job *job)
{
	sandbox_shut(job->sandbox);
	return 0;
}

void job_shut_later(SandboxRef *s)
{
	static const Op op = {"shut", OP_OWN_THREAD | OP_SANDBOX | OP_SHUTS, shut};
	Job *job = job_new();

	if (!job) {
		sandbox_put(s);
		return;
	}
	job->op = &op;
	job->sandbox = s;
	pool_run(job);
}
