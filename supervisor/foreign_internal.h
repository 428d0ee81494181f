/* supervisor/foreign_internal.h - what the files behind foreign.h share. Nobody else includes it. */
#ifndef SUPERVISOR_FOREIGN_INTERNAL_H
#define SUPERVISOR_FOREIGN_INTERNAL_H

#include "supervisor/foreign.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define DELETED " (deleted)" /* behind the path of an object that has no name any more */

typedef enum ForeignFs { FOREIGN_PROC, FOREIGN_SYS, FOREIGN_PTS, FOREIGN_FS_COUNT } ForeignFs;

/* ---- identities (foreign_ident.c): (dev, ino) of what was opened for guests -> path inside its file system ---- */

typedef struct IdentTable IdentTable;
int ident_new(IdentTable **out) MUST_CHECK;
void ident_free(IdentTable *table);
/* Forgets the oldest entry when full. Best effort: what is not remembered is found by its link text (cowfs_by_host_path). */
void ident_put(IdentTable *table, ForeignFs fs, dev_t dev, ino_t ino, const char *path);
/* -ENOENT, -ERANGE. */
int ident_get(IdentTable *table, ForeignFs fs, dev_t dev, ino_t ino, char *path, size_t size) MUST_CHECK;
bool ident_used(IdentTable *table);
void ident_put_fd(IdentTable *table, ForeignFs fs, int fd, const char *path);

/* ---- terminals (devpts.c) ---- */

typedef struct Terminals Terminals;
int terminals_new(Terminals **out) MUST_CHECK;
void terminals_free(Terminals *t);
extern const CowForeignOps devpts_ops;

/* ---- texts that are kept up to date while somebody has them open (procfs_render.c) ---- */

typedef struct LiveTexts LiveTexts;
int live_new(LiveTexts **out) MUST_CHECK;
void live_free(LiveTexts *l);

/* ---- the others ---- */

enum { GIVEN_MAX = 256 };
typedef struct Given {
	dev_t dev;
	ino_t ino;
} Given;
bool foreign_is_given(const Foreign *f, const struct stat *st);

extern const CowForeignOps procfs_ops;
extern const CowForeignOps sysfs_ops;
int devfs_pin(Foreign *f) MUST_CHECK;

struct Foreign {
	ForeignEnv env;
	pthread_mutex_t *given_lock; /* own allocation: ops get a const Foreign; protects the next two */
	Given given[GIVEN_MAX];	     /* a ring: the newest replaces the oldest */
	size_t given_next;
	char **private_dirs; /* scratch_dir and env.private_dirs, copied; NULL-terminated */
	ProcTree *tree;
	IdentTable *ident;
	Terminals *terminals;
	LiveTexts *live;
	int proc_fd, sys_fd;		     /* O_PATH directories of the host */
	const CowForeign *fs[FOREIGN_FS_COUNT]; /* as given by cowfs_pin_foreign */
};

static inline SupCaller *foreign_caller(const CowReq *req)
{
	return req ? req->caller : NULL;
}
/* statx of an object of the host, as the ops want it. */
int foreign_statx(int dirfd, const char *path, int at_flags, unsigned mask, struct statx *out) MUST_CHECK;
/* Lists the host's directory `fd` (taken over), the names that `shown` lets through. */
int foreign_list(int fd, bool (*shown)(void *ctx, const char *name), void *ctx,
		 int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx) MUST_CHECK;
/* The part of open(2)'s flags that is passed to the host's open; cowfs has dealt with creation. */
int foreign_open_flags(int flags);
/* For readlink ops. */
ssize_t foreign_cut(const char *text, char *buf, size_t size);
ssize_t foreign_readlinkat(int dirfd, const char *path, char *buf, size_t size) MUST_CHECK; /* NUL-terminated; -ERANGE when cut */

/* Another descriptor of a file that we have open, with a position of its own. Of the flags the access mode and O_PATH count. */
int foreign_reopen(const Foreign *f, int own, int flags, int *fd) MUST_CHECK;
/* A read-only descriptor of a memory file with these bytes, which nobody can change any more. */
int foreign_sealed_file(const Foreign *f, const char *name, const char *text, size_t len, int flags, int *fd) MUST_CHECK;

/* Does the line mention one of the private directories, or something below one? */
bool foreign_is_private(const Foreign *f, const char *text);
/* What a path text of the kernel (link of /proc/<pid>/..., column of maps; " (deleted)" at the end kept) reads like for a guest.
 * NUL-terminated. Texts that are no path of a file ("/memfd:x", "pipe:[1]") stay. */
void foreign_guest_text(const Foreign *f, const char *host, char *buf, size_t size);

#endif
