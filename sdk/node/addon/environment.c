/* environment.c - the way of a result back to its JavaScript thread.
 *
 * Invariant: `wake` is valid as long as it is not NULL, and whoever uses it holds mu. It becomes NULL in a cleanup hook, which Node calls before it takes the function away, as it was
 * added later; from then on results are dropped where they are made. */
#include "addon.h"

struct Environment {
	atomic_uint refs;
	pthread_mutex_t mu;
	napi_threadsafe_function wake; /* protected by mu */
	unsigned holds;		       /* of the environment's own thread */
};

Environment *environment_get(Environment *e)
{
	atomic_fetch_add(&e->refs, 1);
	return e;
}

void environment_put(Environment *e)
{
	if (!e || atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&e->mu);
	free(e);
}

static void end(void *data)
{
	Environment *e = data;

	pthread_mutex_lock(&e->mu);
	e->wake = NULL;
	pthread_mutex_unlock(&e->mu);
	environment_put(e);
}

static void deliver(napi_env env, napi_value callback, void *context, void *data)
{
	(void)callback;
	(void)context;
	if (env)
		job_deliver(env, data);
	else
		job_free(data); /* what was queued when the environment ended */
}

Environment *environment_new(napi_env env)
{
	Environment *e = calloc(1, sizeof(*e));
	napi_value name;

	if (!e) {
		napi_throw_error(env, "ENOMEM", "out of memory");
		return NULL;
	}
	atomic_init(&e->refs, 1);
	pthread_mutex_init(&e->mu, NULL);
	if (napi_create_string_utf8(env, "bvisor", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, NULL, deliver, &e->wake) != napi_ok ||
	    napi_unref_threadsafe_function(env, e->wake) != napi_ok || napi_add_env_cleanup_hook(env, end, e) != napi_ok) {
		napi_throw_error(env, NULL, "bvisor: cannot take part in the event loop");
		environment_put(e);
		return NULL;
	}
	return e;
}

void environment_hold(Environment *e, napi_env env)
{
	if (e->holds++ == 0 && e->wake)
		napi_ref_threadsafe_function(env, e->wake);
}

void environment_release(Environment *e, napi_env env)
{
	if (e->holds > 0 && --e->holds == 0 && e->wake)
		napi_unref_threadsafe_function(env, e->wake);
}

void environment_finish(Environment *e, Job *job)
{
	bool told = false;

	pthread_mutex_lock(&e->mu);
	if (e->wake)
		told = napi_call_threadsafe_function(e->wake, job, napi_tsfn_nonblocking) == napi_ok;
	pthread_mutex_unlock(&e->mu);
	if (!told)
		job_free(job);
}
