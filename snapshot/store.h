/* snapshot/store.h - an object store as the other files use it: counted requests that are waited for, and objects named after their bytes.
 *
 * A SnapStore is thread-safe; the object store and the key are the caller's and outlive it. Errors are those of backends/object.h and of envelope.h. */
#ifndef SNAPSHOT_STORE_H
#define SNAPSHOT_STORE_H

#include "backends/object.h"
#include "snapshot/chunker.h"
#include "snapshot/index.h"
#include "snapshot/snapshot.h"

#include <pthread.h>

struct SnapStore {
	ObjectStore *objects;
	const SnapKey *key;
	Gear gear;
	_Atomic uint64_t gets, puts, others, sent, received; /* requests, bytes */
	_Atomic int if_absent; /* -1: not asked yet */
	/* Index objects that were read lately: a process that takes one snapshot after another reads each once. */
	pthread_mutex_t cache_lock;
	struct CachedIndex {
		SnapId id;
		uint8_t *plain;
		size_t n;
	} cache[16];
	unsigned cache_at;
};
#define CACHED_INDEX_MAX ((size_t)2 << 20)

#define OBJECT_NAME_MAX 512
typedef char ObjectName[OBJECT_NAME_MAX + 1];
void pack_name(const SnapId *id, ObjectName out);
void index_name(const SnapId *id, ObjectName out);
void snapshot_name(const SnapId *id, ObjectName out);

/* Counts and begins; the request's done is called as object_submit does. */
void kept_submit(SnapStore *s, ObjectRequest *request);
int kept_put(SnapStore *s, const char *name, const void *data, size_t len, unsigned flags, char **err) MUST_CHECK;
/* *body is the caller's to free; length 0: to the end. `size` (of the object) may be NULL. A short answer is -EBADMSG. */
int kept_get(SnapStore *s, const char *name, uint64_t offset, uint64_t length, uint8_t **body, size_t *n, uint64_t *size, char **err) MUST_CHECK;
/* The same, for what need not be there: -ENOENT comes without a message. */
int kept_get_maybe(SnapStore *s, const char *name, uint8_t **body, size_t *n, char **err) MUST_CHECK;
/* Ends a step whose message was kept in *why: *err gets it if r is an error, else it is forgotten. Returns r. */
int err_settle(char **err, char **why, int r);
int kept_head(SnapStore *s, const char *name, uint64_t *size, char **err) MUST_CHECK;
int kept_delete(SnapStore *s, const char *name, char **err) MUST_CHECK;
int kept_list(SnapStore *s, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err) MUST_CHECK;
/* Whether puts with OBJECT_IF_ABSENT are atomic: 1 or 0. */
int kept_if_absent(SnapStore *s, char **err) MUST_CHECK;

/* Objects in envelopes, named by `name_of`(id). What is loaded was compared with its id: -EBADMSG. */
int kept_load(SnapStore *s, Coder *coder, const char *magic, void (*name_of)(const SnapId *, ObjectName), const SnapId *id, uint8_t **plain, size_t *n,
	       char **err) MUST_CHECK;
/* An index object. *list is the caller's; plain (may be NULL) its plain length. */
int kept_load_index(SnapStore *s, Coder *coder, const SnapId *id, IndexList *list, size_t *plain, char **err) MUST_CHECK;
int kept_save(SnapStore *s, Coder *coder, const char *magic, void (*name_of)(const SnapId *, ObjectName), const Bytes *plain, SnapId *id, char **err) MUST_CHECK;

#endif
