/* snapshot/coder_plugin.h - the table of the plugin bvisor-coder.so: the functions of coder.h, with OpenSSL and zstd behind them. */
#ifndef SNAPSHOT_CODER_PLUGIN_H
#define SNAPSHOT_CODER_PLUGIN_H

#include "backends/plugin.h"
#include "snapshot/coder.h"

#define CODER_PLUGIN_NUMBER 1
#define CODER_PLUGIN_SYMBOL "bvisor_coder_plugin"

typedef struct CoderPlugin {
	PluginHead head;
	int (*key_new)(const uint8_t master[32], SnapKey **out);
	int (*key_from_passphrase)(const char *passphrase, size_t len, const uint8_t salt[SCRYPT_SALT], unsigned log_n, SnapKey **out);
	void (*key_free)(SnapKey *key);
	const uint8_t *(*key_id)(const SnapKey *key);
	uint64_t (*key_chunk_seed)(const SnapKey *key);
	int (*coder_new)(const SnapKey *key, Coder **out);
	void (*coder_free)(Coder *coder);
	const SnapKey *(*coder_key)(const Coder *coder);
	int (*coder_hash)(Coder *coder, const void *data, size_t len, SnapId *out);
	int (*coder_id)(Coder *coder, const void *data, size_t len, SnapId *out);
	int (*coder_encode)(Coder *coder, const void *plain, size_t len, Bytes *out, unsigned *flags);
	int (*coder_decode)(Coder *coder, unsigned flags, const void *stored, size_t n, uint8_t *plain, size_t len);
	int (*coder_random)(void *out, size_t len);
} CoderPlugin;

#endif
