/* backends/plugin.h - parts of bvisor that are loaded when they are needed: libraries that would cost each start milliseconds, which most runs do not use.
 *
 * A plugin is a shared object that exports one symbol, a table of functions. It belongs to one build: its table begins with a number and its size, which who
 * loads it compares. It stays loaded, as its libraries leave threads and locks behind. Thread-safe. */
#ifndef BACKENDS_PLUGIN_H
#define BACKENDS_PLUGIN_H

#include "base/util.h"

typedef struct PluginHead {
	unsigned number;
	size_t size; /* of the whole table */
} PluginHead;

/* Loads `file` ("bvisor-s3.so") and finds its table. `what` says for whom, `needs` what must be installed: for the message. -ENOSYS. */
int plugin_load(const char *file, const char *symbol, PluginHead expected, const char *what, const char *needs, const PluginHead **out, char **err) MUST_CHECK;

#endif
