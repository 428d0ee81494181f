/* backends/filestore.h - the common core of the backends that keep blobs as plain files below one local directory. Private to backends/. */
#ifndef BACKENDS_FILESTORE_H
#define BACKENDS_FILESTORE_H

#include "backends/blob.h"

typedef struct FileStoreKind {
	const BlobOps *ops;
	long required_magic; /* statfs f_type that the directory must have; 0: any */
	const char *magic_help; /* what to tell who gave another one */
} FileStoreKind;

int filestore_open(const FileStoreKind *kind, const char *path, unsigned flags, BlobStore **out, char **err);
void filestore_close(BlobStore *store);
int filestore_create(BlobStore *store, BlobId id, mode_t mode, int flags, int *fd);
int filestore_make_node(BlobStore *store, BlobId id, mode_t mode);
int filestore_open_blob(BlobStore *store, BlobId id, int flags, int *fd);
int filestore_statx(BlobStore *store, BlobId id, unsigned mask, struct statx *out);
int filestore_utimens(BlobStore *store, BlobId id, const struct timespec times[2]);
int filestore_chmod(BlobStore *store, BlobId id, mode_t mode);
int filestore_truncate(BlobStore *store, BlobId id, uint64_t size);
int filestore_place(BlobStore *store, BlobId id, BlobPlace *out);
int filestore_remove(BlobStore *store, BlobId id);
int filestore_sync(BlobStore *store, BlobId id); /* no effect unless kind->ops->durable */
int filestore_sync_names(BlobStore *store, BlobId from, BlobId to);
int filestore_keep(BlobStore *store, BlobId id, unsigned how);
int filestore_open_kept(BlobStore *store, BlobId id, int *fd);
int filestore_drop_kept(BlobStore *store);
int filestore_put_remote(BlobStore *store, const char *source, const BlobRemote *list, size_t n);
const char *filestore_source(BlobStore *store);
void filestore_set_fetch(BlobStore *store, BlobFetch fetch, BlobCheck check, void *ctx, void (*release)(void *ctx));
bool filestore_is_here(BlobStore *store, BlobId id);
int filestore_remote_ref(BlobStore *store, BlobId id, const struct statx *body, const void **ref, size_t *len);
int filestore_reload_remote(BlobStore *store, char **err);
int filestore_list_clean(BlobStore *store, uint64_t *total, BlobClean **list, size_t *n);
int filestore_drop(BlobStore *store, BlobId id);
int filestore_fetch(BlobStore *store, BlobId id);
char *filestore_fetch_error(BlobStore *store);
bool filestore_hides_maps(BlobStore *store);
int filestore_iterate(BlobStore *store, int (*visit)(void *ctx, BlobId id), void *ctx);

/* The members that every row built on this core shares. */
#define FILESTORE_OPS \
	.close = filestore_close, .create = filestore_create, .make_node = filestore_make_node, .open_blob = filestore_open_blob, \
	.statx = filestore_statx, .utimens = filestore_utimens, .chmod = filestore_chmod, .truncate = filestore_truncate, \
	.place = filestore_place, .remove = filestore_remove, .sync = filestore_sync, .sync_names = filestore_sync_names, \
	.iterate = filestore_iterate, .keep = filestore_keep, .open_kept = filestore_open_kept, .drop_kept = filestore_drop_kept, \
	.put_remote = filestore_put_remote, .source = filestore_source, .set_fetch = filestore_set_fetch, .is_here = filestore_is_here, \
	.remote_ref = filestore_remote_ref, .reload_remote = filestore_reload_remote, .list_clean = filestore_list_clean, .drop = filestore_drop, .fetch = filestore_fetch, .fetch_error = filestore_fetch_error, \
	.hides_maps = filestore_hides_maps

/* ---- between filestore.c and filestore_life.c ---- */

#include "base/hmap.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARD_BITS 10 /* 1024 consecutive ids share a directory */

/* How far the names in a directory are durable: names made so far, and how many of those an fsync has covered. */
typedef struct DirState {
	uint64_t made, synced;
} DirState;

typedef struct Shard {
	HmapNode link; /* FileStore.shards, by number */
	uint64_t number;
	DirState names;
} Shard;

typedef struct Remote Remote; /* filestore_remote.c */

typedef struct FileStore {
	BlobStore base;
	int root; /* the directory, O_RDONLY */
	bool readonly;
	Remote *remote; /* which blobs may be elsewhere; never NULL */
	_Atomic mode_t masked; /* mode bits that the kernel would take from a new file (umask, default ACL) */
	atomic_bool late;      /* the store is not there yet, and root is the directory that it will be in (see filestore_appear) */
	char *late_name;       /* its name there, or NULL */
	atomic_int maps_hidden; /* filestore_lease.c */

	pthread_mutex_t lock; /* protects the rest; never held over fsync */
	Hmap shards;	      /* those that were ever synced by this opening */
	DirState root_names;
	bool settled; /* marker file and the directories above are durable */
} FileStore;

static inline FileStore *filestore_of(BlobStore *store)
{
	return CONTAINER_OF(store, FileStore, base);
}

/* For a store that was not there when it was opened: looks for it again, or makes it. Whoever looks for a blob "shard/id" in the directory
 * above meanwhile finds none, which is right. 0: root is the store now; -ENOENT: still none (only without `make`). */
int filestore_appear(FileStore *fs, bool make) MUST_CHECK;

/* The directory of a blob's name, and that the name is new (filestore.c). */
int filestore_make_shard(FileStore *fs, BlobId id) MUST_CHECK;
void filestore_note_name(FileStore *fs, BlobId id);
/* Without fetching. */
int filestore_open_here(FileStore *fs, BlobId id, int flags, int *fd) MUST_CHECK;

/* ---- filestore_remote.c ---- */
Remote *remote_new(void); /* without a list */
void remote_free(Remote *r);
/* The list that is there now. -EUCLEAN. */
int remote_load(FileStore *fs, const char *path, char **err) MUST_CHECK;
bool remote_any(const FileStore *fs);
int remote_statx(const FileStore *fs, BlobId id, struct statx *out) MUST_CHECK; /* -ENOENT */
int remote_open_aside(FileStore *fs, BlobId id, int flags, int *fd) MUST_CHECK;

/* ---- filestore_here.c ---- */
/* Somebody has opened it, or (writes) is about to change it or its metadata: before he gets a descriptor, after it is open. */
void here_note_use(FileStore *fs, BlobId id, bool writes);
/* Of a store that is only read: the file may have lost its bytes in a power cut, and is as good as not there. */
bool here_is_suspect(FileStore *fs, BlobId id);
void here_end(FileStore *fs); /* before the store is closed */

/* Strict inverse of "%x": lower case, no leading zero, nothing behind. False for any other text. */
bool filestore_parse_hex(const char *text, uint64_t *out);

#endif
