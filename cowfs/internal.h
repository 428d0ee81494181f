/* cowfs/internal.h - the index of a view, and what its files share.
 *
 * Invariants (cowfs_check verifies those marked *):
 *  I1* every dentry's directory is in the index and is a directory; (directory, name) is unique;
 *  I2* a directory has at most one name, and following names upwards ends at the root (id 1): no cycle;
 *  I3* a dentry without node is a whiteout; a directory without origin shows nothing of the host (opaque);
 *  I4* below a host path for which (directory, name) has no dentry there is no dentry at all;
 *  I5* a node that is in the index has a name, or links left on the host (nlink > 0), or is an orphan (dead, maybe open);
 *  I6* no two nodes share a blob; a row is written after its blob exists, a blob is removed after its row's removal is committed;
 *  I7  an object of the host without record is shown as the host has it now.
 *
 * Lock order (outer first):
 *   quota->looking        mutex: one look at sizes at a time (quota.c)
 *   fs->lock              rwlock: nodes, dentries, all tables; never held over anything that may wait
 *     fs->list_lock       mutex: the cache of sorted directory lists
 *     fs->lower.lock      mutex: the cache of verified host prefixes
 *     fs->commit_lock     mutex: what the writer thread was asked and has done
 *     fs->opened.lock     mutex: what was opened of the host (taken with none of the three above)
 *     quota->lock         mutex: sizes of bodies (quota.c), taken last
 * The writer thread takes fs->lock only to collect a batch and to drop orphans, and holds nothing while SQLite works.
 *
 * What is in a pinned directory (N_PRIVATE) is not stored; its device number is its own, so that nothing is renamed or linked out of it.
 *
 * Ownership: the index holds one reference to a node, each CowLoc one more. A dentry belongs to its directory. Pointers found during a
 * walk are borrowed until fs->lock is released; a walk releases it only while it calls a foreign file system, when it holds none. */
#ifndef COWFS_INTERNAL_H
#define COWFS_INTERNAL_H

#include "base/hmap.h"
#include "cowfs/cowfs.h"
#include "cowfs/mapped.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define COW_ROOT_ID 1
#define COW_INO_BASE (1ULL << 51)
#define COW_PIN_IDS (1ULL << 50) /* records of pins are numbered from here on: a row that names one was written by mistake */
#define COW_MAX_LINKS 40
#define COW_LOWER_TTL_NS (50 * 1000 * 1000ULL)
#define COW_LOWER_SLOTS 128
#define COW_LOWER_HELD 64
#define COW_COMMIT_NS (50 * 1000 * 1000L)
#define COW_GRAVES 4096	     /* removed objects remembered for descriptors that guests may still hold */
#define COW_ORPHAN_BATCH 64  /* so many removed blobs wake the reaper at once */
#define COW_ORPHAN_SECONDS 2 /* else it looks this often */
#define COW_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME)

typedef struct CowMeta CowMeta;
typedef struct CowQuota CowQuota;
typedef struct CowDentry CowDentry;

typedef struct CowXattr {
	struct CowXattr *next;
	uint32_t size;
	bool deleted;
	uint8_t nlen;
	char name[]; /* NUL-terminated, then `size` bytes of value */
} CowXattr;

/* (dev, ino) of a host object that stands for the node that this is a member of. */
typedef struct CowIdent {
	HmapNode hash;
	ino_t ino;
	uint32_t dev;	  /* a dev_t: the kernel's have 32 bits */
	bool listed, own; /* own: own_id, else lower_id */
} CowIdent;

typedef struct CowGrant {
	struct CowGrant *next;
	bool writable;
	size_t len;
	char path[];
} CowGrant;

struct CowForeign {
	const CowForeignOps *ops;
	void *ctx;
	CowNode *node; /* the pin, alive as long as the view */
	CowForeign *next;
};

/* What only directories have. */
typedef struct CowDir {
	CowDentry *kids;
	size_t nkids;
	uint64_t gen; /* moves with every change of the entries */
	const CowGrant *grant;
	const CowForeign *foreign;
} CowDir;

enum { /* CowNode.have: which fields override the host object's or the blob's */
	OV_MODE = 1, OV_UID = 2, OV_GID = 4, OV_ATIME = 8, OV_MTIME = 16, OV_CTIME = 32, OV_NLINK = 64, OV_BTIME = 128,
	OV_OWNER = OV_UID | OV_GID,
	OV_ALL = 255,
};

enum { /* CowNode.flags */
	N_WRITER = 32,	 /* opened for writing since the last snapshot asked; see seal.c */
	N_DIRTY = 1,	 /* on the dirty list */
	N_STORED = 2,	 /* the database has (or will have, once the batch in hand is written) a row */
	N_DEAD = 4,	 /* no name left: only descriptors know it */
	N_GONE = 8,	 /* out of the index: its row goes with the next batch */
	N_XATTR = 16,	 /* xattrs changed since the last batch */
	N_TMPFILE = 64,	 /* made by O_TMPFILE and not linked yet */
	N_PIN = 128,	 /* laid over by the front end: not stored, cannot be removed or renamed (EBUSY) */
	N_DEVICE = 256,	 /* opened straight on the host */
	N_ORPHAN = 512,	 /* on the orphan list */
	N_MARKER = 1024, /* has an object in mark_dir */
	N_COVERED = 4096, /* a pin lies over its name: unreachable, but its rows stay */
	N_SETID = 8192,	 /* mtime is the blob's from before any write (setid.c) */
	N_PRIVATE = 2048, /* inside a pinned directory: not stored, never listed by cowfs_changes */
	N_WATCHED = 1 << 16,	 /* a guest watches it: it has a shadow (directory) or an alias (file); see watch.c */
	N_WATCH_OPENS = 1 << 17, /* ... and asked for events of reading */
	N_WATCH_ALT = 1 << 18,	 /* the shadow has its second name */
	N_WATCH_TAKEN = 1 << 19, /* a copy-up has taken its stand-in */
	N_UNSEEN = 1 << 21,	 /* a descriptor of its body may be open that no lease sees */
	N_UNOPENED = 1 << 22,	 /* nobody had its body open when that was asked last, nor opened it for writing since; see seal.c */
	N_MAPPED = 1 << 23,	 /* somebody had its body mapped when cowfs_freeze_prepare asked last */
	N_PACKED = 1 << 24,	 /* a directory: what its pack says is not in the index yet; see packed.h */
	N_PACK_ROW = 1 << 25,	 /* a directory: the database has its pack */
	N_PACK_GONE = 1 << 26,	 /* a directory: its pack goes with the next batch */
	N_KEPT = 1 << 27,	 /* a directory: its marker is counted, made or not; see quota.c */
	N_CARRIED = 1 << 20, /* a copy of a host object that came with a snapshot: no change of the sandbox. Ends with the first change of a file or link; of a directory it
			      * stays, and says that the host need not have it */
};

/* Where an object was when its last name went: what ".." of a removed directory and "PATH (deleted)" need. */
typedef struct CowLast {
	CowNode *dir; /* one reference */
	char name[];
} CowLast;

struct CowNode {
	HmapNode by_id;
	HmapNode by_origin; /* listed when origin is set */
	uint64_t id;
	_Atomic uint32_t refs;
	uint32_t flags;
	uint16_t have, mode; /* mode: type and permissions; always valid, the overriding value when OV_MODE */
	uid_t uid;
	gid_t gid;
	int32_t nlink; /* directories: subdirectories more (or less) than the origin has; without origin 2 + subdirectories */
	dev_t rdev;
	dev_t vdev;
	ino_t vino;
	struct timespec atime, mtime, ctime, btime;
	char *origin; /* canonical host path whose content (and not overridden metadata) it still uses */
	char *target; /* symlinks */
	BlobId blob;
	CowIdentity *base;
	CowXattr *xattrs;
	CowIdent lower_id; /* the host object it came from */
	CowIdent own_id;   /* its blob or marker */
	CowDentry *names;
	CowLast *last; /* only while there are no names; NULL if never named */
	CowDir *dir;
	CowNode *dirty_next, *orphan_next;
};

enum { /* CowDentry.flags */
	D_DIRTY = 1,
	D_STORED = 2,
	D_GONE = 4,
	D_OVER = 8, /* the host has (had) this name too: removing leaves a whiteout */
	D_HIDE = 32, /* the host's object of this name is hidden by a pin, whatever the guest makes in its place */
	D_PIN = 16, /* not stored; as a whiteout: hidden, not deleted */
	D_PACKED = 128, /* the directory's pack says it and its node, which have no rows */
	D_SHELL = 64, /* (only for dentry_set) nothing has changed: not to be stored (yet, or again) */
};

struct CowDentry {
	HmapNode hash;
	CowNode *dir, *node;
	uint64_t dir_id;
	CowDentry *next, **pprev; /* dir->dir->kids */
	CowDentry *alias;	  /* node->names */
	CowDentry *dirty_next;
	CowIdentity *base; /* the host's object of this name, once the sandbox has something else here or nothing; else the node's base says it */
	uint8_t flags, len;
	char name[];
};

typedef struct LowerSlot {
	uint64_t hash, time;
	uint16_t len;
	uint8_t kind; /* LOWER_* */
	uint8_t tlen;
	char text[216]; /* path, then the symlink's text */
} LowerSlot;

/* A host directory that a guest holds open or stands in, found by its path a moment ago: (dev, ino) to host path. */
typedef struct LowerHeld {
	dev_t dev;
	ino_t ino;
	uint64_t time;
	uint16_t len; /* 0: empty */
	char path[254];
} LowerHeld;

typedef struct LowerCache {
	pthread_mutex_t lock;
	LowerSlot slots[COW_LOWER_SLOTS];
	LowerHeld held[COW_LOWER_HELD];
} LowerCache;

/* See seal.c. */
typedef struct CowSeal {
	BlobId below; /* blobs with a lower number are sealed, unless in `free`; 0: none is */
	Hmap free;
	CowNode **noted; /* records whose bodies may be open for writing, each with a reference */
	size_t nnoted, noted_room;
	bool noting, held; /* held: no batch is written */
	int error; /* why the snapshot cannot be finished */
	_Atomic bool active; /* until thaw begins; below is not 0 */
	uint64_t turn; /* how many have ended */
	pthread_mutex_t keep_lock; /* of `keeping`; innermost */
	pthread_cond_t kept; /* keeping has become 0 */
	size_t keeping; /* who keeps a body without fs->lock */
} CowSeal;

/* See opened.c. */
typedef struct CowOpened {
	pthread_mutex_t lock;
	char *path; /* of the file; NULL: nothing is noted */
	uint64_t *seen; /* hashes, open addressing; 0: empty */
	size_t count, room;
	char *waiting; /* not written yet */
	size_t waiting_len;
	_Atomic bool waits; /* waiting_len is not 0 */
} CowOpened;
/* See unchanged.c. */
typedef struct CowUnchanged {
	pthread_mutex_t lock; /* of what is noted, beside fs->lock */
	char *path; /* of the file that says so when nobody has the view open; NULL: it is none that has names */
	bool closed; /* no descriptor is older than the view, so its states have names */
	bool changed; /* since it had the name `now` has */
	CowState now; /* touched: since `since`, which somebody may remember; "": by too many */
	CowState frozen; /* as of the last freeze */
} CowUnchanged;

typedef struct CowList CowList; /* dents.c */
#define COW_LISTS 8

struct Cowfs {
	pthread_rwlock_t lock;
	unsigned flags;
	bool durable;
	_Atomic bool broken_openat2;
	BlobStore *blobs;
	CowMeta *meta;
	int mark_fd; /* -1 until marker_dir */
	char *mark_dir;
	Hmap nodes, dentries, idents, origins;
	_Atomic size_t lower_idents; /* how many non-directories of the host have a record */
	CowNode *root;
	CowGrant *grants;
	CowGrant *sockets; /* of the host, that guests may connect to: only their paths */
	CowForeign *foreigns;
	_Atomic uint64_t next_id;
	uint64_t next_pin;
	_Atomic bool moved; /* some record may have an origin elsewhere than its place in the view */
	LowerCache *lower;
	pthread_mutex_t list_lock;
	CowList *lists[COW_LISTS];
	unsigned list_clock, pinned_dirs;

	CowNode *dirty_nodes, **dirty_nodes_end;
	CowDentry *dirty_dentries, **dirty_dentries_end;
	CowNode *orphans, **orphans_end;
	_Atomic size_t norphans;
	CowNode *graves[COW_GRAVES];
	size_t grave_at;
	BlobId *dead_blobs; /* to be removed after the batch that holds their rows' removal */
	size_t ndead, dead_room;
	BlobId *filled; /* whose bytes must be durable before the rows that name them */
	size_t nfilled, filled_room;
	struct CowBatch *batch; /* the writer's: what is not in the database yet (more than one collection after a failed write) */
	BlobId *dying;		/* the writer's: dead_blobs of that batch */
	size_t ndying;
	BlobId *filling; /* the writer's: `filled` of all batches since the last durable one */
	size_t nfilling;
	unsigned failures; /* the writer's: batches in a row that could not be written */
	uint64_t written_next; /* the writer's: no row on the disk has this number or one above */
	uint64_t names_synced; /* the writer's: the names of blobs below are durable */

	pthread_mutex_t commit_lock;
	pthread_cond_t commit_wake, commit_done;
	pthread_t writer;
	_Atomic bool writer_runs, pending;
	bool stopping;
	uint64_t want, want_durable, done, durable_done; /* commit tickets */
	int commit_error;
	_Atomic int stuck; /* why the last batch could not be written, while that is so: nothing more is promised meanwhile (record_place) */
	bool committing; /* the writer has taken a batch and is not done with it */
	CowfsStats stats; /* protected by lock */

	char *watch_dir; /* where the shadows of watched objects are */
	int watch_fd; /* -1: not needed yet */
	size_t watches; /* records with N_WATCHED */
	char *_Atomic trouble; /* what a guest got EIO for, for people; malloc'ed or NULL */
	_Atomic size_t packed_dirs; /* with N_PACKED */
	uint64_t packs_loaded;
	_Atomic bool reap_soon; /* a watched file lost its last name */
	_Atomic bool had_file_watch;
	CowSeal seal;
	CowOpened opened;
	CowUnchanged unchanged;
	CowMappers mappers;
	int timeless; /* whether stores into a mapped body leave its times as they are; -1: not asked yet */
	_Atomic unsigned lookers; /* who reads the database and its blobs beside us */
	CowQuota *quota; /* NULL: no bounds */
	uint64_t spool_bound; /* bytes of bodies that can be fetched again; 0: none */
	_Atomic uint64_t spool_bytes, spool_next; /* about how many are here, and when to look */
	pthread_mutex_t spool_lock; /* before all others: who makes room */
	pthread_mutex_t arrive_lock; /* before fs->lock: whose body has been fetched and is not known yet */
	_Atomic bool unseen_opened; /* somebody got a descriptor of a blob that a lease does not see: O_PATH, or access mode 3 */
	bool fake_root; /* see CowfsConfig */
	uid_t owner_uid;
	gid_t owner_gid;
};

/* ---- fs.c ---- */
/* For tests: asked before each host, blob and database step; a non-zero answer is that step's error. NULL in production. */
extern int (*cowfs_fault_hook)(const char *step);
static inline int cow_fault(const char *step)
{
	return cowfs_fault_hook ? cowfs_fault_hook(step) : 0;
}
static inline void fs_rdlock(Cowfs *fs)
{
	pthread_rwlock_rdlock(&fs->lock);
}
static inline void fs_wrlock(Cowfs *fs)
{
	pthread_rwlock_wrlock(&fs->lock);
}
static inline void fs_unlock(Cowfs *fs)
{
	pthread_rwlock_unlock(&fs->lock);
}

/* One of the names of a record, as an absolute path of the view. Returns its length; -ENOENT, -ERANGE. */
ssize_t node_virtual_path(const CowNode *node, char *buf, size_t size) MUST_CHECK;
/* The same for one of several names. */
ssize_t dentry_virtual_path(const CowDentry *d, char buf[PATH_MAX]) MUST_CHECK;

/* ---- relocate.c ---- */
/* fs->lock held for writing. */
int origins_relocate(Cowfs *fs) MUST_CHECK;

/* ---- node.c: all _locked for writing unless it only finds ---- */
CowNode *node_new(Cowfs *fs, uint64_t id, mode_t mode); /* not in the index yet; one reference; NULL: no memory */
void node_insert(Cowfs *fs, CowNode *node);		   /* gives that reference to the index */
CowNode *node_get(CowNode *node);
void node_put(CowNode *node);
CowNode *node_find(Cowfs *fs, uint64_t id);
int node_set_origin(Cowfs *fs, CowNode *node, const char *origin) MUST_CHECK;
void node_drop_origin(Cowfs *fs, CowNode *node);
CowNode *node_by_origin(Cowfs *fs, const char *path, size_t len);
void node_remove(Cowfs *fs, CowNode *node); /* out of the index and the database; its blob follows after the commit */
void node_dirty(Cowfs *fs, CowNode *node);
void node_from_statx(CowNode *node, const struct statx *st); /* copies metadata and the identity it will show */
int node_set_base(CowNode *node, const struct statx *st) MUST_CHECK;
bool node_is_orphan(const CowNode *node);
CowNode *node_parent(const CowNode *node); /* of a directory; NULL for the root and the removed */
bool node_is_ancestor(const CowNode *maybe, const CowNode *node); /* or the same */

CowDentry *dentry_find(Cowfs *fs, const CowNode *dir, const char *name, size_t len);
/* Sets (dir, name) to node (NULL: whiteout), replacing what is there. -ENOMEM (then nothing changed). */
int dentry_set(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node, unsigned flags) MUST_CHECK;
void dentry_free(CowDentry *d); /* not in any table */
void dentry_drop(Cowfs *fs, CowDentry *d); /* out of the index and the database */
void dentry_dirty(Cowfs *fs, CowDentry *d);
/* To be called before a change that cannot be taken back when a later dentry_set of this entry fails. -ENOMEM. */
int dentry_keep_base(CowDentry *d) MUST_CHECK;
/* What the sandbox knows of the host's object of this name; known is false where it never rested on one. */
CowIdentity dentry_base(const CowDentry *d);
/* Is it, under this path of the view, what a snapshot carried of the host, unchanged and in its place? */
bool dentry_is_carried(const CowDentry *d, const char *path);

void ident_set(Cowfs *fs, CowIdent *ident, CowNode *node, dev_t dev, ino_t ino);
void ident_clear(Cowfs *fs, CowIdent *ident);
CowNode *ident_find(Cowfs *fs, dev_t dev, ino_t ino);

/* The record of the directory at canonical host path `path`, made with its ancestors if it has none. */
int node_for_dir(Cowfs *fs, const char *path, size_t len, CowNode **out) MUST_CHECK;
/* The same, wherever the view shows that directory; -ENOENT if it does so nowhere: it, or one above it, was removed or replaced. */
int node_showing(Cowfs *fs, const char *path, CowNode **out) MUST_CHECK;
/* The record of a host object that is no directory and has none: entry `name` of dir. */
int node_for_file(Cowfs *fs, CowNode *dir, const char *name, size_t len, const char *path, const struct statx *st, CowNode **out) MUST_CHECK;
/* Takes a name off and lets the object die with its last one. */
void node_unlinked(Cowfs *fs, CowNode *node);
void node_bury(Cowfs *fs, CowNode *node); /* dead and without blob: kept for a while */
void fs_free_index(Cowfs *fs);
void grants_free(CowGrant *list);

/* ---- packed.c ---- */
/* Before anybody looks for names in a directory that are not in the index, or for all of them: takes its pack into the index. fs->lock is held for writing. -EIO (also: the pack makes no
 * sense), -ENOMEM. */
int dir_load(Cowfs *fs, CowNode *dir) MUST_CHECK;
/* The same with fs->lock held for reading: it may be released, and the caller has a reference. */
int dir_ready(Cowfs *fs, CowNode *dir) MUST_CHECK;
int dirs_load_all(Cowfs *fs) MUST_CHECK; /* of all directories; fs->lock is not held */
void dir_unpack(Cowfs *fs, CowNode *dir); /* something in its pack changes: rows in its place. For writing */
/* A single component that is neither "." nor "..". */
static inline bool name_is_sound(const char *name, size_t len)
{
	return len >= 1 && len <= NAME_MAX && !memchr(name, '/', len) && !memchr(name, 0, len) && !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* As SQLite orders the names in rows. */
static inline int name_order(const char *a, size_t na, const char *b, size_t nb)
{
	int order = memcmp(a, b, MIN(na, nb));

	return order ? order : (na > nb) - (na < nb);
}

/* ---- lower.c ---- */
enum { LOWER_UNKNOWN = 0, LOWER_DIR, LOWER_LINK, LOWER_MIXED };
int lower_statx(Cowfs *fs, const CowGrant *grant, const char *path, struct statx *out) MUST_CHECK;
/* Of lower_statx and lower_open: the host has no such object (any more), as opposed to one that cannot be looked at. A directory above it may have
 * become something else. */
static inline bool host_is_gone(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP || rc == -ENAMETOOLONG;
}
/* openat2 with RESOLVE_NO_SYMLINKS; flags as open(2). Returns a descriptor. */
int lower_open(Cowfs *fs, const char *path, int flags, mode_t mode) MUST_CHECK;
/* For reading what is ours but denies us reading, after lower_open said -EACCES (owned.c). -EACCES where that cannot be done. */
int lower_open_owned(Cowfs *fs, const char *path, int flags) MUST_CHECK;
/* Descriptor of the directory that holds `path`; *name points at the last component inside path. */
int lower_open_parent(Cowfs *fs, const char *path, const char **name) MUST_CHECK;
/* 0: path[0..len) is a directory reached without any symlink. -ELOOP or -ENOTDIR: look component by component. */
int lower_prefix(Cowfs *fs, const CowGrant *grant, char *path, size_t len) MUST_CHECK;
/* A directory without record that the view shows under this host path: remembered for the TTL, so that relative paths need not find it again. */
void lower_hold(Cowfs *fs, dev_t dev, ino_t ino, const char *path);
/* Its path into a malloc'ed string, or NULL. */
char *lower_held(Cowfs *fs, dev_t dev, ino_t ino);
/* Text of the symlink; NUL-terminated, returns its length. */
ssize_t lower_readlink(Cowfs *fs, const CowGrant *grant, const char *path, char *buf, size_t size) MUST_CHECK;
/* A component is known to be a directory / a symlink with this text (returns LOWER_*). */
int lower_peek(Cowfs *fs, const char *path, size_t len, char *text, size_t size);
void lower_note(Cowfs *fs, const char *path, size_t len, int kind, const char *text);
/* Joins dir and name into out[PATH_MAX]; returns the length or -ENAMETOOLONG. out may be dir. */
ssize_t path_join(char *out, const char *dir, size_t dlen, const char *name, size_t nlen);
static inline dev_t statx_dev(const struct statx *st)
{
	return makedev(st->stx_dev_major, st->stx_dev_minor);
}

/* ---- walk.c ---- */
enum { /* more flags of a walk, beside COW_NOFOLLOW ... */
	W_PARENT = 1 << 8,  /* the last component may be missing: w->found; w->dir is its directory */
	W_WRITE = 1 << 9,   /* fs->lock is held for writing */
	W_CREATE = 1 << 11, /* O_CREAT: a last component with a slash behind it is -EISDIR, whatever is there */
	W_OPEN = 1 << 10,   /* open an untouched host file at once with w->open_flags */
};
typedef enum { LAST_NORM = 0, LAST_DOT, LAST_DOTDOT, LAST_ROOT, LAST_NONE } LastType;

typedef struct CowAt {
	CowKind kind;
	CowForeignKind fkind;
	CowNode *node;
	const CowForeign *foreign;
	const CowGrant *grant;
	size_t len; /* of w->path: COW_LOWER host path, COW_FOREIGN path inside; a COW_NODE that was found by identity: its host path, else 0 */
} CowAt;

typedef struct CowWalk {
	Cowfs *fs;
	const CowReq *req;
	unsigned flags, links;
	uint64_t resolve;
	CowAt cur, dir;
	const CowLoc *start;
	bool root_known; /* the path began with a slash, or a ".." was met: what RESOLVE_NO_XDEV looks at */
	bool found, slash, st_ok;
	bool in_last; /* an error was met at the last component */
	LastType last_type;
	size_t nlast;
	int open_flags, fd;
	uint64_t mount; /* RESOLVE_NO_XDEV: where the walk has to stay */
	const char *rest;
	char *heap;
	CowNode *entered; /* a reference to the last directory for whose pack the lock was released */
	CowLoc hold; /* keeps the object that a magic link gave */
	struct statx st; /* of cur, when COW_LOWER and st_ok */
	char last[NAME_MAX + 1];
	char path[PATH_MAX];
} CowWalk;

void walk_init(CowWalk *w, Cowfs *fs, const CowReq *req, unsigned flags, uint64_t resolve);
/* Called with fs->lock held (W_WRITE says how). */
int walk_run(CowWalk *w, const CowLoc *at, const char *path) MUST_CHECK;
void walk_end(CowWalk *w);
/* Takes fs->lock again as the walk had it. */
void walk_relock(CowWalk *w);
int walk_loc(const CowWalk *w, CowLoc *out) MUST_CHECK;
/* Type of what was found. -errno when the host cannot say. */
int walk_stat(CowWalk *w, struct statx *st) MUST_CHECK;
mode_t walk_type(CowWalk *w); /* S_IFMT bits of cur, 0 if unknown */
/* The record of w->dir / w->cur, made if there is none (fs->lock held for writing; not for foreign objects or under a grant). */
int walk_dir_node(CowWalk *w, CowNode **out) MUST_CHECK;
int walk_cur_node(CowWalk *w, CowNode **out) MUST_CHECK;
/* Host path of cur below a grant. */
const char *walk_host_path(const CowWalk *w, const CowAt *at, char buf[PATH_MAX]);
const CowGrant *grant_for(Cowfs *fs, const char *path, size_t len);

/* ---- attr.c ---- */
int node_statx(Cowfs *fs, const CowNode *node, struct statx *out) MUST_CHECK;
void node_override(const CowNode *node, struct statx *st);
/* What the record alone says, without the host or the blob; to be overridden. */
void statx_of_record(const CowNode *node, struct statx *st);
int cred_allows(const CowCred *cred, mode_t mode, uid_t uid, gid_t gid, int want); /* 0 or -EACCES */
int node_allows(const CowReq *req, const CowNode *node, int want);
/* What the host says of its object, ACLs included: 0 or -EACCES; -ENOTSUP if it cannot speak for this caller. */
int host_allows(const CowReq *req, const char *path, int want);
/* The same for what a walk has found (not foreign); st is its metadata. */
int walk_allows(const CowWalk *w, const struct statx *st, int want);
bool cred_in_group(const CowCred *cred, gid_t gid);
bool cred_owns(const CowCred *cred, uid_t uid);
struct timespec cow_now(void);
void dir_touch(Cowfs *fs, CowNode *dir); /* its entries changed: times, generation */
void node_changed(Cowfs *fs, CowNode *node); /* ctime, dirty */
int statx_of_fd(int fd, struct statx *st) MUST_CHECK;
/* Answers for an object under a grant or a read-only view before it is changed: 0 change the record, 1 change the host, -EROFS. */
int change_place(Cowfs *fs, const CowAt *at);
/* The same before something gets a record or its record changes: the writer's error while the database cannot take that. Not before a removal, which may
 * be what makes room. */
int record_place(Cowfs *fs, const CowAt *at) MUST_CHECK;

/* ---- closed.c ---- */
/* Puts into the host's statx whom the view shows as the owner. */
void owner_show(const Cowfs *fs, struct statx *st);
/* Of a directory of the host (canonical path), in a view with a fake root: its user may not search it; nor list it, so that the view shows the sandbox's entries alone. */
bool dir_denies_search(const Cowfs *fs, const char *path) MUST_CHECK;
bool dir_is_closed(Cowfs *fs, const char *path) MUST_CHECK;
/* Is this one that denies search, and a name that cannot be seen in it? */
bool dir_hides_name(Cowfs *fs, const char *path, const char *name) MUST_CHECK;
/* rc of a look at w->path: -EACCES becomes -ENOENT if it cannot be seen in such a directory, which this caller may search in the view. */
int closed_lookup(CowWalk *w, int rc);
/* The same questions of what a walk has found. */
bool walk_denies_search(const CowWalk *w) MUST_CHECK;
bool walk_is_closed(const CowWalk *w) MUST_CHECK;

/* ---- setid.c: fs->lock held for writing, but for setid_mode ---- */
mode_t setid_mode(const CowNode *node, const struct statx *blob); /* as `blob` says that it is now */
void setid_watch(Cowfs *fs, const CowReq *req, CowNode *node);   /* a guest may write from now on */
void setid_written(Cowfs *fs, const CowReq *req, CowNode *node); /* we wrote for the guest */
void setid_settle(Cowfs *fs, CowNode *node);			  /* before the blob's times change: the record as it is, unwatched */
void setid_settle_all(Cowfs *fs);

/* ---- copyup.c ---- */
/* Gives a regular file or FIFO a blob of its own, which may be written to (seal_break). Called with fs->lock held for writing and a reference; may release and take it again. */
int copyup_node(Cowfs *fs, const CowReq *req, CowNode *node, bool truncated) MUST_CHECK;
/* For O_TRUNC: an empty blob in the place of the host's file (node->origin), already opened, so that a failing open leaves the content. */
int copyup_empty(Cowfs *fs, CowNode *node, int flags, int *fd) MUST_CHECK;
/* blob_create/blob_make_node of an id that was just taken. */
int body_create(Cowfs *fs, BlobId id, mode_t mode, int flags, int *fd) MUST_CHECK;
int body_make_fifo(Cowfs *fs, BlobId id, mode_t mode) MUST_CHECK;
int copy_bytes(Cowfs *fs, int from, int to, uint64_t size) MUST_CHECK;

/* ---- fetch.c ---- */
/* Brings a body here that is elsewhere. fs->lock is held, for reading or writing, and the caller has a reference; if it was released, it is held for writing afterwards.
 * -EINPROGRESS, and what fetching gives: -EIO... */
int body_fetch(Cowfs *fs, const CowReq *req, CowNode *node) MUST_CHECK;
int body_lost(Cowfs *fs, BlobId id); /* a record names it and it is not there: -EIO, and the reason is noted */
void trouble_note(Cowfs *fs, char *what); /* for cowfs_fetch_error; takes the malloc'ed text over, NULL is no memory. No lock is needed */

/* ---- quota.c: fs->lock held for writing unless said otherwise; all return at once where there is no bound ---- */
int quota_record(Cowfs *fs, bool is_new) MUST_CHECK; /* may a record come to be (or become larger)? 0 or -EDQUOT */
int quota_room(Cowfs *fs, uint64_t bytes) MUST_CHECK; /* is there room for so much? No lock is needed */
/* The same, and it is kept until it is released. No lock is needed. */
int quota_reserve(Cowfs *fs, uint64_t bytes) MUST_CHECK;
void quota_release(Cowfs *fs, uint64_t bytes);
void quota_note(Cowfs *fs, BlobId id, const struct statx *st); /* somebody may write to this body from now on; st: what it is now, if that is known */
void quota_gone(Cowfs *fs, BlobId id);
/* Something gets a row, before it is on a dirty list; an attribute takes the place of one of old_size, or of none (0). */
void quota_new_node(Cowfs *fs, CowNode *node);
void quota_new_dentry(Cowfs *fs, const CowDentry *d);
void quota_new_xattr(Cowfs *fs, size_t name_len, size_t size, size_t old_size);
void quota_node_gone(Cowfs *fs, CowNode *node); /* it has no name any more, or is out of the index */
void quota_collected(Cowfs *fs); /* all that is dirty goes with the batch in hand */
void quota_written(Cowfs *fs);	 /* which the database has now. Called by who writes; no lock is needed */
int quota_object(Cowfs *fs, const CowNode *node) MUST_CHECK; /* may an object be made on the host that stands for it? 0 or -EDQUOT */
void quota_object_made(Cowfs *fs, const CowNode *node, uint64_t bytes);
void quota_object_gone(Cowfs *fs, const CowNode *node, uint64_t bytes);
int quota_statfs(Cowfs *fs, bool may_block, struct statfs *st) MUST_CHECK; /* fs->lock is not held. -EINPROGRESS: it has to be counted first, which may take a moment */
void quota_free(Cowfs *fs);
/* walk_cur_node for who changes the object. */
int walk_changed_node(CowWalk *w, CowNode **out) MUST_CHECK;

/* ---- spool.c: fs->lock is not held ---- */
void spool_grown(Cowfs *fs, BlobId id); /* it was fetched */
/* The disk is full. `wait`: first until what was used just now may go, too. False: nothing could go. */
bool spool_make_room(Cowfs *fs, bool wait);
void spool_end(Cowfs *fs); /* no guest is left */
/* ---- opened.c ---- */
int opened_begin(Cowfs *fs, const char *path) MUST_CHECK; /* NULL: nothing is noted */
void opened_note(Cowfs *fs, const char *path); /* a guest reads this object of the host. fs->lock may be held */
void opened_flush(Cowfs *fs);
void opened_release(Cowfs *fs);

/* ---- seal.c: fs->lock held for writing, but for seal_remove_blob ---- */
int seal_init(Cowfs *fs) MUST_CHECK;
void seal_release(Cowfs *fs);
bool seal_holds(const Cowfs *fs, BlobId id);
/* Before a body changes. May release the lock and take it again. -EINPROGRESS. */
int seal_break(Cowfs *fs, const CowReq *req, const CowNode *node) MUST_CHECK;
void seal_note_writer(Cowfs *fs, CowNode *node); /* a guest gets a descriptor for writing */
bool seal_is_opened(Cowfs *fs, const CowNode *node); /* somebody has its body open for writing, or that cannot be known: what a lease says (mapped.c) */
bool seal_has_writer(BlobStore *blobs, BlobId id);   /* the same; no lock is needed */
int seal_remove_blob(Cowfs *fs, BlobId id); /* blob_remove, for those that rows have named */

/* ---- open.c ---- */
int open_node(Cowfs *fs, const CowReq *req, CowNode *node, int flags, int *fd) MUST_CHECK; /* lock held; may release it and take it again */

/* ---- names.c ---- */
/* A new object's record with owner and group as the directory rules; not linked yet. */
CowNode *node_make(Cowfs *fs, const CowReq *req, const CowNode *dir, mode_t mode);
int node_publish(Cowfs *fs, CowNode *dir, const char *name, size_t len, CowNode *node) MUST_CHECK;
/* The directory of a new name: checks in Linux's order. 1: it lies below a writable grant. */
int create_check(CowWalk *w, bool is_dir, CowNode **dir) MUST_CHECK;
/* Is the new name one that a pin hides on the host? */
bool name_is_hidden(const CowWalk *w);

/* ---- marker.c ---- */
/* Makes and opens mark_dir, unless that was done; under the write lock. Many runs never need it. */
int marker_dir(Cowfs *fs) MUST_CHECK;
/* A real object in mark_dir that stands for a directory, a symlink or a socket; its name. */
int marker_make(Cowfs *fs, CowNode *node, char name[40]) MUST_CHECK;
void marker_name(const CowNode *node, char name[40]);
void marker_remove(Cowfs *fs, CowNode *node);

/* ---- watch.c: all return at once when nothing is watched; fs->lock held for writing unless said otherwise ---- */
#define WATCH_PATH (NAME_MAX + 40) /* of an entry of a shadow, below watch_dir */
/* (dir, name) came to be; `linked`: as a further name of an older object. */
void watch_made(Cowfs *fs, const CowNode *dir, const char *name, size_t len, const CowNode *node, bool linked);
/* (dir, name) goes: called before node_unlinked. */
void watch_removed(Cowfs *fs, const CowNode *dir, const char *name, size_t len, CowNode *node);
void watch_moved(Cowfs *fs, const CowWalk *from, const CowNode *from_dir, const CowWalk *to, const CowNode *to_dir, CowNode *node, CowNode *victim);
void watch_exchanged(Cowfs *fs, const CowWalk *from, const CowNode *from_dir, const CowWalk *to, const CowNode *to_dir, CowNode *node, CowNode *other);
/* The record goes (N_WATCHED is set); the blob was removed (no lock needed). */
void watch_forget(Cowfs *fs, CowNode *node);
void watch_blob_removed(Cowfs *fs, BlobId id);
/* Is there a link of the node's blob in a watched directory by which the walk found it? Then what is done on the body is done there, by
 * path below watch_fd, so that the directory's watch sees it. Lock held for reading or writing; so for opening. */
bool watch_entry_of(const CowWalk *w, const CowNode *node, char at[WATCH_PATH]);
int watch_utimens(Cowfs *fs, BlobId id, const char *at, const struct timespec times[2]);
int watch_chmod(Cowfs *fs, BlobId id, const char *at, mode_t mode);
int watch_truncate(Cowfs *fs, BlobId id, const char *at, uint64_t size) MUST_CHECK;
/* Opens the body through that link in place of *fd (which may be -1). -ENOENT: there is none. */
int watch_reopen(const CowWalk *w, const CowNode *node, int flags, int *fd) MUST_CHECK;
/* It was opened elsewhere (an untouched host file: node NULL), with open(2) flags. */
void watch_opened(const CowWalk *w, const CowNode *node, int flags);
/* Its metadata changed. blob_told: on the blob too, through watch_entry_of where there is one. */
void watch_attrib(const CowWalk *w, const CowNode *node, bool blob_told);
/* A body that was fetched and has not arrived (fetch.c): does a stand-in wait for it? Then it is filled aside, without fs->lock, and takes the body's place, or does not. */
bool watch_take_stand_in(Cowfs *fs, const CowNode *node);
int watch_fill(Cowfs *fs, BlobId id) MUST_CHECK;
void watch_end_fill(Cowfs *fs, BlobId id, bool takes_place);
/* Does a watched directory have a link of its body, as far as its names say? Lock held for reading or writing. */
bool watch_rests_on(const Cowfs *fs, const CowNode *node);
/* Before a copy-up: does a stand-in wait for the body? It is this copy's alone then. Adopting makes its inode the (new, empty) blob. */
bool watch_stand_in(Cowfs *fs, CowNode *node, char at[WATCH_PATH]);
int watch_adopt(Cowfs *fs, const char *at, BlobId id, mode_t mode, int *fd);

/* ---- dents.c ---- */
ssize_t node_getdents(Cowfs *fs, const CowNode *dir, uint64_t *pos, void *buf, size_t size) MUST_CHECK;
/* Is there any entry in the merged directory? 0: empty, -ENOTEMPTY. */
int dir_is_empty(Cowfs *fs, CowNode *node, const char *host_path);
/* Has the host this name in the directory? 1, 0, or an error. Of a closed one: 0. */
int dir_lists_name(Cowfs *fs, const char *path, const char *name) MUST_CHECK;
void lists_free(Cowfs *fs);
uint64_t dent_pos(const char *name, size_t len);

/* ---- xattr.c ---- */
const CowXattr *xattr_find(const CowNode *node, const char *name);
int xattr_set_row(CowNode *node, const char *name, const void *value, size_t size, bool deleted) MUST_CHECK;
void xattrs_free(CowNode *node);
int xattr_import(CowNode *node, const char *host) MUST_CHECK;
static inline const char *xattr_value(const CowXattr *x)
{
	return x->name + x->nlen + 1;
}

/* ---- commit.c ---- */
int commit_start(Cowfs *fs) MUST_CHECK;
int commit_stop(Cowfs *fs);
int commit_hold(Cowfs *fs) MUST_CHECK; /* also on failure nothing is written until commit_release */
int commit_rest(Cowfs *fs) MUST_CHECK;
void commit_release(Cowfs *fs);
void commit_poke(Cowfs *fs); /* something is dirty: the writer thread will look at it within 50 ms */

/* ---- orphans.c: fs->lock held for writing, but for orphans_reap, which takes it ---- */
void orphan_add(Cowfs *fs, CowNode *node);
bool orphan_drop_new(Cowfs *fs, CowNode *node); /* node lost its last name; true: it is removed already, as nothing knows it */
bool orphans_reap(Cowfs *fs, bool all); /* true: there is more to drop soon */
bool blob_is_unused(Cowfs *fs, BlobId id); /* nobody has it open */
void dead_blob_add(Cowfs *fs, BlobId id);
void filled_blob_add(Cowfs *fs, BlobId id); /* its bytes replace something durable: a durable commit waits for them */

#endif
