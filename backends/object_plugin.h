/* backends/object_plugin.h - object stores that are loaded when they are needed.
 *
 * A plugin is the shared object bvisor-SCHEME.so, which exports bvisor_object_plugin and nothing else. It belongs to one build of bvisor: who loads it compares the
 * number and the sizes. It stays loaded, as its libraries leave threads and locks behind. */
#ifndef BACKENDS_OBJECT_PLUGIN_H
#define BACKENDS_OBJECT_PLUGIN_H

#include "backends/object.h"

#define OBJECT_PLUGIN_NUMBER 1
#define OBJECT_PLUGIN_SYMBOL "bvisor_object_plugin"

typedef struct ObjectPlugin {
	unsigned number;
	size_t request_size, ops_size;
	const ObjectOps *ops;
} ObjectPlugin;

#endif
