/* tests/oracle/oracle.h - the random-operation oracle: the same operations on a view of cowfs and on a real copy of its lower tree.
 *
 * A World is one scratch directory with
 *   lower/t/t/t/t/root   the prepared tree under the view: must never change
 *   plain/t/t/t/t/root   the same tree, changed by real system calls ("plain" is as long as "lower": symlinks have equal sizes)
 *   store, meta.db, marks   what cowfs needs
 * The levels of "t" make a few ".." too many the same on both sides.
 *
 * An Op is concrete when it is made: replaying any subset of recorded operations is meaningful, which is what shrinking a failure needs.
 * A path that starts with '@' is absolute: each side puts its own root in that place. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include "base/hmap.h"
#include "base/util.h"

#include <limits.h>

#include "cowfs/cowfs.h"

#include <fcntl.h>
#include <stdio.h>

enum { FILE_SLOTS = 8, DIR_SLOTS = 4, DATA_MAX = 8192 };

typedef enum OpKind {
	OP_OPEN,
	OP_OPENDIR,
	OP_CLOSE,
	OP_READ,
	OP_PREAD,
	OP_WRITE,
	OP_PWRITE,
	OP_FTRUNCATE,
	OP_FSTAT,
	OP_FCHMOD,
	OP_FCHOWN,
	OP_FUTIMENS,
	OP_FSETXATTR,
	OP_FSYNC,
	OP_FLINK,
	OP_REOPEN_FD,
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_RENAME,
	OP_LINK,
	OP_SYMLINK,
	OP_READLINK,
	OP_MKNOD,
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIMENS,
	OP_TRUNCATE,
	OP_SETXATTR,
	OP_GETXATTR,
	OP_LISTXATTR,
	OP_REMOVEXATTR,
	OP_ACCESS,
	OP_STAT,
	OP_LIST,
	OP_LIST_START,
	OP_LIST_STEP,
	OP_LIST_END,
	OP_COMMIT,
	OP_REOPEN,
	OP_KINDS
} OpKind;

typedef struct Op {
	OpKind kind;
	int at1, at2;	   /* directory slot that p1/p2 start from; -1: the root of the tree */
	int slot;	   /* file or directory slot used or filled */
	int flags;	   /* open flags, AT_SYMLINK_NOFOLLOW and the like, rename flags, xattr flags, access mode */
	unsigned resolve;  /* openat2 RESOLVE_* */
	mode_t mode;	   /* with S_IFMT for mknod */
	int64_t a, b;	   /* offset/size, length; uid, gid; times (see op_times) */
	const char *p1, *p2; /* paths; xattr name and symlink text are p2 */
} Op;

/* What a guest can see of an object, made comparable: a time of this run is "recent", an inode number is compared as a group elsewhere. */
typedef struct Meta {
	unsigned mode, uid, gid, nlink;
	int64_t size, mtime_sec, mtime_nsec;
} Meta;

typedef struct Result {
	long ret; /* -errno, or the call's value */
	size_t len;
	bool has_meta;
	bool skip; /* a documented difference: data is not compared */
	Meta meta;
	unsigned char data[DATA_MAX];
} Result;

typedef struct Names {
	char **name;
	uint64_t *ino;
	unsigned char *type;
	size_t len, cap;
} Names;

typedef struct Listing { /* an OP_LIST_* in progress, on the view only */
	bool active, raw, raw_done, done;
	uint64_t pos, cursor;
	Names before, seen;
} Listing;

typedef struct World {
	char dir[128];
	char lower[192], plain[192]; /* the two roots */
	const char *scheme;	     /* blob backend */
	int64_t start_sec;	     /* times from here on are "recent" */
	int64_t mark_sec, mark_nsec; /* the last full check */
	Cowfs *fs;
	CowCred cred;
	gid_t groups[64];
	int real_root;
	int real_file[FILE_SLOTS], real_dir[DIR_SLOTS];
	int cow_file[FILE_SLOTS], cow_dir[DIR_SLOTS];
	struct timespec opened_ctime[FILE_SLOTS]; /* of the real file, after the open */
	Listing listing[DIR_SLOTS];
	char **paths; /* what is in the tree, as of the last check: for generating operations */
	size_t npaths, ndirs;
	void *identities; /* tree.c: (real inode, birth time) -> inode in the view */
	char why[1024];	  /* the first difference found */
} World;

typedef struct Record { /* in memory shared with child processes */
	size_t count, used;
	Op ops[];
} Record;

#define MAX_OPS 4000000

extern bool oracle_watches; /* what is asked for its metadata gets an inotify watch, too: nothing else may change by that */

/* world.c */
extern Record *record;
void record_init(void);
const char *record_keep(const char *text);
void *shared_alloc(size_t size);
int world_init(World *w, const char *base, const char *scheme, uint64_t seed); /* trees prepared, view open; -1 with w->why */
void world_release(World *w, bool keep);

/* random.c */
uint64_t random_u64(uint64_t *state);
unsigned random_below(uint64_t *state, unsigned n);
void fill_pattern(unsigned char *buf, size_t len, uint64_t seed);

/* prepare.c */
int tree_prepare(const char *root, uint64_t seed);

/* generate.c; strings come from `keep`, which copies what it is given */
typedef const char *KeepFn(const char *text);
void op_generate(const World *w, uint64_t *random, KeepFn *keep, Op *op);
const char *op_text(const Op *op, char *buf, size_t size);
void op_times(const Op *op, struct timespec times[2]);

/* real.c, cow.c */
void real_do(World *w, const Op *op, Result *res);
void cow_do(World *w, const Op *op, Result *res);
int cow_open_world(World *w, bool create);
int cow_close_world(World *w);

/* repack.c: of a world that is closed; 0, or -1 with w->why */
int cow_repack_world(World *w);
Meta meta_of(const World *w, const struct statx *st);
void sort_name_list(unsigned char *list, size_t len);
const char *expand(const char *root, const char *path, char *buf, size_t size);
void unexpand(const char *root, char *text, size_t len);

/* tree.c: 0, or -1 with w->why */
int tree_compare(World *w);
void tree_forget(World *w);
char *manifest_take(const char *root, bool contents); /* every name, stat field (not atime) and, if asked, content hash of a host tree */
uint64_t content_hash(int fd);
void tree_make_removable(const char *root); /* gives the owner all rights on the directories */

int world_fail(World *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
