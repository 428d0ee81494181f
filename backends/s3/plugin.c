/* backends/s3/plugin.c - what bvisor-s3.so exports. */
#include "backends/object_plugin.h"
#include "backends/s3/store.h"

extern __attribute__((visibility("default"))) const ObjectPlugin bvisor_object_plugin;
const ObjectPlugin bvisor_object_plugin = {OBJECT_PLUGIN_NUMBER, sizeof(ObjectRequest), sizeof(ObjectOps), &object_s3_ops};
