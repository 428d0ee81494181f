/* supervisor/procfs_internal.h - what the procfs*.c files share: the allow-list's rows and a parsed path. */
#ifndef SUPERVISOR_PROCFS_INTERNAL_H
#define SUPERVISOR_PROCFS_INTERNAL_H

#include "supervisor/foreign_internal.h"

typedef struct ProcPath ProcPath;

typedef enum ProcKind {
	PROC_DIR,	  /* the host's directory; list() filters it */
	PROC_RAW,	  /* the host's file, handed over as it is (the kernel keeps it bound to its process) */
	PROC_TEXT,	  /* rendered into a sealed memory file at open, because the host's text names what a guest must not see */
	PROC_DENIED,	  /* is there, but cannot be opened: -EACCES */
	PROC_SELF,	  /* link to the caller's process */
	PROC_THREAD_SELF, /* link to the caller's thread */
	PROC_LINK,	  /* link with a fixed text */
	PROC_CWD,
	PROC_ROOT,
	PROC_EXE,
	PROC_FD, /* fd/N */
	PROC_NS, /* ns/NAME: readlink and stat, no open */
} ProcKind;

enum {
	ROW_WRITE_OWN = 1, /* the caller's own process may open it for writing */
	ROW_OWN = 2,	   /* opens for the caller's own process only */
	ROW_LIVE = 4,	   /* of a PROC_TEXT: is kept up to date while somebody has it open */
	/* A PROC_TEXT is rendered only where the sandbox ... ; elsewhere the host's file is right */
	ROW_IF_CPUS = 8,     /* ... has not all processors */
	ROW_IF_MEMORY = 16,  /* ... has a bound of memory */
	ROW_IF_NAME = 32,    /* ... has a host name of its own */
	ROW_IF_RELEASE = 64, /* ... has a kernel release of its own */
	ROW_IF_IDS = 128,    /* ... has processes with ids of their own (ForeignEnv.ids_of) */
};

typedef struct ProcRow {
	const char *path; /* inside its scope; "#" stands for a number */
	ProcKind kind;
	unsigned flags;
	const char *target; /* PROC_LINK */
	/* PROC_TEXT: the guest's text of the host's `in` (NUL-terminated, may be cut up), into `out`. */
	int (*render)(const Foreign *f, const ProcPath *at, char *in, FILE *out);
} ProcRow;

/* A path taken apart. The process it leads through is held by `ref` (NULL for the global part), so that dirfd and rel can only
 * mean that process. */
struct ProcPath {
	const ProcRow *row;
	ProcRef *ref;
	pid_t tid;		/* whose descriptors, cwd, ... are meant */
	bool own;		/* of the caller's thread group */
	bool caller;		/* the calling thread itself */
	bool may_block;
	bool target;		/* the object behind the link (see procfs_link.c) */
	int dirfd;		/* start of rel; not owned */
	const char *name;	/* last component of rel */
	char rel[PATH_MAX / 8]; /* host path from dirfd; "" is dirfd itself */
};

/* -ENOENT for what is not in the allow-list or not a guest's. Existence of the leaf is not looked at. */
int procfs_parse(Foreign *f, const CowReq *req, const char *path, ProcPath *out) MUST_CHECK;
void procfs_release_path(Foreign *f, ProcPath *at);

/* Rows (procfs_table.c); NULL: not in the list. `path` is relative to /proc or to the directory of a process or thread. */
const ProcRow *procfs_global_row(const char *path);
const ProcRow *procfs_task_row(const char *path);

/* Links (procfs_link.c). */
int procfs_follow(void *ctx, const CowReq *req, const char *path, CowLoc *out);
ssize_t procfs_readlink(void *ctx, const CowReq *req, const char *path, char *buf, size_t size);
/* Opens the object behind fd/N that has no place in the view. */
int procfs_open_target(Foreign *f, const ProcPath *at, int flags, int *fd) MUST_CHECK;

/* Texts (procfs_render.c). -EINPROGRESS: it takes milliseconds, and may_block is false. */
int procfs_open_text(Foreign *f, const ProcPath *at, int *fd) MUST_CHECK;
int procfs_open_live(Foreign *f, const ProcPath *at, int *fd) MUST_CHECK;
int procfs_render_maps(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_numa_maps(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_status(const Foreign *f, const ProcPath *at, char *in, FILE *out);
/* procfs_mounts.c */
int procfs_render_mounts(const Foreign *f, const ProcPath *at, char *in, FILE *out);
/* procfs_host.c */
int procfs_render_cpuinfo(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_loadavg(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_meminfo(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_stat(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_uptime(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_version(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_uts(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_boot_id(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_task_stat(const Foreign *f, const ProcPath *at, char *in, FILE *out);
/* procfs_net.c */
int procfs_render_sockets(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_counters(const Foreign *f, const ProcPath *at, char *in, FILE *out);
/* procfs_neutral.c: what would tell of the host's doings, with nothing in it */
int procfs_render_header(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_file_nr(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_cgroups(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_cgroup(const Foreign *f, const ProcPath *at, char *in, FILE *out);
int procfs_render_cpuset(const Foreign *f, const ProcPath *at, char *in, FILE *out);

#endif
