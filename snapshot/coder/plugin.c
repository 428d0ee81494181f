/* snapshot/coder/plugin.c - what bvisor-coder.so exports. */
#include "snapshot/coder_plugin.h"

extern __attribute__((visibility("default"))) const CoderPlugin bvisor_coder_plugin;
const CoderPlugin bvisor_coder_plugin = {
	{CODER_PLUGIN_NUMBER, sizeof(CoderPlugin)}, snap_key_new, snap_key_from_passphrase, snap_key_free, snap_key_id, snap_key_chunk_seed, coder_new, coder_free,
	coder_key, coder_hash, coder_id, coder_encode, coder_decode, coder_random};
