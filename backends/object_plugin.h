/* backends/object_plugin.h - the table of the plugin bvisor-s3.so. The size in its head counts the structures that cross the border, too. */
#ifndef BACKENDS_OBJECT_PLUGIN_H
#define BACKENDS_OBJECT_PLUGIN_H

#include "backends/object.h"
#include "backends/plugin.h"

#define OBJECT_PLUGIN_NUMBER 1
#define OBJECT_PLUGIN_SYMBOL "bvisor_object_plugin"

typedef struct ObjectPlugin {
	PluginHead head;
	const ObjectOps *ops;
} ObjectPlugin;

#endif
