/* backends/plugin.c - see plugin.h.
 *
 * A plugin is looked for in $BVISOR_PLUGINS, where tests put it; beside what this code is linked into, as it lies in a build (../lib) and in an installation
 * (../libexec/bvisor); and where it was configured to be installed. Not in the library path, which is no place for plugins. */
#include "backends/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>

#ifndef BVISOR_LIBEXECDIR
#define BVISOR_LIBEXECDIR "/usr/libexec/bvisor"
#endif

/* The directory of the program or library that has this code, with '/' at the end. */
static bool own_directory(char out[PATH_MAX])
{
	static const char here;
	Dl_info info;
	char *slash;

	if (!dladdr(&here, &info) || !info.dli_fname || !realpath(info.dli_fname, out)) {
		ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
		if (n < 0)
			return false;
		out[n] = 0;
	}
	slash = strrchr(out, '/');
	if (slash)
		slash[1] = 0;
	return slash;
}

/* The first place that has the file. malloc'ed; NULL if none has. */
static char *find_plugin(const char *file)
{
	const char *given = getenv("BVISOR_PLUGINS");
	char own[PATH_MAX] = "";
	bool here = own_directory(own);
	const char *const places[][2] = {
		{given && *given ? given : NULL, "/"}, {here ? own : NULL, "../libexec/bvisor/"}, {here ? own : NULL, "../lib/"}, {here ? own : NULL, "bvisor/"}, {BVISOR_LIBEXECDIR, "/"}};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		CLEAN_FREE char *path = places[i][0] ? bv_asprintf("%s%s%s", places[i][0], places[i][1], file) : NULL;
		if (path && access(path, R_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

int plugin_load(const char *file, const char *symbol, PluginHead expected, const char *what, const char *needs, const PluginHead **out, char **err)
{
	CLEAN_FREE char *path = find_plugin(file);
	const PluginHead *head;
	void *handle;

	if (!path)
		return bv_fail(err, -ENOSYS, "this bvisor has no %s, which %s; install it whole, or name its directory by BVISOR_PLUGINS", file, what);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!handle) {
		const char *reason = dlerror();
		return bv_fail(err, -ENOSYS, "cannot load %s: %s; install %s", path, reason ? reason : "?", needs);
	}
	head = dlsym(handle, symbol);
	if (!head || head->number != expected.number || head->size != expected.size) {
		dlclose(handle);
		return bv_fail(err, -ENOSYS, "%s is of another version of bvisor; install both from one build", path);
	}
	*out = head;
	return 0;
}
