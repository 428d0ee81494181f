/* addon.c - what JavaScript sees of the addon: call, hold, release, withholds, version. */
#include "addon.h"

static Environment *environment_of(napi_env env)
{
	Environment *e = NULL;

	return napi_get_instance_data(env, (void **)&e) == napi_ok ? e : NULL;
}

/* hold(), release(): somebody waits for something that goes on by itself. */
static napi_value hold(napi_env env, napi_callback_info info)
{
	(void)info;
	Environment *e = environment_of(env);

	if (e)
		environment_hold(e, env);
	return NULL;
}

static napi_value release(napi_env env, napi_callback_info info)
{
	(void)info;
	Environment *e = environment_of(env);

	if (e)
		environment_release(e, env);
	return NULL;
}

/* withholds(variable): see bv_process_withholds. */
static napi_value withholds(napi_env env, napi_callback_info info)
{
	char name[256] = "";
	size_t n = 1;
	napi_value arg, result;

	if (napi_get_cb_info(env, info, &n, &arg, NULL, NULL) != napi_ok || napi_get_value_string_utf8(env, arg, name, sizeof(name), NULL) != napi_ok ||
	    napi_get_boolean(env, bv_process_withholds(name), &result) != napi_ok)
		return NULL;
	return result;
}

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	environment_put(data);
}

static napi_value init(napi_env env, napi_value exports)
{
	const napi_property_descriptor functions[] = {
		{.utf8name = "call", .method = job_submit, .attributes = napi_enumerable},
		{.utf8name = "hold", .method = hold, .attributes = napi_enumerable},
		{.utf8name = "release", .method = release, .attributes = napi_enumerable},
		{.utf8name = "withholds", .method = withholds, .attributes = napi_enumerable},
	};
	Environment *e = environment_new(env);
	napi_value version;

	if (!e)
		return NULL;
	/* One reference is that of the cleanup hook, this one that of the functions. */
	if (napi_set_instance_data(env, environment_get(e), finalize, NULL) != napi_ok || napi_define_properties(env, exports, ARRAY_LEN(functions), functions) != napi_ok ||
	    napi_create_string_utf8(env, bv_version(), NAPI_AUTO_LENGTH, &version) != napi_ok || napi_set_named_property(env, exports, "version", version) != napi_ok)
		napi_throw_error(env, NULL, "bvisor: cannot make the exports of the addon");
	return exports;
}

NAPI_MODULE(bvisor, init)
