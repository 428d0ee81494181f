#include "lib/archive.h"
#include "snapshot/libraries.h"

#include <dlfcn.h>
#include <pthread.h>

#if ARCHIVE_VERSION_NUMBER < 3003000
#error "libarchive 3.3 or later is needed"
#endif
#define ARCHIVE_SONAME "libarchive.so.13"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ArchiveLibrary loaded; /* complete once `ready` */
static bool ready;

static int load_locked(BvError **err)
{
	void *handle = bv_load_library(ARCHIVE_SONAME);
	ArchiveLibrary l;

	if (!handle) {
		const char *reason = dlerror();
		return lib_fail(err, -ENOSYS, "archives need %s: %s; install libarchive", ARCHIVE_SONAME, reason ? reason : "it cannot be loaded");
	}
#define LOAD(f) \
	l.f = (__typeof__(l.f))dlsym(handle, #f); \
	if (!l.f) \
		return lib_fail(err, -ENOSYS, "archives need %s in " ARCHIVE_SONAME ": install a newer one", #f);
	ARCHIVE_SYMBOLS(LOAD)
	loaded = l;
	ready = true;
	return 0;
}

const ArchiveLibrary *archive_library(BvError **err)
{
	pthread_mutex_lock(&lock);
	int r = ready ? 0 : load_locked(err);
	pthread_mutex_unlock(&lock);
	return r < 0 ? NULL : &loaded;
}

ArchiveLocale archive_locale_begin(void)
{
	ArchiveLocale l = {.own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)};

	l.before = l.own ? uselocale(l.own) : (locale_t)0;
	return l;
}

void archive_locale_end(ArchiveLocale *l)
{
	if (!l->own)
		return;
	uselocale(l->before);
	freelocale(l->own);
}

struct Sha256 {
	const Libraries *lib;
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

void sha256_free(Sha256 *h)
{
	if (!h)
		return;
	if (h->ctx)
		h->lib->EVP_MD_CTX_free(h->ctx);
	if (h->md)
		h->lib->EVP_MD_free(h->md);
	free(h);
}

Sha256 *sha256_new(BvError **err)
{
	char *why = NULL;
	const Libraries *lib = libraries_get(&why);
	Sha256 *h = lib ? calloc(1, sizeof(*h)) : NULL;

	if (!lib) {
		(void)lib_fail_text(err, -ENOSYS, why, "OpenSSL");
		return NULL;
	}
	if (h) {
		h->lib = lib;
		h->md = lib->EVP_MD_fetch(NULL, "SHA256", NULL);
		h->ctx = lib->EVP_MD_CTX_new();
	}
	if (!h || !h->md || !h->ctx || !lib->EVP_DigestInit_ex2(h->ctx, h->md, NULL)) {
		sha256_free(h);
		(void)lib_fail(err, -ENOMEM, "out of memory");
		return NULL;
	}
	return h;
}

int sha256_add(Sha256 *h, const void *data, size_t len)
{
	return h->lib->EVP_DigestUpdate(h->ctx, data, len) ? 0 : -ENOMEM;
}

int sha256_text(Sha256 *h, char out[72])
{
	unsigned char sum[32];
	unsigned n = 0;

	if (!h->lib->EVP_DigestFinal_ex(h->ctx, sum, &n) || n != sizeof(sum))
		return -ENOMEM;
	memcpy(out, "sha256:", 7);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(out + 7 + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

int sha256_of(const void *data, size_t len, char out[72], BvError **err)
{
	Sha256 *h = sha256_new(err);
	int r = h ? sha256_add(h, data, len) : -ENOMEM;

	if (r == 0)
		r = sha256_text(h, out);
	sha256_free(h);
	return r < 0 && (!err || !*err) ? lib_fail(err, r, "cannot compute a checksum") : r;
}
