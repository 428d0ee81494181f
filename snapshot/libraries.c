#include "snapshot/libraries.h"

#include <dlfcn.h>
#include <openssl/opensslv.h>
#include <pthread.h>

#if OPENSSL_VERSION_MAJOR != 3 || ZSTD_VERSION_MAJOR != 1
#error "other sonames than those below"
#endif
#define CRYPTO_SONAME "libcrypto.so.3"
#define ZSTD_SONAME "libzstd.so.1"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Libraries loaded; /* complete once `ready` */
static bool ready;

static void *open_library(const char *soname, const char *package, char **err)
{
	void *handle = bv_load_library(soname);

	if (!handle) {
		const char *reason = dlerror();
		bv_fail(err, 0, "snapshots need %s: %s; install %s", soname, reason ? reason : "it cannot be loaded", package);
	}
	return handle;
}

static int load_locked(char **err)
{
	void *crypto = open_library(CRYPTO_SONAME, "OpenSSL 3", err), *zstd = crypto ? open_library(ZSTD_SONAME, "zstd", err) : NULL;
	Libraries l;

	if (!crypto || !zstd)
		return -ENOSYS;
#define LOAD(handle, soname, f) \
	l.f = (__typeof__(l.f))dlsym(handle, #f); \
	if (!l.f) \
		return bv_fail(err, -ENOSYS, "snapshots need %s in " soname ": install a newer one", #f);
#define LOAD_CRYPTO(f) LOAD(crypto, CRYPTO_SONAME, f)
#define LOAD_ZSTD(f) LOAD(zstd, ZSTD_SONAME, f)
	CRYPTO_SYMBOLS(LOAD_CRYPTO)
	ZSTD_SYMBOLS(LOAD_ZSTD)
	loaded = l;
	ready = true;
	return 0;
}

const Libraries *libraries_get(char **err)
{
	pthread_mutex_lock(&lock);
	int r = ready ? 0 : load_locked(err);
	pthread_mutex_unlock(&lock);
	return r < 0 ? NULL : &loaded;
}
