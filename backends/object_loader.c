/* backends/object_loader.c - `s3:`: loads the plugin bvisor-s3.so at the first use. libcurl and OpenSSL with all that they need are some 30 libraries,
 * which would cost each start of bvisor milliseconds; most runs need none of them. */
#include "backends/backends.h"
#include "backends/object_plugin.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const ObjectOps *loaded; /* protected by lock */

static int load_locked(char **err)
{
	const PluginHead expected = {OBJECT_PLUGIN_NUMBER, sizeof(ObjectPlugin) + sizeof(ObjectRequest) + sizeof(ObjectOps)}, *head;
	int r = plugin_load("bvisor-s3.so", OBJECT_PLUGIN_SYMBOL, expected, "s3:// needs", "libcurl and OpenSSL", &head, err);

	if (r == 0)
		loaded = CONTAINER_OF(head, const ObjectPlugin, head)->ops;
	return r;
}

static int load_and_open(const char *location, bool create, ObjectStore **out, char **err)
{
	const ObjectOps *ops;
	int r;

	pthread_mutex_lock(&lock);
	r = loaded ? 0 : load_locked(err);
	ops = loaded;
	pthread_mutex_unlock(&lock);
	return r < 0 ? r : ops->open(location, create, out, err);
}

const ObjectOps object_s3_loader_ops = {.scheme = "s3", .open = load_and_open};
