/* backends/object_loader.c - `s3:` and `s3v2:`: loads the plugin bvisor-SCHEME.so at the first use. libcurl and OpenSSL with all that they need are some 30
 * libraries, which would cost each start of bvisor milliseconds; most runs need none of them.
 *
 * It is looked for in $BVISOR_PLUGINS, where tests put it; beside what this code is linked into, as it lies in a build (../lib) and in an installation
 * (../libexec/bvisor); and where it was configured to be installed. Not in the library path, which is no place for plugins. */
#include "backends/backends.h"
#include "backends/object_plugin.h"

#include "base/secret.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#ifndef BVISOR_LIBEXECDIR
#define BVISOR_LIBEXECDIR "/usr/libexec/bvisor"
#endif

typedef struct Loaded {
	const char *scheme;
	const ObjectOps *ops; /* NULL: not yet; protected by lock */
} Loaded;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Loaded s3 = {.scheme = "s3"}, s3v2 = {.scheme = "s3v2"};

/* The directory of the program or library that has this code, with '/' at the end. */
static bool own_directory(char out[PATH_MAX])
{
	char *slash = bv_path_of_code(&lock, out) ? strrchr(out, '/') : NULL;

	if (slash)
		slash[1] = 0;
	return slash;
}

/* The first place that has the file. malloc'ed; NULL if none has. */
static char *find_plugin(const char *scheme)
{
	const char *given = getenv("BVISOR_PLUGINS");
	char own[PATH_MAX] = "";
	bool here = own_directory(own);
	const char *const places[][2] = { /* of a program in bin, of a build, of a library in lib/ARCHITECTURE, of the supervisor */
		{given && *given ? given : NULL, "/"}, {here ? own : NULL, "../libexec/bvisor/"}, {here ? own : NULL, "../lib/"}, {here ? own : NULL, "../../libexec/bvisor/"}, {here ? own : NULL, ""}, {BVISOR_LIBEXECDIR, "/"}};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		CLEAN_FREE char *path = places[i][0] ? bv_asprintf("%s%sbvisor-%s.so", places[i][0], places[i][1], scheme) : NULL;
		if (path && access(path, R_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

static int load_locked(Loaded *loaded, char **err)
{
	CLEAN_FREE char *path = find_plugin(loaded->scheme);
	const ObjectPlugin *plugin;
	void *handle;

	if (!path)
		return bv_fail(err, -ENOSYS, "this bvisor has no bvisor-%s.so, which %s:// needs; install it whole, or name its directory by BVISOR_PLUGINS", loaded->scheme,
			       loaded->scheme);
	handle = bv_load_library(path);
	if (!handle) {
		const char *reason = dlerror();
		return bv_fail(err, -ENOSYS, "cannot load %s: %s; install the libraries that it needs", path, reason ? reason : "?");
	}
	plugin = dlsym(handle, OBJECT_PLUGIN_SYMBOL);
	if (!plugin || plugin->number != OBJECT_PLUGIN_NUMBER || plugin->request_size != sizeof(ObjectRequest) || plugin->ops_size != sizeof(ObjectOps)) {
		dlclose(handle);
		return bv_fail(err, -ENOSYS, "%s is of another version of bvisor; install both from one build", path);
	}
	loaded->ops = plugin->ops;
	return 0;
}

static int load_and_open(Loaded *loaded, const char *location, bool create, ObjectStore **out, char **err)
{
	const ObjectOps *ops;
	int r;

	pthread_mutex_lock(&lock);
	r = loaded->ops ? 0 : load_locked(loaded, err);
	ops = loaded->ops;
	pthread_mutex_unlock(&lock);
	if (r < 0)
		return r;
	secret_exposed(); /* libcurl has a copy of what it sends */
	return ops->open(location, create, out, err);
}

static int open_s3(const char *location, bool create, ObjectStore **out, char **err)
{
	return load_and_open(&s3, location, create, out, err);
}

static int open_s3v2(const char *location, bool create, ObjectStore **out, char **err)
{
	return load_and_open(&s3v2, location, create, out, err);
}

const ObjectOps object_s3_loader_ops = {.scheme = "s3", .open = open_s3};
const ObjectOps object_s3v2_loader_ops = {.scheme = "s3v2", .open = open_s3v2};
