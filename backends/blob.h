/* backends/blob.h - where the bytes of changed files live: a store of numbered blobs, each a real local file.
 *
 * A backend is one file plus one row in the registry (registry.c). It knows blobs by id: no path of a guest, no pid, no SQL.
 * A blob is an ordinary file (or FIFO) of the host, so reads, writes, mmap and locks on it run natively once its
 * descriptor was handed to a guest.
 *
 * Invariant 5 (blob first, row second): cowfs creates the blob, then writes the row that names it; it removes the row,
 * then the blob. A crash leaves at worst an unreferenced blob, which blob_iterate() shows and cowfs removes.
 *
 * All functions are thread-safe. Errors are negative errnos; outputs are untouched on failure. */
#ifndef BACKENDS_BLOB_H
#define BACKENDS_BLOB_H

#include "base/util.h"

#include <sys/stat.h>

typedef uint64_t BlobId; /* chosen by cowfs, never 0, never used twice in the life of a store */
typedef struct BlobStore BlobStore;

/* Where a blob is as a file of the host, for what needs a name: exec, inotify, bind. Valid while the store is open and
 * the blob exists. dirfd belongs to the store. */
typedef struct BlobPlace {
	int dirfd;
	char name[40];
} BlobPlace;

enum {
	BLOB_OPEN_CREATE = 1,	/* make the store if it is not there */
	BLOB_OPEN_READONLY = 2, /* every changing call answers -EROFS */
	BLOB_OPEN_LATE = 4,	/* a store that is not there is an empty one; with CREATE it is made for the first blob */
};

enum {
	BLOB_KEEP_MOVE = 1,  /* the blob goes: its name does now */
	BLOB_KEEP_CLONE = 2, /* where the file system can share the bytes */
};

/* A blob whose bytes are elsewhere. `ref` is for who fetches it. */
typedef struct BlobRemote {
	BlobId id;
	uint64_t size;
	struct timespec times[2]; /* access, modification */
	mode_t mode;
	const void *ref;
	size_t ref_len;
	bool here_known;   /* its file is here, and is not one that was fetched */
	uint64_t here_ino; /* it holds the same as long as it has this number and ctime; 0: that is not known */
	struct timespec here_ctime;
} BlobRemote;
/* Writes the bytes that ref stands for into an empty file. Called from any thread, several at a time. 0, or a negative errno with a message; *err may be set with 0, too: what is to be told all
 * the same. */
typedef int (*BlobFetch)(void *ctx, const char *source, const void *ref, size_t len, int fd, char **err);
/* Is the source still there, and will stay? 0, or a negative errno. May take long. */
typedef int (*BlobCheck)(void *ctx, const char *source);

/* A blob that is here and could be fetched again as it is. */
typedef struct BlobClean {
	BlobId id;
	uint64_t bytes; /* that its file takes */
	uint64_t used;	/* when it was opened last (bv_now_coarse_ns); 0: not since the store was opened */
	int64_t here_since; /* real time, ns */
} BlobClean;

typedef struct BlobOps {
	/* The word before the colon of `--backend`, and whether the bytes survive a reboot. */
	const char *scheme;
	bool durable;

	/* Opens the store at `path` (the directory that is this sandbox's alone). *err gets a message for people that
	 * names the directory, the reason and the way out. -ENOENT (no store, no CREATE), -EACCES, -EROFS, -ENOSPC, -ENOMEM,
	 * -ENOTDIR, -EINVAL (not a place for this backend), -EUCLEAN (damaged marker), -EPROTO (written by a newer version). */
	int (*open)(const char *path, unsigned flags, BlobStore **out, char **err);
	/* Releases everything; blobs stay (for a durable backend). NULL is allowed. */
	void (*close)(BlobStore *store);

	/* A new empty regular file, opened with the access mode and status flags of open_blob (and O_CLOEXEC); mode is given to the file as it is
	 * (no umask), with owner read and write added and without set-user-ID and set-group-ID. -EEXIST if the id is there, -ENOSPC,
	 * -EDQUOT, -EMFILE, -EINVAL (flags that this file system does not know: nothing was made). *fd is the caller's. */
	int (*create)(BlobStore *store, BlobId id, mode_t mode, int flags, int *fd);
	/* A new node without content: FIFO (S_IFIFO | mode). -EEXIST, -ENOSPC, -EINVAL for other types. */
	int (*make_node)(BlobStore *store, BlobId id, mode_t mode);
	/* Opens an existing blob with open(2) flags (access mode, O_APPEND, O_TRUNC, O_NONBLOCK, O_DIRECT, O_SYNC, O_NOATIME, O_PATH;
	 * O_CLOEXEC is added, O_CREAT refused with -EINVAL). -ENOENT if the blob is missing: the caller reports damage. May block for
	 * a FIFO, and (remote backends) while the blob is fetched. */
	int (*open_blob)(BlobStore *store, BlobId id, int flags, int *fd);
	/* statx of the blob (mask as in statx(2)); -ENOENT if it is missing. */
	int (*statx)(BlobStore *store, BlobId id, unsigned mask, struct statx *out);
	/* What the host keeps of the guest's metadata: times as in utimensat(2), permission bits. Best effort for bits the host
	 * refuses: -EPERM, which callers may ignore. chmod adds and removes the same bits as create. */
	int (*utimens)(BlobStore *store, BlobId id, const struct timespec times[2]);
	int (*chmod)(BlobStore *store, BlobId id, mode_t mode);
	int (*truncate)(BlobStore *store, BlobId id, uint64_t size);
	/* Where it is. 0 or -ENOENT (without looking at the disk: -ENOENT only for id 0). */
	int (*place)(BlobStore *store, BlobId id, BlobPlace *out);
	/* Removes the name of a blob; guests that hold it open keep their file. A missing blob is success (idempotent). */
	int (*remove)(BlobStore *store, BlobId id);
	/* Makes one blob durable (bytes, size and its name in the store). id 0: every blob of the store. */
	int (*sync)(BlobStore *store, BlobId id);
	/* Makes the names of the blobs from..to (inclusive; any of them may be missing) durable, not their bytes: after a power cut each is there,
	 * perhaps empty. */
	int (*sync_names)(BlobStore *store, BlobId from, BlobId to);
	/* Calls `visit` once for every blob present when the call began (and perhaps for some made since; those removed since may
	 * still be shown), in rising order of ids; stops at the first non-zero answer and returns it. `visit` may call the store. */
	int (*iterate)(BlobStore *store, int (*visit)(void *ctx, BlobId id), void *ctx);
	/* Are the bytes of the blob those of a regular file? 1 or 0 without reading them where that can be told; -ENOTSUP: compare them. May be NULL (that). */
	int (*same)(BlobStore *store, BlobId id, int fd);

	/* Keeps a regular file as it is now (bytes, size, times), aside under its number, before it changes or goes (BLOB_KEEP_MOVE). All of it or nothing; success, without
	 * looking at it, if that number is kept already. What is kept is no blob: iterate does not show it, and it does not survive a crash of the machine.
	 * -ENOENT (no such blob), -ENOSPC, -EDQUOT, -EIO, -ENOMEM. */
	int (*keep)(BlobStore *store, BlobId id, unsigned how);
	/* For reading (O_CLOEXEC, O_NOATIME). -ENOENT: it is not kept. */
	int (*open_kept)(BlobStore *store, BlobId id, int *fd);
	/* All that is kept goes. */
	int (*drop_kept)(BlobStore *store);

	/* Says of blobs, by rising id, where their bytes are besides: each that has no file here is remote. Replaces what was said before, which has to be in it unless no record needs
	 * it any more. `source` is for who fetches them: filestore_source gives it back. Seen by who opens the store afterwards, or reloads. */
	int (*put_remote)(BlobStore *store, const char *source, const BlobRemote *list, size_t n);
	int (*reload_remote)(BlobStore *store, char **err);
	const char *(*source)(BlobStore *store); /* NULL: nothing is remote. Valid until the next reload */
	/* Who fetches, until the store is closed, which calls release(ctx). Without one remote blobs are -EIO. Before anybody uses the store, once. check (NULL: it is there): asked before
	 * anything is called clean. */
	void (*set_fetch)(BlobStore *store, BlobFetch fetch, BlobCheck check, void *ctx, void (*release)(void *ctx));
	bool (*is_here)(BlobStore *store, BlobId id);
	/* What stands for the bytes of a blob: of one that is not here (body NULL, or from statx without STATX_INO), or of one whose file (of which `body` tells STATX_INO,
	 * STATX_CTIME, STATX_MTIME, STATX_SIZE) was not changed since it was fetched or stored. It belongs to the store until the next reload. -ENOENT: nothing does. */
	int (*remote_ref)(BlobStore *store, BlobId id, const struct statx *body, const void **ref, size_t *len);
	/* What could be fetched again, in no order (the caller's to free), and the bytes of all files here; nothing, if the source cannot be asked. Looks at every file. */
	int (*list_clean)(BlobStore *store, uint64_t *total, BlobClean **list, size_t *n);
	/* Its file goes, if it could be fetched again and nobody has it open: -EBUSY; -ENOENT: it is not clean. The caller sees to it that nobody holds it in a way that no lease
	 * sees (O_PATH; a mapping, if hides_maps says so). */
	int (*drop)(BlobStore *store, BlobId id);
	/* Brings it here; success if it is. May take long. -ENOENT: no such blob. Opening one fetches it, too, but cowfs does not open under its lock what is not here; where
	 * the store is only read, what is opened is a copy. */
	int (*fetch)(BlobStore *store, BlobId id);
	/* Why a fetch failed since the last time that this was asked: the first reason, the caller's to free; if none did, what one that succeeded had to tell; NULL: nothing. */
	char *(*fetch_error)(BlobStore *store);
	/* Is a lease (F_SETLEASE) granted on a blob that somebody has mapped, whose descriptors are all closed? Found out once; "yes" where it cannot be. NULL: yes. */
	bool (*hides_maps)(BlobStore *store);
} BlobOps;

struct BlobStore {
	const BlobOps *ops; /* set by ops->open; the backend's own struct embeds this one first */
};

/* The registry: NULL-terminated rows; a scheme that is not there is NULL. */
const BlobOps *blob_ops_find(const char *scheme);
const BlobOps *const *blob_ops_all(void);

/* Callers use these, never store->ops->f. */
static inline void blob_close(BlobStore *s)
{
	if (s)
		s->ops->close(s);
}
static inline int blob_create(BlobStore *s, BlobId id, mode_t mode, int flags, int *fd)
{
	return s->ops->create(s, id, mode, flags, fd);
}
static inline int blob_make_node(BlobStore *s, BlobId id, mode_t mode)
{
	return s->ops->make_node(s, id, mode);
}
static inline int blob_open(BlobStore *s, BlobId id, int flags, int *fd)
{
	return s->ops->open_blob(s, id, flags, fd);
}
static inline int blob_statx(BlobStore *s, BlobId id, unsigned mask, struct statx *out)
{
	return s->ops->statx(s, id, mask, out);
}
static inline int blob_utimens(BlobStore *s, BlobId id, const struct timespec times[2])
{
	return s->ops->utimens(s, id, times);
}
static inline int blob_chmod(BlobStore *s, BlobId id, mode_t mode)
{
	return s->ops->chmod(s, id, mode);
}
static inline int blob_truncate(BlobStore *s, BlobId id, uint64_t size)
{
	return s->ops->truncate(s, id, size);
}
static inline int blob_place(BlobStore *s, BlobId id, BlobPlace *out)
{
	return s->ops->place(s, id, out);
}
static inline int blob_remove(BlobStore *s, BlobId id)
{
	return s->ops->remove(s, id);
}
static inline int blob_sync(BlobStore *s, BlobId id)
{
	return s->ops->sync(s, id);
}
static inline int blob_sync_names(BlobStore *s, BlobId from, BlobId to)
{
	return s->ops->sync_names(s, from, to);
}
static inline int blob_same(BlobStore *s, BlobId id, int fd)
{
	return s->ops->same ? s->ops->same(s, id, fd) : -ENOTSUP;
}
/* Is there any blob? 1, 0 or a negative errno. */
int blob_any(BlobStore *s);
static inline int blob_iterate(BlobStore *s, int (*visit)(void *ctx, BlobId id), void *ctx)
{
	return s->ops->iterate(s, visit, ctx);
}
static inline int blob_keep(BlobStore *s, BlobId id, unsigned how)
{
	return s->ops->keep(s, id, how);
}
static inline int blob_open_kept(BlobStore *s, BlobId id, int *fd)
{
	return s->ops->open_kept(s, id, fd);
}
static inline int blob_drop_kept(BlobStore *s)
{
	return s->ops->drop_kept(s);
}
static inline int blob_put_remote(BlobStore *s, const char *source, const BlobRemote *list, size_t n)
{
	return s->ops->put_remote(s, source, list, n);
}
static inline const char *blob_source(BlobStore *s)
{
	return s->ops->source ? s->ops->source(s) : NULL;
}
static inline void blob_set_fetch(BlobStore *s, BlobFetch fetch, BlobCheck check, void *ctx, void (*release)(void *ctx))
{
	s->ops->set_fetch(s, fetch, check, ctx, release);
}
static inline int blob_reload_remote(BlobStore *s, char **err)
{
	return s->ops->reload_remote(s, err);
}
static inline int blob_remote_ref(BlobStore *s, BlobId id, const struct statx *body, const void **ref, size_t *len)
{
	return s->ops->remote_ref(s, id, body, ref, len);
}
static inline bool blob_is_here(BlobStore *s, BlobId id)
{
	return !s->ops->is_here || s->ops->is_here(s, id);
}
static inline int blob_list_clean(BlobStore *s, uint64_t *total, BlobClean **list, size_t *n)
{
	return s->ops->list_clean(s, total, list, n);
}
static inline int blob_drop(BlobStore *s, BlobId id)
{
	return s->ops->drop(s, id);
}
static inline int blob_fetch(BlobStore *s, BlobId id)
{
	return s->ops->fetch(s, id);
}
static inline char *blob_fetch_error(BlobStore *s)
{
	return s->ops->fetch_error ? s->ops->fetch_error(s) : NULL;
}
static inline bool blob_hides_maps(BlobStore *s)
{
	return !s->ops->hides_maps || s->ops->hides_maps(s);
}

#endif
