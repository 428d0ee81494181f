/* lib/view.h - looking at a sandbox from outside, running or not: its cowfs opened read-only in this process. */
#ifndef LIB_VIEW_H
#define LIB_VIEW_H

#include <limits.h>

#include "cowfs/cowfs.h"
#include "lib/select.h"

/* Everything that a running supervisor has done so far is seen. All calls on one handle that overlap share one view, so what bv_sandbox_diff's
 * visitor opens belongs to the difference that it was told of. *out is NULL if the sandbox never held anything. view_put gives it back. */
int view_get(BvSandbox *sb, Cowfs **out, BvError **err) MUST_CHECK;
void view_put(BvSandbox *sb);
/* One of the caller's own, of this moment: the shared one may be older. out->fs is NULL if nothing was ever changed. */
int view_open(BvSandbox *sb, View *out, BvError **err) MUST_CHECK;
void view_release(View *view); /* of zeroes, too */
/* For where that is NULL and a view is needed all the same: the host with what is hidden. */
int view_open_untouched(BvSandbox *sb, Cowfs **out, BvError **err) MUST_CHECK;
void view_close(Cowfs *fs);
/* Are bodies of it perhaps elsewhere, to be fetched? Asks for one name, and opens nothing. */
bool view_is_remote(const BvSandbox *sb);
/* Its bodies, for reading. */
int view_open_blobs(const BvSandbox *sb, struct BlobStore **out, BvError **err) MUST_CHECK;
/* Can the database be opened, and is all of it sound? */
int view_check(BvSandbox *sb, BvError **err) MUST_CHECK;
/* A running supervisor writes what it has, and looks anew at what an apply has moved on the host. Success if none runs. */
int view_commit_running(BvSandbox *sb, BvError **err) MUST_CHECK;

/* The differences, copied, so that no lock of cowfs is held while somebody looks at them. */
typedef struct Change {
	CowChangeKind kind;
	unsigned diff;
	char *path, *old_path, *host_path, *over_path, *link_to; /* host_path and, for renames, over_path are never NULL */
	struct statx now;
	CowIdentity base, over; /* as in CowChange */
	bool anew;
	bool placeless; /* the host has nothing in its place, as far as the sandbox could see: host_path, or over_path, is just its path */
} Change;
typedef struct ChangeList {
	Change *items;
	size_t count, room;
	Strv buried; /* directories with selected changes that are not in the list, as they have no path (COW_BURIED); NULL: there are none */
} ChangeList;
enum {
	CHANGES_RAW = 1,  /* also what was changed and changed back */
	CHANGES_ANEW = 2, /* also directories that differ in nothing, but that the host has elsewhere (CowChange.anew) */
};
/* -ENAMETOOLONG: what is below `dir` has no path. */
int lib_fail_buried(const char *dir, BvError **err);
/* Those that are selected (NULL: all) and not synthetic, sorted by path_order. */
int changes_collect(Cowfs *fs, unsigned flags, Selection *selection, ChangeList *out) MUST_CHECK;
/* All of them to a visitor of bv_sandbox_diff; fs NULL: none. `what` stands in messages. */
int view_diff(Cowfs *fs, const char *what, const BvDiffOptions *options, int (*visit)(void *ctx, const BvChange *change), void *ctx, BvError **err) MUST_CHECK;
void changes_release(ChangeList *list);
BvChangeKind change_public_kind(CowChangeKind kind);

/* Whom a view of this sandbox shows as root. */
void view_take_identity(CowfsConfig *view, const SandboxConfig *config);

/* Requests of the user who looks: the owner of the sandbox, as who he is in it; config NULL: of root, to whom no record is closed. */
typedef struct ViewRequest {
	CowCred cred;
	CowReq req;
} ViewRequest;
void view_request_init(ViewRequest *request, const SandboxConfig *config);
/* /proc, /dev and /sys are of bvisor's own making: nothing there is a change. */
bool view_is_synthetic(const char *path);
/* Lays empty directories over these: the host's, as who looks would see them, tell of other processes, and of his own. What a guest has linked to /proc/self/environ would show that. */
int view_pin_empty(Cowfs *fs) MUST_CHECK;

#endif
