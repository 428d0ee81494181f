/* lib/view.c - see view.h; and the parts of the public interface that only look: diff, open_file, readlink. */
#include "lib/view.h"
#include "lib/unlock.h"
#include "lib/conn.h"
#include "lib/store.h"
#include "snapshot/fetcher.h"

#include <fcntl.h>
#include <sys/stat.h>

/* *out: the connection, if it is one of somebody who looks. */
static int commit_running(BvSandbox *sb, bool look, struct Conn **out, BvError **err)
{
	struct Conn *conn = NULL;
	cJSON *req;
	int r = sandbox_connect(sb, false, &conn, NULL);

	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return lib_fail(err, r, "cannot reach the supervisor of '%s': %s", sb->config.name, strerror(-r));
	req = conn_request("commit");
	if (req && (!cJSON_AddBoolToObject(req, "durable", false) || !cJSON_AddBoolToObject(req, "look", look)))
		r = -ENOMEM;
	r = conn_call(conn, req, NULL, 0, NULL, err);
	if (r == 0 && look)
		*out = conn;
	else
		conn_put(conn);
	return r == -ECONNRESET || r == -ESHUTDOWN ? 0 : r; /* it has just ended, and committed before */
}

int view_commit_running(BvSandbox *sb, BvError **err)
{
	return commit_running(sb, false, NULL, err);
}

/* What ends by itself when the connection does. */
static void end_look(struct Conn *conn)
{
	if (conn)
		IGNORE_RESULT(conn_call(conn, conn_request("looked"), NULL, 0, NULL, NULL));
	conn_put(conn);
}

void view_close(Cowfs *fs)
{
	if (cowfs_close(fs) < 0)
		return; /* nothing was written, so nothing can be lost */
}

int view_pin_empty(Cowfs *fs)
{
	static const char *const dirs[] = {"/dev", "/proc", "/sys"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(dirs); i++) {
		r = cowfs_pin_dir(fs, dirs[i], 0555);
		if (r == -ENOENT || r == -ENOTDIR)
			r = 0; /* the host has none */
	}
	return r;
}

static int add_pins(BvSandbox *sb, Cowfs *fs)
{
	CLEAN_STRV Strv hide = NULL;
	int r = hide_list(sb->store, &sb->config, &hide);

	if (r == 0)
		r = view_pin_empty(fs);
	for (size_t i = 0; r == 0 && hide && hide[i]; i++)
		r = cowfs_pin_hide(fs, hide[i]);
	for (size_t i = 0; r == 0 && sb->config.rw && sb->config.rw[i]; i++) {
		r = cowfs_pin_grant(fs, sb->config.rw[i], true);
		if (r == -ENOENT || r == -ENOTDIR)
			r = 0; /* removed from the host since */
	}
	return r;
}

void view_take_identity(CowfsConfig *view, const SandboxConfig *config)
{
	view->fake_root = config->fake_root;
	view->owner_uid = config->uid;
	view->owner_gid = config->gid;
}

bool view_is_remote(const BvSandbox *sb)
{
	CLEAN_FREE char *list = bv_asprintf("%s/blobs/remote", sandbox_data_dir(sb));

	return !list || access(list, F_OK) == 0;
}

int view_open_blobs(const BvSandbox *sb, BlobStore **out, BvError **err)
{
	const BlobOps *ops = blob_ops_find(backend_is_memory(sb->config.backend) ? "tmpfs" : "dir");
	CLEAN_FREE char *path = bv_asprintf("%s/blobs", sandbox_data_dir(sb));
	BlobStore *blobs = NULL;
	char *why = NULL;
	int r;

	if (!ops || !path)
		return lib_fail(err, ops ? -ENOMEM : -EINVAL, "cannot use the backend '%s'", sb->config.backend);
	r = ops->open(path, BLOB_OPEN_READONLY | BLOB_OPEN_LATE, &blobs, &why);
	if (r == 0)
		r = snap_fetcher_attach(blobs, unlock_keyring(sb), NULL, &why);
	if (r < 0) {
		blob_close(blobs);
		return lib_fail_text(err, r, why, path);
	}
	*out = blobs;
	return 0;
}

static int open_cowfs(BvSandbox *sb, const char *db, unsigned flags, Cowfs **out, BvError **err)
{
	CowfsConfig config = {.db_path = db, .flags = COWFS_READONLY | flags, .durable = !backend_is_memory(sb->config.backend)};
	Cowfs *fs = NULL;
	char *why = NULL;
	int r = view_open_blobs(sb, &config.blobs, err);

	view_take_identity(&config, &sb->config);
	if (r < 0)
		return r;
	r = cowfs_open(&config, &fs, &why);
	if (r < 0)
		return lib_fail_text(err, r, why, db);
	r = add_pins(sb, fs);
	if (r < 0) {
		view_close(fs);
		return lib_fail(err, r, "cannot lay the hidden paths over the view: %s", strerror(-r));
	}
	*out = fs;
	return 0;
}

/* No command has run yet, unless there are blobs: the database is made before the first one. */
static int find_lost_blobs(BvSandbox *sb, const char *db, BvError **err)
{
	BlobStore *blobs = NULL;
	int r = view_open_blobs(sb, &blobs, err);

	if (r < 0)
		return r;
	r = blob_any(blobs);
	blob_close(blobs);
	return r == 1 ? lib_fail(err, -EUCLEAN, "the database %s is missing, but blobs are there", db) : r;
}

static int open_now(BvSandbox *sb, unsigned flags, Cowfs **out, BvError **err)
{
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", sandbox_data_dir(sb));
	const char *data = sb->config.data_dir;

	if (!db)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (data && access(data, F_OK) < 0)
		return lib_fail(err, -ENOENT, "sandbox '%s': its data directory %s is gone%s", sb->config.name, data,
				backend_is_memory(sb->config.backend) ? " (it was in memory; a reboot empties that)" : "");
	*out = NULL;
	if (access(db, F_OK) == 0)
		return open_cowfs(sb, db, flags, out, err);
	return find_lost_blobs(sb, db, err);
}

int view_check(BvSandbox *sb, BvError **err)
{
	Cowfs *fs = NULL;
	int r = open_now(sb, COWFS_LAZY, &fs, err); /* packs were looked through when they were made */

	view_close(fs);
	return r;
}

int view_open(BvSandbox *sb, View *out, BvError **err)
{
	View view = {0};
	int r = commit_running(sb, true, &view.conn, err);

	if (r == 0)
		r = open_now(sb, 0, &view.fs, err);
	if (r < 0)
		end_look(view.conn);
	else
		*out = view;
	return r;
}

void view_release(View *view)
{
	view_close(view->fs);
	end_look(view->conn);
	*view = (View){0};
}

int view_get(BvSandbox *sb, Cowfs **out, BvError **err)
{
	pthread_mutex_lock(&sb->view_mu);
	int r = sb->view_users ? view_commit_running(sb, err) : view_open(sb, &sb->view, err);
	if (r == 0) {
		sb->view_users++;
		*out = sb->view.fs;
	}
	pthread_mutex_unlock(&sb->view_mu);
	return r;
}

void view_put(BvSandbox *sb)
{
	pthread_mutex_lock(&sb->view_mu);
	if (--sb->view_users == 0)
		view_release(&sb->view);
	pthread_mutex_unlock(&sb->view_mu);
}

int view_open_untouched(BvSandbox *sb, Cowfs **out, BvError **err)
{
	const char *given = getenv("TMPDIR"), *tmp = given && given[0] == '/' ? given : "/tmp";
	CLEAN_FREE char *dir = bv_asprintf("%s/bvisor-view-XXXXXX", tmp);
	CLEAN_FREE char *db = NULL, *blobs = NULL;
	CowfsConfig config = {.flags = COWFS_READONLY};
	Cowfs *fs = NULL;
	char *why = NULL;
	int r;

	if (!dir)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (!mkdtemp(dir))
		return lib_fail(err, bv_neg_errno(), "cannot make a temporary directory in %s: %s (set TMPDIR)", tmp, strerror(errno));
	db = bv_asprintf("%s/meta.db", dir);
	blobs = bv_asprintf("%s/blobs", dir);
	r = db && blobs ? 0 : -ENOMEM;
	CLEAN_FD int fd = r == 0 ? open(db, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1; /* an empty file: nothing was changed yet */
	if (r == 0 && fd < 0)
		r = bv_neg_errno();
	if (r == 0)
		r = blob_ops_find("dir")->open(blobs, BLOB_OPEN_READONLY | BLOB_OPEN_LATE, &config.blobs, &why);
	config.db_path = db;
	view_take_identity(&config, &sb->config);
	if (r == 0)
		r = cowfs_open(&config, &fs, &why);
	IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, dir)); /* it was read */
	if (r == 0)
		r = add_pins(sb, fs);
	if (r < 0) {
		view_close(fs);
		return lib_fail_text(err, r, why, dir);
	}
	*out = fs;
	return 0;
}

void view_request_init(ViewRequest *request, const SandboxConfig *config)
{
	bool root = !config || config->fake_root;

	*request = (ViewRequest){.cred = {.uid = root ? 0 : geteuid(), .gid = root ? 0 : getegid()}, .req = {.may_block = true}};
	request->req.cred = &request->cred;
}

bool view_is_synthetic(const char *path)
{
	return path_is_below(path, "/proc") || path_is_below(path, "/dev") || path_is_below(path, "/sys");
}

/* ---- diff ---- */

BvChangeKind change_public_kind(CowChangeKind kind)
{
	switch (kind) {
	case COW_ADDED: return BV_ADDED;
	case COW_DELETED: return BV_DELETED;
	case COW_TYPE_CHANGED: return BV_TYPE_CHANGED;
	case COW_RENAMED: return BV_RENAMED;
	case COW_BURIED: break; /* in no list */
	case COW_MODIFIED: break;
	}
	return BV_MODIFIED;
}

void changes_release(ChangeList *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].path);
		free(list->items[i].old_path);
		free(list->items[i].host_path);
		free(list->items[i].over_path);
		free(list->items[i].link_to);
	}
	free(list->items);
	strv_free(list->buried);
	memset(list, 0, sizeof(*list));
}

typedef struct Collect {
	ChangeList *list;
	Selection *selection;
	unsigned flags;
} Collect;

static int collect_change(void *ctx, const CowChange *c)
{
	const Collect *collect = ctx;
	ChangeList *l = collect->list;
	Change *item;
	bool plain = c->anew && !(collect->flags & CHANGES_ANEW); /* by its path alone */
	CowChangeKind kind = plain ? COW_MODIFIED : c->kind;

	if (view_is_synthetic(c->path) || (plain && !c->diff && c->kind != COW_BURIED))
		return 0;
	if (collect->selection) {
		int taken = selection_takes(collect->selection, change_public_kind(kind), c->path, c->kind == COW_RENAMED ? c->old_path : NULL);
		if (taken <= 0)
			return taken;
	}
	if (c->kind == COW_BURIED)
		return strv_add(&l->buried, c->path);
	if (!BV_GROW(l->items, l->count, l->room))
		return -ENOMEM;
	item = &l->items[l->count++];
	*item = (Change){.kind = kind, .diff = c->diff, .now = c->now, .base = c->base, .over = c->over, .anew = c->anew,
			 .placeless = kind == COW_RENAMED ? !c->over_path : !c->host_path, .path = strdup(c->path),
			 .host_path = strdup(c->host_path ? c->host_path : c->path)};
	if (kind == COW_RENAMED) {
		item->old_path = strdup(c->old_path);
		item->over_path = strdup(c->over_path ? c->over_path : c->path);
	}
	if (c->link_to)
		item->link_to = strdup(c->link_to);
	return item->path && item->host_path && (!c->link_to || item->link_to) && (kind != COW_RENAMED || (item->old_path && item->over_path)) ? 0 : -ENOMEM;
}

static int by_path(const void *a, const void *b)
{
	return path_order(((const Change *)a)->path, ((const Change *)b)->path);
}

int changes_collect(Cowfs *fs, unsigned flags, Selection *selection, ChangeList *out)
{
	ChangeList list = {0};
	Collect collect = {&list, selection, flags};
	int r = fs ? cowfs_changes(fs, flags & CHANGES_RAW, collect_change, &collect) : 0;

	if (r < 0) {
		changes_release(&list);
		return r;
	}
	if (list.count > 0)
		qsort(list.items, list.count, sizeof(*list.items), by_path);
	*out = list;
	return 0;
}

/* As recorded, else as the host has it now; 0 if it has none. */
static uint32_t old_mode(const Change *c)
{
	struct stat st;

	if (c->kind == COW_ADDED)
		return 0;
	if (c->base.known)
		return c->base.mode;
	return lstat(c->host_path, &st) == 0 ? st.st_mode : 0;
}

static BvChange public_change(const Change *c)
{
	bool gone = c->kind == COW_DELETED;

	_Static_assert(BV_DIFF_LOST == (int)COW_DIFF_LOST && BV_DIFF_CONTENT == (int)COW_DIFF_CONTENT && BV_DIFF_MODE == (int)COW_DIFF_MODE && BV_DIFF_OWNER == (int)COW_DIFF_OWNER &&
			       BV_DIFF_TIMES == (int)COW_DIFF_TIMES && BV_DIFF_XATTR == (int)COW_DIFF_XATTR && BV_DIFF_TARGET == (int)COW_DIFF_TARGET,
		       "the public bits are cowfs's");
	return (BvChange){
		.kind = change_public_kind(c->kind),
		.diff = c->diff,
		.path = c->path,
		.old_path = c->old_path,
		.host_path = c->host_path,
		.link_to = c->link_to,
		.mode = gone ? 0 : c->now.stx_mode,
		.old_mode = old_mode(c),
		.uid = gone ? 0 : c->now.stx_uid,
		.gid = gone ? 0 : c->now.stx_gid,
		.bytes = gone ? 0 : c->now.stx_size,
		.mtime_sec = gone ? 0 : c->now.stx_mtime.tv_sec,
		.mtime_nsec = gone ? 0 : (long)c->now.stx_mtime.tv_nsec,
	};
}

int lib_fail_buried(const char *dir, BvError **err)
{
	return lib_fail(err, -ENAMETOOLONG, "%.60s...: deep below it are names for which no path is long enough (%d bytes): they are not shown here and cannot be applied or exported; snapshots have them, and programs in the sandbox reach them from directories nearby",
			dir, PATH_MAX - 1);
}

int view_diff(Cowfs *fs, const char *what, const BvDiffOptions *options, int (*visit)(void *, const BvChange *), void *ctx, BvError **err)
{
	BvDiffOptions o = BV_DIFF_OPTIONS_INIT;
	Selection selection = {0};
	ChangeList list = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	r = selection_init(&selection, o.paths, (LinkSource){.fs = fs}, (LinkSource){0}, SELECT_AGREED, err);
	if (r < 0)
		return r;
	r = changes_collect(fs, o.flags & BV_DIFF_RAW ? CHANGES_RAW : 0, &selection, &list);
	if (r < 0)
		(void)lib_fail(err, r, "cannot compare %s with the host: %s", what, strerror(-r));
	for (size_t i = 0; r == 0 && i < list.count; i++) {
		BvChange change = public_change(&list.items[i]);
		r = visit(ctx, &change);
	}
	if (r == 0)
		r = selection_tell(&selection, &o, err);
	if (r == 0 && list.buried)
		r = lib_fail_buried(list.buried[0], err);
	changes_release(&list);
	selection_release(&selection);
	return r;
}

int bv_sandbox_diff(BvSandbox *sb, const BvDiffOptions *options, int (*visit)(void *, const BvChange *), void *ctx, BvError **err)
{
	CLEAN_FREE char *what = bv_asprintf("sandbox '%s'", sb->config.name);
	Cowfs *fs;
	int r = what ? view_get(sb, &fs, err) : lib_fail(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = view_diff(fs, what, options, visit, ctx, err);
	view_put(sb);
	return r;
}

/* ---- one file ---- */

/* The view for a question about one path; *err names the path. */
static int view_for_path(BvSandbox *sb, const char *path, Cowfs **fs, BvError **err)
{
	int r;

	if (path[0] != '/')
		return lib_fail(err, -EINVAL, "%s: not an absolute path", path);
	r = view_get(sb, fs, err);
	if (r < 0 || *fs)
		return r;
	view_put(sb);
	return lib_fail(err, -ENOENT, "no command has run in sandbox '%s' yet", sb->config.name);
}

/* A directory of the sandbox's own stands for itself only where something may be written (EROFS); that of the host has a descriptor, which shows less than the sandbox. */
static int open_no_directory(Cowfs *fs, const char *path, int *fd)
{
	CLEAN_FD int opened = -1;
	struct stat st;
	int r = cowfs_open_virtual(fs, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, &opened);

	if (r < 0)
		return r == -EROFS ? -EISDIR : r;
	if (fstat(opened, &st) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	*fd = TAKE_FD(opened);
	return 0;
}

int bv_sandbox_open_file(BvSandbox *sb, const char *path, int *fd, BvError **err)
{
	Cowfs *fs;
	int r = view_for_path(sb, path, &fs, err);

	if (r < 0)
		return r;
	r = open_no_directory(fs, path, fd);
	CLEAN_FREE char *why = r < 0 ? cowfs_fetch_error(fs) : NULL;
	view_put(sb);
	if (why)
		return lib_fail(err, r, "%s: %s", path, why);
	if (r == -EIO)
		return lib_fail(err, r, "%s: its content is missing from the store of sandbox '%s', or cannot be read (%s)", path, sb->config.name, strerror(-r));
	return r < 0 ? lib_fail(err, r, "%s: %s", path, strerror(-r)) : 0;
}

ssize_t bv_sandbox_readlink(BvSandbox *sb, const char *path, char *buf, size_t size, BvError **err)
{
	ViewRequest request;
	Cowfs *fs;
	ssize_t n;
	int r = size > 0 ? view_for_path(sb, path, &fs, err) : lib_fail(err, -EINVAL, "no room for the answer");

	if (r < 0)
		return r;
	view_request_init(&request, &sb->config);
	n = cowfs_readlink(fs, &request.req, NULL, path, COW_NOFOLLOW, buf, size - 1);
	view_put(sb);
	if (n < 0)
		return lib_fail(err, (int)n, "%s: %s", path, strerror((int)-n));
	buf[n] = '\0';
	return n;
}
