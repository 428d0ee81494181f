/* cowfs/closed.c - the view of a fake root: an ordinary user whose sandbox shows him as root.
 *
 * What belongs to him on the host is shown as root's, as in a user namespace, so that programs find "their" home (ssh, git) and diff finds no change of owner. All other
 * owners are shown as they are. What guests set themselves is kept as it was set.
 *
 * Root may work in any directory, and programs rely on that: apt downloads into directories of mode 0700 that belong to another user. Names in the sandbox's layer can be
 * made there, but what the host has there its kernel tells nobody but that user. So in a directory that the real user may not search, a name that he cannot list does not
 * exist, and one that he can is EACCES. One that he may not list, either, is *closed*: it looks empty but for what the sandbox has made in it. His own directories are never closed (owned.c lists them). Where
 * he may search, all is as the host says. */
#include "internal.h"

void owner_show(const Cowfs *fs, struct statx *st)
{
	if (!fs->fake_root)
		return;
	if (st->stx_uid == fs->owner_uid)
		st->stx_uid = 0;
	if (st->stx_gid == fs->owner_gid)
		st->stx_gid = 0;
}

static bool host_denies(const char *path, int want)
{
	return faccessat(AT_FDCWD, path, want, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0 && errno == EACCES;
}

bool dir_denies_search(const Cowfs *fs, const char *path)
{
	return fs->fake_root && host_denies(path, X_OK);
}

bool dir_is_closed(Cowfs *fs, const char *path)
{
	struct statx st;

	if (!dir_denies_search(fs, path) || !host_denies(path, R_OK))
		return false;
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) == 0 && S_ISDIR(st.stx_mode) && st.stx_uid != fs->owner_uid;
}

bool dir_hides_name(Cowfs *fs, const char *path, const char *name)
{
	return dir_denies_search(fs, path) && dir_lists_name(fs, path, name) == 0;
}

/* Of a record, the walk has asked. */
static bool may_search(CowWalk *w, const char *path)
{
	struct statx st;

	if (node_by_origin(w->fs, path, strlen(path)))
		return true;
	return lower_statx(w->fs, NULL, path, &st) == 0 && cred_allows(w->req->cred, st.stx_mode, st.stx_uid, st.stx_gid, X_OK) == 0;
}

int closed_lookup(CowWalk *w, int rc)
{
	char *slash = strrchr(w->path, '/');

	if (rc != -EACCES || !w->fs->fake_root || slash == w->path)
		return rc;
	*slash = '\0';
	bool lacks = dir_hides_name(w->fs, w->path, slash + 1) && may_search(w, w->path);
	*slash = '/';
	return lacks ? -ENOENT : rc;
}

static const char *host_path(const CowWalk *w)
{
	return w->cur.kind == COW_NODE ? w->cur.node->origin : w->cur.kind == COW_LOWER ? w->path : NULL;
}

bool walk_is_closed(const CowWalk *w)
{
	return host_path(w) && dir_is_closed(w->fs, host_path(w));
}

bool walk_denies_search(const CowWalk *w)
{
	return host_path(w) && dir_denies_search(w->fs, host_path(w));
}
