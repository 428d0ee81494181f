/* snapshot/coder_load.c - the functions of coder.h, from the plugin bvisor-coder.so, which is loaded at the first use: OpenSSL's tables alone would make each
 * start of bvisor a third slower. snapshot/coder/ has the functions themselves. */
#include "snapshot/coder_plugin.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const CoderPlugin *) loaded;

int coder_load(char **err)
{
	const PluginHead expected = {CODER_PLUGIN_NUMBER, sizeof(CoderPlugin)}, *head;
	int r = 0;

	if (atomic_load(&loaded))
		return 0;
	pthread_mutex_lock(&lock);
	if (!atomic_load(&loaded)) {
		r = plugin_load("bvisor-coder.so", CODER_PLUGIN_SYMBOL, expected, "snapshots need", "OpenSSL and zstd", &head, err);
		if (r == 0)
			atomic_store(&loaded, CONTAINER_OF(head, const CoderPlugin, head));
	}
	pthread_mutex_unlock(&lock);
	return r;
}

/* NULL: it cannot be loaded. */
static const CoderPlugin *plugin(void)
{
	return coder_load(NULL) == 0 ? atomic_load(&loaded) : NULL;
}

int snap_key_new(const uint8_t master[32], SnapKey **out)
{
	const CoderPlugin *p = plugin();

	return p ? p->key_new(master, out) : -ENOSYS;
}

int snap_key_from_passphrase(const char *passphrase, size_t len, const uint8_t salt[SCRYPT_SALT], unsigned log_n, SnapKey **out)
{
	const CoderPlugin *p = plugin();

	return p ? p->key_from_passphrase(passphrase, len, salt, log_n, out) : -ENOSYS;
}

void snap_key_free(SnapKey *key)
{
	if (key)
		plugin()->key_free(key);
}

/* Who has a key or a coder has the plugin. */
const uint8_t *snap_key_id(const SnapKey *key)
{
	return plugin()->key_id(key);
}

uint64_t snap_key_chunk_seed(const SnapKey *key)
{
	return key ? plugin()->key_chunk_seed(key) : 0;
}

int coder_new(const SnapKey *key, Coder **out)
{
	const CoderPlugin *p = plugin();

	return p ? p->coder_new(key, out) : -ENOSYS;
}

void coder_free(Coder *coder)
{
	if (coder)
		plugin()->coder_free(coder);
}

const SnapKey *coder_key(const Coder *coder)
{
	return plugin()->coder_key(coder);
}

int coder_hash(Coder *coder, const void *data, size_t len, SnapId *out)
{
	return plugin()->coder_hash(coder, data, len, out);
}

int coder_id(Coder *coder, const void *data, size_t len, SnapId *out)
{
	return plugin()->coder_id(coder, data, len, out);
}

int coder_encode(Coder *coder, const void *plain, size_t len, Bytes *out, unsigned *flags)
{
	return plugin()->coder_encode(coder, plain, len, out, flags);
}

int coder_decode(Coder *coder, unsigned flags, const void *stored, size_t n, uint8_t *plain, size_t len)
{
	return plugin()->coder_decode(coder, flags, stored, n, plain, len);
}

int coder_random(void *out, size_t len)
{
	const CoderPlugin *p = plugin();

	return p ? p->coder_random(out, len) : -ENOSYS;
}
