/* backends/filestore_remote.h - what filestore_remote.c and filestore_here.c share.
 *
 * Locks, in this order: Remote.list_lock (read: an entry is looked at; write: the list is replaced), Remote.lock (the rest). Neither is held during a fetch. */
#ifndef BACKENDS_FILESTORE_REMOTE_H
#define BACKENDS_FILESTORE_REMOTE_H

#include "backends/filestore.h"

typedef struct RemoteEntry {
	uint64_t id, size;
	int64_t atime, mtime;
	uint32_t atime_ns, mtime_ns, mode, ref_len;
	uint64_t ref_at;
} RemoteEntry;

/* A file that holds what its entry says: this inode, unchanged since this time (ctime, ns). ino 0: none is known. */
typedef struct RemoteHere {
	uint64_t ino;
	int64_t ctime;
	uint64_t number;     /* of its record in the file */
	bool fetched, known; /* known: there is a record */
	bool suspect;	     /* the file is there, but perhaps not its bytes: as if it were not */
} RemoteHere;

typedef struct RemoteList {
	const char *map;
	size_t size;
	uint64_t hash;
	const RemoteEntry *entries;
	size_t n;
	char *source;
	const uint8_t *refs;
	size_t refs_len;
	RemoteHere *here; /* of each entry */
	uint64_t *used;	  /* of each entry: when it was opened last, ns of the monotonic clock; 0: not since this one was loaded */
	bool suspects;	  /* there are such */
	uint64_t records; /* in the file */
	uint64_t marked;  /* what the first so many say was fetched is on the disk */
	int here_fd;	  /* ROOT/remote.here, for adding to it; -1: not opened yet */
} RemoteList;

struct Remote {
	atomic_bool any; /* there is a list */
	pthread_rwlock_t list_lock;
	RemoteList list;
	BlobFetch fetch;
	BlobCheck check; /* or NULL */
	void *ctx;
	void (*release)(void *ctx);

	pthread_mutex_t lock; /* of what follows, and of list.here, list.used */
	pthread_cond_t done;
	char *error;  /* of the first fetch that failed since somebody asked */
	char *remark; /* of the last one that succeeded and had something to tell */
	BlobId *busy; /* being fetched */
	size_t nbusy, busy_room;
	BlobId failed; /* whose fetch has failed last, for those who waited for it, and why */
	int failure;
	unsigned number; /* of names of unfinished files */
	BlobId *pending; /* fetched, and not on the disk for sure */
	size_t n_pending, pending_room;
	pthread_t syncer;
	pthread_cond_t wake;
	bool syncs, ending;
};

/* NULL: the list has none. Under list_lock. */
const RemoteEntry *remote_find(const RemoteList *list, BlobId id);

/* ---- filestore_here.c ---- */
/* What the file says that belongs to this list: a missing or damaged one says nothing. */
int here_load(FileStore *fs, RemoteList *list) MUST_CHECK;
void here_release(RemoteList *list);
/* A new file for a list that is about to be put: best effort. */
void here_write(FileStore *fs, uint64_t hash, const BlobRemote *list, size_t n); /* what was fetched for the list before stays known as that */
/* A fetched blob gets its name, and is known to be as its entry says. */
int here_publish(FileStore *fs, const RemoteEntry *e, const char *temporary, const char *name) MUST_CHECK;
bool here_matches(const RemoteList *list, const RemoteEntry *e, const struct statx *st);

#endif
