/* cowfs/cowfs.h - a copy-on-write view of the host's directory tree: what the supervisor (or any other front end) calls.
 *
 * cowfs knows paths, objects and layers; no pid, no seccomp, no concrete backend. Names, whiteouts and metadata are kept in
 * memory as the index and in SQLite as the log; bytes of changed files are blobs of a BlobStore.
 *
 * Objects. A CowLoc names one existing object:
 *   COW_NODE     it has a record (CowNode): it is new, changed, an ancestor of something changed, or pinned;
 *   COW_LOWER    it is an untouched object of the host, named by its canonical host path (no symlink in it, no "..");
 *   COW_FOREIGN  it belongs to a foreign file system (procfs, devpts, ...) that the front end put there with cowfs_pin_foreign.
 * A CowLoc is passed by value-with-ownership: cowloc_release() when done.
 *
 * Identity (invariant 9). (st_dev, st_ino) of a lower object is the host's own and stays so after copy-up. A new object has the st_dev
 * of the directory it was made in and st_ino = 2^51 + record number (below 2^53, so that programs which keep inode numbers in a
 * double stay right). rename and link between different st_dev answer -EXDEV, as Linux does.
 *
 * Permissions. The lower layer is accessed with the process's own credentials, so the host's checks hold there. For records cowfs
 * checks mode bits, ownership, sticky and setgid rules itself with req->cred. cred->uid 0 means root with CAP_DAC_OVERRIDE, CAP_FOWNER,
 * CAP_CHOWN, CAP_FSETID on the *sandbox's* metadata (a guest that is started by root sees root's file semantics, though it
 * has no capability in the kernel); making device nodes is -EPERM for everyone but a fake root (CowfsConfig.fake_root).
 *
 * Blocking. With req->may_block false a call that would wait (opening a FIFO without its peer, copy-up of more than
 * COWFS_INLINE_COPY bytes, a remote fetch, fsync) returns -EINPROGRESS without any effect; the front end repeats it on a
 * worker thread with may_block true. No such wait ever holds the namespace lock.
 *
 * All functions are thread-safe. They return 0 (or a count) or the negative errno that Linux would have given, in Linux's order;
 * the sources are the man pages section 2 and the kernel's fs/namei.c. Outputs are untouched on failure. */
#ifndef COWFS_COWFS_H
#define COWFS_COWFS_H

#include "backends/blob.h"
#include "base/util.h"

#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

#define COWFS_INLINE_COPY (256 * 1024) /* larger copy-ups go to a worker */

typedef struct Cowfs Cowfs;
typedef struct CowNode CowNode; /* opaque to the front end; reference counted */
typedef struct CowForeign CowForeign;

typedef struct CowCred {
	uid_t uid;
	gid_t gid;
	size_t ngroups;
	const gid_t *groups;
} CowCred;

typedef struct CowReq {
	const CowCred *cred;
	void *caller;	/* handed to the foreign file systems: "self" is relative to it */
	bool may_block; /* false: -EINPROGRESS instead of waiting */
} CowReq;

typedef enum CowKind { COW_NONE = 0, COW_NODE, COW_LOWER, COW_FOREIGN } CowKind;

typedef struct CowLoc {
	CowKind kind;
	CowNode *node;		      /* COW_NODE: one reference */
	const CowForeign *foreign;    /* COW_FOREIGN */
	char *path;		      /* COW_LOWER: host path; COW_FOREIGN: path inside, "" is its root. malloc'ed, ours */
	const struct CowGrant *grant; /* set below a --rw or --ro pin: changes go straight to the host, or are -EROFS */
} CowLoc;

void cowloc_release(CowLoc *loc);
int cowloc_copy(const CowLoc *from, CowLoc *to) MUST_CHECK; /* -ENOMEM */
#define CLEAN_LOC __attribute__((cleanup(cowloc_release)))

/* ---- life ---- */

enum {
	COWFS_CREATE = 1,   /* make the database if there is none */
	COWFS_READONLY = 2, /* for looking: no write of any kind, works beside a running writer (sees its last commit) */
	COWFS_RO_VIEW = 4,  /* --ro: every change of a guest is -EROFS */
	COWFS_NO_OPENAT2 = 8,   /* act as if the kernel had no openat2 / FICLONE (tests) */
	COWFS_NO_FICLONE = 16,
	COWFS_LAZY = 64, /* read what packs say (docs/SCHEMA.md) when somebody looks into their directories. With READONLY only where nobody writes */
	COWFS_BLIND_LEASES = 32, /* act as if leases said nothing of mappings (tests) */
};

/* A file that somebody has mapped: maps_of_all (base/maps.h) calls it. */
typedef void (*CowMappedVisit)(void *ctx, const char *path, uint64_t ino, bool shared);

typedef struct CowfsConfig {
	const char *db_path;  /* the SQLite file */
	BlobStore *blobs;     /* opened by the caller; cowfs takes it over (also on failure) */
	const char *mark_dir; /* for marker directories and unix sockets: empty, or missing, then it is made when needed (unless READONLY) */
	const char *watch_dir; /* for what watched objects rest on: as mark_dir; best on the file system of the blobs, as hard links of them are made
				* there. NULL: cowfs_watch_place gives the host's objects */
	const char *opened_path; /* a file that is to list which objects of the host guests open (opened.c); NULL: none. Not with READONLY */
	unsigned flags;
	bool durable; /* false (tmpfs): no fsync of the database */
	/* Calls `visit` for each mapping of a file that a process has, in one pass over all processes, or over the guests alone, which is sooner done; asked only where leases say nothing of
	 * mappings (mapped.c), perhaps under cowfs' lock. Non-zero: not all can be known. NULL: nothing is. */
	int (*mapped)(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx);
	void *mapped_ctx;
	/* A view in which an ordinary user is shown as root (closed.c): objects of the host that belong to owner_uid and owner_gid, the ids of who looks at the host, are shown as those of
	 * 0. What guests set is kept as they set it. Uid 0 may make device nodes, which nobody can open. */
	bool fake_root;
	uid_t owner_uid;
	gid_t owner_gid;
	uint64_t spool_bound; /* how many bytes bodies may take here as far as they can be fetched again (spool.c); 0: as many as there is room for */
	/* NULL, or NULL-terminated: files and directories without which the database could not be found after a power cut. The first durable
	 * commit syncs them, beside the database, its directory and the blobs' names. Copied. */
	const char *const *settle;
} CowfsConfig;

/* Opens (loading every record into memory, but for those that COWFS_LAZY leaves for later) and, after an unclean end, removes unreferenced blobs. *err gets a message that names the
 * file, what is wrong and the way out. -ENOENT, -EACCES, -EROFS, -ENOSPC, -EUCLEAN (damaged database or missing blob), -EPROTO (written
 * by a newer schema), -EAGAIN (in use by another writer), -ENOMEM. */
int cowfs_open(const CowfsConfig *config, Cowfs **out, char **err) MUST_CHECK;
/* Writes what is pending, then frees. NULL is allowed. Returns the first error of the final commit. */
int cowfs_close(Cowfs *fs);
/* Commit barrier: when it returns, every change made before the call is in the database and, with `durable`, on the disk. Without `durable` (the
 * front end of somebody who looks at a running sandbox) it also follows renames that the host has made after the sandbox did (apply); on a
 * READONLY one it does only that. */
int cowfs_commit(Cowfs *fs, bool durable) MUST_CHECK;

/* Why a body could not be brought here, what was told of one that could, or what guests cannot see of a damaged database, since this was asked last: the caller's to free; NULL:
 * nothing. */
char *cowfs_fetch_error(Cowfs *fs);

/* The list of what is elsewhere, too, was replaced (BlobOps.put_remote): from now on it is the new one, and what is beyond config->spool_bound goes. -EUCLEAN. */
int cowfs_spool_changed(Cowfs *fs, char **err) MUST_CHECK;

/* Somebody reads the database and the blobs that it names, from the next commit on: none of those goes until he says that he has looked. May be nested. */
void cowfs_look_begin(Cowfs *fs);
void cowfs_look_end(Cowfs *fs);

/* ---- a moment to keep, for a snapshot of a view in use (seal.c) ---- */

/* Asks who writes, while guests run: *writers bodies are open for writing, so that guests have to be stopped for cowfs_freeze (they write without us). Commits are
 * held from then on. -EBUSY: frozen already. */
int cowfs_freeze_prepare(Cowfs *fs, size_t *writers) MUST_CHECK;
/* The moment. When it returns, the database holds all of the view as it is now, and nothing more is written to it until cowfs_freeze_release: by then a reader must
 * have begun his transaction. The bodies stay as they are now until cowfs_thaw: those that change or go are kept (blob_open_kept), also those that were
 * being written; guests pay with a copy for each first change of one. On failure nothing is frozen. -ENOSPC, -EIO, -ENOMEM. */
int cowfs_freeze(Cowfs *fs) MUST_CHECK;
void cowfs_freeze_release(Cowfs *fs);
/* It was read. 0, or why it was not to be had in the end: a body could not be kept (-ENOSPC...), and what was read since may be of later. Not frozen: success. */
int cowfs_thaw(Cowfs *fs) MUST_CHECK;

enum { COW_STATE_NAME = 33, COW_STATE_TOUCHED = 256 };
/* A state of the view. Another moment of that name, also one of another supervisor or of none (cow_export_state), has the same rows and bodies. */
typedef struct CowState {
	char name[COW_STATE_NAME];  /* "": it has none */
	char since[COW_STATE_NAME]; /* "", or the name of an older one, from which it differs by rows and ... */
	uint64_t touched[COW_STATE_TOUCHED]; /* ... at most by the bodies (and their times) of these inodes */
	size_t n_touched;
} CowState;
/* Of what was frozen: to be asked between cowfs_freeze and cowfs_freeze_release. */
void cowfs_state(Cowfs *fs, CowState *out);

/* ---- pins: what the front end lays over the view; not stored, given anew at each open, before the first guest (but for cowfs_pin_hide and sockets) ---- */

/* Below the host directory `path` changes go straight to it (--rw), or answer -EROFS (ro), wherever guests have moved it. -ENOENT (also: guests
 * have removed or replaced a directory above it), -ENOTDIR, -EACCES. */
int cowfs_pin_grant(Cowfs *fs, const char *path, bool writable) MUST_CHECK;
/* Unix sockets of the host, to which guests may connect as long as they have not changed them. First the paths are looked up, one after the other, into a list (NULL: an empty one);
 * then the list takes the place of the one before, and is cowfs's, or is freed. -ENOENT, -ENOTSOCK, -EACCES, -ENOMEM. */
typedef struct CowGrant CowSockets;
int cowfs_find_socket(Cowfs *fs, const char *path, CowSockets **list) MUST_CHECK;
void cowfs_pin_sockets(Cowfs *fs, CowSockets *list);
void cowfs_free_sockets(CowSockets *list); /* NULL is allowed */
/* The host's `path` looks as if it were not there, wherever guests have moved the directories above it; a guest may make its own. A symlink
 * is hidden with what it leads to. Missing ancestors on the host: success, nothing to hide. Also while guests run, and again: what they have opened by then
 * they keep, and so other names that they have given to it. */
int cowfs_pin_hide(Cowfs *fs, const char *path) MUST_CHECK;
/* `path` is a directory (opaque: the host's content is not seen) that starts empty; entries made in it are kept like others
 * but never listed by cowfs_changes. Parents must exist. Used for /dev and /dev/shm. */
int cowfs_pin_dir(Cowfs *fs, const char *path, mode_t mode) MUST_CHECK;
int cowfs_pin_symlink(Cowfs *fs, const char *path, const char *target) MUST_CHECK;
/* `path` is the host's object of that name, opened with any access mode straight on the host, never copied up (device nodes). */
int cowfs_pin_device(Cowfs *fs, const char *path) MUST_CHECK;

/* A foreign file system: names below a pin that the front end answers itself. `path` is the path inside ("" = root, else without
 * leading slash, no "." or ".." components: cowfs walks component by component). */
typedef enum CowForeignKind { COW_F_NONE = 0, COW_F_DIR, COW_F_FILE, COW_F_SYMLINK, COW_F_MAGIC } CowForeignKind;
typedef struct CowForeignOps {
	/* Is there an object `path`? *kind says which. COW_F_MAGIC is a link that jumps (like /proc/self/fd/3, cwd, exe, root): follow()
	 * gives the object. -ENOENT, -EACCES, -ESRCH. */
	int (*lookup)(void *ctx, const CowReq *req, const char *path, CowForeignKind *kind);
	/* Where a magic link leads; the caller owns *out. -ENOENT when the object is no longer reachable by name. An object without a
	 * place in the view (pipe, socket, terminal, memory file) is a COW_FOREIGN loc of this same file system whose path ends in a slash;
	 * no walk makes such a path. lookup (COW_F_FILE), statx and open take it like any other; cowfs needs no case for it. */
	int (*follow)(void *ctx, const CowReq *req, const char *path, CowLoc *out);
	/* readlink(2) text of COW_F_SYMLINK and COW_F_MAGIC, not NUL-terminated; returns its length (cut to size). */
	ssize_t (*readlink)(void *ctx, const CowReq *req, const char *path, char *buf, size_t size);
	int (*statx)(void *ctx, const CowReq *req, const char *path, unsigned mask, struct statx *out);
	/* A host descriptor to hand to the guest (O_CLOEXEC). For directories a descriptor whose (st_dev, st_ino) is unique to `path`; cowfs
	 * asks for it with by_identity when the guest uses it. */
	int (*open)(void *ctx, const CowReq *req, const char *path, int flags, int *fd);
	/* Calls emit for each name, in a fixed order; emit's non-zero answer stops. */
	int (*list)(void *ctx, const CowReq *req, const char *path,
		    int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx);
	/* Does a directory descriptor with this identity belong here? Writes its path (at most size). -ENOENT if not. */
	int (*by_identity)(void *ctx, dev_t dev, ino_t ino, char *path, size_t size);
	/* NULL, or -EOPNOTSUPP: as the host's file system at the place where this one is pinned. */
	int (*statfs)(void *ctx, const char *path, struct statfs *out);
	/* What making a name that is not there answers (positive; 0: EACCES). procfs: ENOENT, its lookup fails before anything is checked. */
	int create_error;
	/* open with O_WRONLY etc. is decided by open(); every other change of a foreign object that is there is -EPERM, except that owner
	 * and times of a foreign symlink may be set without a lasting effect. */
} CowForeignOps;
int cowfs_pin_foreign(Cowfs *fs, const char *path, const CowForeignOps *ops, void *ctx, const CowForeign **out) MUST_CHECK;

/* ---- how much the layer may take (quota.c) ---- */

typedef struct CowQuotaConfig {
	uint64_t bytes, files; /* of bodies and database; of records; 0: no bound */
	void (*wake)(void *ctx); /* cowfs_quota_look is to be called soon: somebody may write from now on. Any thread, perhaps under cowfs' lock */
	void *ctx;
} CowQuotaConfig;
/* From now on what would go beyond is -EDQUOT: new records and copy-ups. Before the first guest, after the pins; once. Looks at all bodies that are here. -ENOMEM. */
int cowfs_quota_start(Cowfs *fs, const CowQuotaConfig *config) MUST_CHECK;

typedef struct CowGrowing {
	dev_t dev;
	ino_t ino;
} CowGrowing;
/* Looks at the bodies that somebody may be writing to. If there are more bytes than allowed, *n bodies that have grown since the last time are put into `growing` (which has room for *n); else *n is
 * 0. Returns after how many milliseconds it is to be done again, unless `wake` is called sooner. Any thread. */
unsigned cowfs_quota_look(Cowfs *fs, CowGrowing *growing, size_t *n);
/* Before the kernel allocates so much for a guest: 0 or -EDQUOT. */
int cowfs_quota_promise(Cowfs *fs, uint64_t bytes) MUST_CHECK;
/* Something was -EDQUOT: what guests have removed goes now, so that it may be tried again. May wait. */
void cowfs_quota_settle(Cowfs *fs);
enum { COW_FULL_BYTES = 1, COW_FULL_FILES = 2 };
unsigned cowfs_quota_full(Cowfs *fs); /* after -EDQUOT: which bound it was */
typedef struct CowQuotaUsage {
	uint64_t bytes, files, peak; /* peak: of bytes */
} CowQuotaUsage;
void cowfs_quota_usage(Cowfs *fs, CowQuotaUsage *out);

/* ---- finding objects ---- */

enum {
	COW_NOFOLLOW = 1,   /* the last component's symlink itself */
	COW_EMPTY_PATH = 2, /* "" means `at` itself (AT_EMPTY_PATH) */
	COW_DIRECTORY = 4,  /* -ENOTDIR unless a directory */
};

/* In all calls `at` is the start of a relative path (NULL: the root of the view; also what an absolute path starts from) and must be
 * a directory unless the path is "" with COW_EMPTY_PATH. `path` is at most PATH_MAX-1 bytes, any bytes but NUL.
 * Errors of every walk, in this order per component: -ENOENT (empty path), -ENAMETOOLONG, -ENOTDIR, -EACCES (search), -ENOENT,
 * -ELOOP (more than 40 links). */
int cowfs_resolve(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, uint64_t resolve, CowLoc *out) MUST_CHECK;

/* The object that a host descriptor or a kernel cwd refers to, by its identity. -ESTALE: not a known record; then the front end
 * reads the link text (/proc/<pid>/fd/N) and asks cowfs_by_host_path, which accepts it only if the view shows that very object (dev, ino)
 * under the virtual name of that host path; -ENOENT otherwise (hidden, replaced, deleted). */
int cowfs_by_identity(Cowfs *fs, dev_t dev, ino_t ino, CowLoc *out) MUST_CHECK;
int cowfs_by_host_path(Cowfs *fs, const CowReq *req, const char *host_path, dev_t dev, ino_t ino, CowLoc *out) MUST_CHECK;

/* Virtual path of an object (one of its names). Returns the length without NUL; -ENOENT if it has no name any more, -ERANGE. */
ssize_t cowfs_virtual_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size) MUST_CHECK;
/* Has this object lost its last name? */
bool cowfs_is_removed(Cowfs *fs, const CowLoc *loc);
/* The path that a removed object had (as Linux shows it before " (deleted)"); of any other its virtual path. -ENOENT if it never had one, -ERANGE. */
ssize_t cowfs_removed_path(Cowfs *fs, const CowLoc *loc, char *buf, size_t size) MUST_CHECK;
/* The virtual path that a host path (of the lower layer, a marker directory or a blob) stands for; for texts like /proc/<pid>/maps and exe. Of an
 * object that has lost its last name -ENOENT, or, with `removed` (then true; untouched or false otherwise), the path that it had. */
ssize_t cowfs_virtual_of_host(Cowfs *fs, const char *host_path, bool *removed, char *buf, size_t size) MUST_CHECK;

/* ---- reading ---- */

int cowfs_statx(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, unsigned mask, struct statx *out) MUST_CHECK;
/* The same for a descriptor whose raw host statx is known: replaces what the record knows better, and the owner with whom the view shows. Never fails. */
void cowfs_translate_statx(Cowfs *fs, struct statx *inout);
/* access(2) with R_OK|W_OK|X_OK or F_OK. */
int cowfs_access(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, int mode) MUST_CHECK;
ssize_t cowfs_readlink(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, char *buf, size_t size) MUST_CHECK;
int cowfs_statfs(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, struct statfs *out) MUST_CHECK;

/* Fills `buf` with linux_dirent64 records from position *pos on, and moves *pos. Positions are stable while entries come and go: the
 * position of an entry is a 62-bit hash of its name (1 and 2 are "." and ".."). Returns the bytes filled, 0 at the end, -EINVAL if the
 * first record does not fit. For COW_NODE and COW_FOREIGN directories. */
ssize_t cowfs_getdents(Cowfs *fs, const CowReq *req, const CowLoc *dir, uint64_t *pos, void *buf, size_t size) MUST_CHECK;
/* Does this directory have any change or pin in it? If not, the front end may let the kernel list the raw descriptor. */
bool cowfs_dir_is_clean(Cowfs *fs, const CowLoc *dir);
/* For a raw lower descriptor whose directory was changed after it had been opened: removes what is no longer there from
 * `len` bytes of kernel records and corrects d_ino/d_type. Returns the new length (0: everything was filtered: read on). */
size_t cowfs_filter_dents(Cowfs *fs, const CowLoc *dir, void *buf, size_t len);
/* Then, at the kernel's end of directory: the entries that only the sandbox has, from *cursor (start with 0) on. */
ssize_t cowfs_upper_dents(Cowfs *fs, const CowLoc *dir, uint64_t *cursor, void *buf, size_t size) MUST_CHECK;

/* ---- opening ---- */

typedef struct CowFile {
	int fd;	      /* host descriptor to hand to the guest, O_CLOEXEC; the caller's to close */
	bool created; /* this call made the file */
} CowFile;

/* open(2), creat(2), openat(2), openat2(2): how->flags, how->mode (umask applied by the caller), how->resolve. Includes O_CREAT, O_EXCL,
 * O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE, O_NOATIME. Directories with any change give a marker directory of
 * mark_dir; untouched ones the host's own. Errors as in open(2). */
int cowfs_openat(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, const struct open_how *how, CowFile *out) MUST_CHECK;
/* Reopens an object itself (/proc/self/fd/N, O_TMPFILE leftovers). -ENOENT for a removed directory: who has a descriptor opens that anew. */
int cowfs_open_loc(Cowfs *fs, const CowReq *req, const CowLoc *loc, int flags, CowFile *out) MUST_CHECK;

/* A host directory that stands for this directory as a kernel cwd: the host's own for an untouched one, else its marker. O_PATH
 * descriptor, and its host path. */
int cowfs_cwd_place(Cowfs *fs, const CowReq *req, const CowLoc *dir, int *fd, char *path, size_t size) MUST_CHECK;

/* The host object (O_PATH) that inotify_add_watch(2) with `mask` is to be done on for this object: from then on every change of it that
 * cowfs makes, and every native read and write of bodies opened through cowfs later, raises the events that Linux would. */
int cowfs_watch_place(Cowfs *fs, const CowReq *req, const CowLoc *loc, uint32_t mask, int *fd) MUST_CHECK;

/* ---- changing names ---- */

int cowfs_mkdir(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode) MUST_CHECK;
int cowfs_mknod(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode, dev_t dev) MUST_CHECK;
int cowfs_symlink(Cowfs *fs, const CowReq *req, const char *target, const CowLoc *at, const char *path) MUST_CHECK;
/* flags: AT_SYMLINK_FOLLOW, AT_EMPTY_PATH (also how an O_TMPFILE file gets a name). */
int cowfs_link(Cowfs *fs, const CowReq *req, const CowLoc *old_at, const char *old_path, const CowLoc *new_at, const char *new_path, int flags) MUST_CHECK;
/* flags: 0 or AT_REMOVEDIR. */
int cowfs_unlink(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, int flags) MUST_CHECK;
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE (RENAME_WHITEOUT: -EINVAL). O(1) for directories of any size. */
int cowfs_rename(Cowfs *fs, const CowReq *req, const CowLoc *old_at, const char *old_path, const CowLoc *new_at, const char *new_path, unsigned flags) MUST_CHECK;

/* A unix socket at `path`: makes its record and gives the host path (short enough for sun_path) to bind(2) to; the caller
 * calls cowfs_socket_done with the result of its bind, which publishes or undoes. Below a grant *hold gets a descriptor that
 * host_path goes through: the caller's to close after use (untouched otherwise; the same in cowfs_socket_place). bind(2): -EADDRINUSE if the name is there. */
int cowfs_socket_begin(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, mode_t mode, char *host_path, size_t size, CowLoc *out, int *hold) MUST_CHECK;
void cowfs_socket_done(Cowfs *fs, const CowLoc *socket, int bind_result);
/* For connect(2)/sendto(2): the host path of a socket made in the sandbox, or of a granted host socket. -ECONNREFUSED for other
 * objects and for host sockets that were not granted, -EACCES without write permission. */
int cowfs_socket_place(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, char *host_path, size_t size, int *hold) MUST_CHECK;

/* ---- changing metadata ---- */

enum { COW_SET_MODE = 1, COW_SET_UID = 2, COW_SET_GID = 4, COW_SET_ATIME = 8, COW_SET_MTIME = 16, COW_TIMES_NOW_OK = 32, COW_CHOWN = 64 };
typedef struct CowAttr {
	unsigned set; /* COW_CHOWN: it is a chown, which clears set-id bits even when it sets neither owner nor group. COW_TIMES_NOW_OK: both times are "now" (write permission is enough, as for utimes(path, NULL)) */
	mode_t mode;
	uid_t uid; /* chown(2) sets COW_SET_UID | COW_SET_GID whatever its arguments: -1 leaves the id, but drops set-ID bits all the same */
	gid_t gid;
	struct timespec atime, mtime; /* tv_nsec may be UTIME_NOW */
} CowAttr;
int cowfs_setattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const CowAttr *attr) MUST_CHECK;
int cowfs_truncate(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, uint64_t size) MUST_CHECK;

ssize_t cowfs_getxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name, void *value, size_t size) MUST_CHECK;
ssize_t cowfs_listxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, char *list, size_t size) MUST_CHECK;
/* xflags: XATTR_CREATE, XATTR_REPLACE. user.* on regular files and directories; trusted.* and security.* for uid 0 only (stored as a row,
 * never given to the host); system.posix_acl_*: -EOPNOTSUPP. */
int cowfs_setxattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name, const void *value, size_t size, int xflags) MUST_CHECK;
int cowfs_removexattr(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *name) MUST_CHECK;

/* fsync(2)/fdatasync(2) of an object: bytes, then names and metadata (commit barrier). NULL: everything (sync, syncfs). */
int cowfs_fsync(Cowfs *fs, const CowReq *req, const CowLoc *loc) MUST_CHECK;

/* ---- exec ---- */

typedef struct CowExec {
	char host_path[PATH_MAX]; /* what the kernel can execute; last component as the guest named it, where the object is a blob */
	bool lower;		  /* an untouched host file whose canonical path equals the virtual one */
	int fd;			  /* O_RDONLY descriptor of the bytes (for reading "#!" and PT_INTERP); the caller's */
} CowExec;
/* Checks execute permission and type (-EACCES, -ENOENT, -ENOTDIR, -ELOOP, -ETXTBSY while open for writing). `exec_dir` is where a link with
 * the guest's own file name is made for a blob (removed by the caller after the exec); it is made, too, if it is missing. */
int cowfs_exec_place(Cowfs *fs, const CowReq *req, const CowLoc *at, const char *path, unsigned flags, const char *exec_dir, CowExec *out) MUST_CHECK;

/* ---- what changed (diff, apply) ---- */

/* COW_BURIED: differences in this directory or below it that have no path, as it would be longer than PATH_MAX. */
typedef enum CowChangeKind { COW_ADDED, COW_MODIFIED, COW_DELETED, COW_TYPE_CHANGED, COW_RENAMED, COW_BURIED } CowChangeKind;
/* Bits of what differs of a modified object. */
enum { COW_DIFF_CONTENT = 1, COW_DIFF_MODE = 2, COW_DIFF_OWNER = 4, COW_DIFF_TIMES = 8, COW_DIFF_XATTR = 16, COW_DIFF_TARGET = 32,
	COW_DIFF_LOST = 64 /* of any kind: the store lacks the content, and size and times with it (read-only views only) */ };
typedef struct CowIdentity { /* of a host file when the sandbox first rested on it */
	uint64_t dev, ino, size;
	struct timespec mtime, ctime;
	uint32_t mode, uid, gid;
	bool known; /* else the rest is 0 */
} CowIdentity;
typedef struct CowChange {
	CowChangeKind kind;
	const char *path;     /* virtual */
	const char *old_path; /* COW_RENAMED: where it came from */
	const char *host_path; /* where the host has, or would have, the object that it is a change of: old_path, or path, but for what is below a rename;
				* NULL if nowhere */
	const char *over_path; /* COW_RENAMED: the same for what `path` named before */
	unsigned diff;	      /* COW_DIFF_* for COW_MODIFIED, COW_RENAMED */
	struct statx now;     /* not for COW_DELETED */
	CowIdentity base;     /* of the host object at host_path; of what was deleted or replaced, too */
	CowIdentity over;     /* COW_RENAMED: of the host object at over_path; not known if it named none */
	const char *link_to;  /* this object is another name of the file at link_to, reported earlier; else NULL */
	bool anew; /* no difference by itself (see diff): COW_MODIFIED, a directory of the sandbox's own, while the host's (or one above it) is
		    * renamed elsewhere; COW_RENAMED, the host's object in such a directory under its old path */
} CowChange;
/* Calls `visit` for every difference between the view and the host, sorted by path (parents before children; a deleted directory is
 * one entry; an added directory is followed by its content). A renamed lower directory is one COW_RENAMED entry, followed by changes
 * below it. What was changed and changed back to the same bytes and metadata is not reported unless `raw`. Times alone of
 * directories (a consequence of entries) are not a change. Non-zero from visit stops and is returned. */
int cowfs_changes(Cowfs *fs, bool raw, int (*visit)(void *ctx, const CowChange *change), void *ctx) MUST_CHECK;
/* What has a record, as a layer over any host: nothing of it depends on what the host has now. */
typedef struct CowLayerItem {
	const char *path;
	uint64_t id; /* the same for all names of one file; 0: the name is deleted */
	bool is_dir;
	bool moved;  /* it rests on a host object of another place: that is part of the layer (of a directory, all that is in it) */
	bool passed; /* the host's object of this place, and unchanged: it leads to something, or only has a record */
	bool covers; /* a directory in the place of the host's object: nothing of that shows through */
	bool buries; /* not an item of its own: in this directory, or below it, are some whose path would be longer than PATH_MAX */
} CowLayerItem;
/* Calls `visit` for each, in the order of the names, each directory before what is in it. Directories that lead to something are among them. Non-zero from visit stops and is
 * returned. It may call cowfs. -ENOMEM. */
int cowfs_layer(Cowfs *fs, int (*visit)(void *ctx, const CowLayerItem *item), void *ctx) MUST_CHECK;
/* Where the bytes of an object are (a symbolic link is not followed): *blob, or 0 and the host's path ("": nowhere). Errors of a walk. */
int cowfs_body(Cowfs *fs, const CowReq *req, const char *path, BlobId *blob, char host[PATH_MAX]) MUST_CHECK;
/* Content of one object of the view, read-only, for cat, diff -p and apply. */
int cowfs_open_virtual(Cowfs *fs, const char *path, int flags, int *fd) MUST_CHECK;

/* ---- counters and checks ---- */

typedef struct CowfsStats {
	uint64_t nodes, dentries, whiteouts, blobs, blob_bytes, copy_ups, commits;
	uint64_t lost; /* files whose content the store lacks: a read-only view is opened all the same */
} CowfsStats;
void cowfs_stats(Cowfs *fs, CowfsStats *out);
/* Verifies the numbered invariants of the index and the database; *err names the first violation. 0 or -EUCLEAN. For tests, doctor and fsck. */
int cowfs_check(Cowfs *fs, char **err) MUST_CHECK;

#endif
