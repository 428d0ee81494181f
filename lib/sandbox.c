/* lib/sandbox.c - handles on sandboxes: making, opening, reaching the supervisor, removing. */
#include "lib/launch.h"
#include "lib/hold.h"
#include "lib/limits.h"
#include "lib/settle.h"
#include "lib/sync.h"
#include "lib/unlock.h"
#include "lib/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define KEEP_UNNAMED 10
#define NAME_ATTEMPTS 1000
#define CLAIM_TRIES 500  /* of 10 ms */
#define START_TRIES 6000 /* of 10 ms: a supervisor that ends may have much to write, a snapshot much to read */

static void handle_free(BvSandbox *sb)
{
	if (!sb)
		return;
	bv_close_fd(&sb->dirfd); /* and the claim with it: the end of the connection makes a supervisor look for others */
	conn_put(sb->conn);
	config_release(&sb->config);
	unlock_release(sb);
	free(sb->warning);
	free(sb->dir);
	free(sb->store);
	pthread_mutex_destroy(&sb->view_mu);
	pthread_mutex_destroy(&sb->mu);
	free(sb);
}

static void handle_cleanup(BvSandbox **sb)
{
	handle_free(*sb);
}
#define CLEAN_HANDLE __attribute__((cleanup(handle_cleanup)))

static BvSandbox *handle_new(const char *store, BvError **err)
{
	BvSandbox *sb = calloc(1, sizeof(*sb));

	if (!sb) {
		(void)lib_fail(err, -ENOMEM, "out of memory");
		return NULL;
	}
	sb->dirfd = sb->key_fd = -1;
	sb->owner = getpid();
	pthread_mutex_init(&sb->mu, NULL);
	pthread_mutex_init(&sb->view_mu, NULL);
	sb->store = store_path(store, err);
	if (!sb->store) {
		handle_free(sb);
		return NULL;
	}
	return sb;
}

const char *bv_sandbox_name(const BvSandbox *sb)
{
	return sb->config.name;
}

const char *const *bv_sandbox_environment(const BvSandbox *sb)
{
	return (const char *const *)sb->config.env;
}

int bv_sandbox_continuous(const BvSandbox *sb)
{
	return sb->config.continuous;
}

int bv_sandbox_pidns(const BvSandbox *sb)
{
	return sb->config.pidns != PIDNS_NONE;
}

const char *bv_sandbox_place(const BvSandbox *sb)
{
	return backend_is_place(sb->config.backend) ? sb->config.backend : NULL;
}

const char *bv_sandbox_dir(const BvSandbox *sb)
{
	return sb->dir;
}

const char *sandbox_data_dir(const BvSandbox *sb)
{
	return sb->config.data_dir ? sb->config.data_dir : sb->dir;
}

/* ---- making ---- */

static int add_paths(Strv *out, const char *const *from, const char *what, bool must_exist, BvError **err)
{
	int r = 0;

	for (size_t i = 0; from && from[i] && r == 0; i++) {
		CLEAN_FREE char *path = from[i][0] ? path_absolute(from[i]) : NULL;
		if (!from[i][0])
			return lib_fail(err, -EINVAL, "%s: the path is empty", what);
		if (!path)
			return lib_fail(err, -ENOMEM, "out of memory");
		if (must_exist && access(path, F_OK) < 0) {
			r = bv_neg_errno();
			return lib_fail(err, r, "%s %s: %s%s", what, path, strerror(-r), r == -ENOENT ? "; make it first, for example with mkdir -p" : "");
		}
		r = strv_add(out, path);
	}
	return r < 0 ? lib_fail(err, r, "out of memory") : 0;
}

static int take_machine(SandboxConfig *c, const BvCreateOptions *o, BvError **err)
{
	if (o->hostname && !machine_is_hostname(o->hostname))
		return lib_fail(err, -EINVAL, "hostname: '%s' is no host name: letters, digits, '.', '_' and '-', at most 64", o->hostname);
	if (o->kernel_release && !machine_is_release(o->kernel_release))
		return lib_fail(err, -EINVAL, "kernel-release: '%s' is no release such as 6.1.0-18-amd64", o->kernel_release);
	c->hostname = o->hostname ? strdup(o->hostname) : NULL;
	c->kernel_release = o->kernel_release ? strdup(o->kernel_release) : NULL;
	return (o->hostname && !c->hostname) || (o->kernel_release && !c->kernel_release) ? lib_fail(err, -ENOMEM, "out of memory") : 0;
}

static int config_from_options(const BvCreateOptions *o, SandboxConfig *c, BvError **err)
{
	struct timespec now;
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	c->created_sec = c->since_sec = now.tv_sec;
	c->created_nsec = c->since_nsec = now.tv_nsec;
	c->ro = o->flags & BV_CREATE_READ_ONLY;
	c->unnamed = !o->name;
	c->ephemeral = o->flags & BV_CREATE_EPHEMERAL;
	c->continuous = o->flags & BV_CREATE_CONTINUOUS;
	c->spool = o->spool;
	r = lib_limits_take(o->limits, &c->limits, err);
	if (r < 0)
		return r;
	c->pidns = !(o->flags & BV_CREATE_PIDNS) ? PIDNS_NONE : c->limits.flags & BV_LIMITS_BEST_EFFORT ? PIDNS_IF_PERMITTED : PIDNS_REQUIRED;
	config_set_fake_root(c, o->flags & BV_CREATE_FAKE_ROOT);
	for (size_t i = 0; o->env && o->env[i]; i++)
		if (!environment_is_entry(o->env[i]))
			return lib_fail(err, -EINVAL, "'%s' is no variable: NAME=value", o->env[i]);
	c->backend = strdup(o->backend ? o->backend : "dir");
	if (c->continuous && (c->ephemeral || !o->backend || !backend_is_place(o->backend)))
		return lib_fail(err, -EINVAL, c->ephemeral ? "what is deleted when it ends cannot be kept in its backend all the time" : "only a sandbox with a bucket as its backend (s3://BUCKET/PREFIX) can be kept there all the time");
	if ((r = take_machine(c, o, err)) < 0)
		return r;
	c->cwd = o->cwd ? strdup(o->cwd) : NULL;
	if (!c->backend || (o->cwd && !c->cwd) || strv_copy(&c->command, o->command) < 0 || strv_copy(&c->env, o->env) < 0)
		return lib_fail(err, -ENOMEM, "out of memory");
	if ((r = network_check_new(o->net, o->allow, err)) < 0 || (r = network_config(o->net, o->allow, o->dns, c, err)) < 0 || (o->publish && (r = network_publish(o->publish, c, err)) < 0))
		return r;
	if ((r = add_paths(&c->rw, o->rw, "rw", true, err)) < 0 || (r = add_paths(&c->hide, o->hide, "hide", false, err)) < 0 ||
	    (r = add_paths(&c->show, o->show, "show", false, err)) < 0)
		return r;
	return 0;
}

static int fail_errno(BvError **err, const char *verb, const char *path)
{
	int r = bv_neg_errno();
	const char *hint = r == -EACCES || r == -EROFS || r == -ENOSPC ? " (the store can be put elsewhere with BVISOR_HOME)" : "";

	return lib_fail(err, r, "cannot %s %s: %s%s", verb, path, strerror(-r), hint);
}

/* Else it is deleted, or is about to be: by somebody else, who takes it for a leftover; or by the supervisor, if it is ephemeral. Another may have its name by now. */
static bool is_at(const BvSandbox *sb, const char *path)
{
	struct stat here, there;

	if (stat(path, &there) < 0)
		return errno != ENOENT;
	return fstat(sb->dirfd, &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* Only the first sandbox finds no store. */
static int make_aside(const char *parent, char *path)
{
	int r;

	if (mkdtemp(path))
		return 0;
	r = errno == ENOENT ? bv_mkdir_all(parent) : bv_neg_errno();
	if (r < 0)
		return r;
	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	return mkdtemp(path) ? 0 : bv_neg_errno();
}

/* Between its making and its claim, somebody else's sweep may take it for a leftover: -EAGAIN. */
static int claim_aside(BvSandbox *sb, const char *path)
{
	bv_close_fd(&sb->dirfd);
	sb->dirfd = lib_own_fd(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (sb->dirfd < 0)
		return errno == ENOENT ? -EAGAIN : bv_neg_errno();
	int r = store_claim(sb->dirfd, LOCK_SH);
	return r == -EBUSY || (r == 0 && !is_at(sb, path)) ? -EAGAIN : r;
}

/* The whole directory under a name that no listing shows; *out is its path. */
static int build_aside(BvSandbox *sb, char **out, BvError **err)
{
	CLEAN_FREE char *parent = bv_asprintf("%s/sandboxes", sb->store);
	CLEAN_FREE char *path = bv_asprintf("%s/sandboxes/.new-XXXXXX", sb->store);
	int r = -EAGAIN;

	if (!parent || !path)
		return lib_fail(err, -ENOMEM, "out of memory");
	for (int attempt = 0; r == -EAGAIN && attempt < 10; attempt++) {
		memcpy(path + strlen(path) - 6, "XXXXXX", 6);
		r = make_aside(parent, path);
		if (r == 0)
			r = claim_aside(sb, path);
	}
	if (r < 0) {
		errno = -r;
		return fail_errno(err, "write to the store", parent);
	}
	*out = TAKE_PTR(path);
	return 0;
}

/* What makes the data of a new sandbox, if it shall not begin empty. */
typedef struct Filling {
	int (*fill)(BvSandbox *sb, void *ctx, BvError **err); /* or NULL */
	void *ctx;
	bool replace; /* the sandbox of that name, which is deleted then */
	bool stuck; /* it was published, and could neither be written to the disk nor taken back */
	bool done; /* in the sandbox's own directory, which stays when another name is tried */
} Filling;

static int fill(BvSandbox *sb, const char *aside, Filling *filling, BvError **err)
{
	if (!filling->fill || filling->done)
		return 0;
	free(sb->dir);
	sb->dir = strdup(aside);
	if (!sb->dir)
		return lib_fail(err, -ENOMEM, "out of memory");
	filling->done = !sb->config.data_dir;
	return filling->fill(sb, filling->ctx, err);
}

static bool settles(const BvSandbox *sb, const Filling *filling)
{
	return filling->fill && !backend_is_memory(sb->config.backend);
}

/* What is reported to be restored or imported stays, and what it takes the place of is deleted only then. */
static int settle(const BvSandbox *sb, const char *aside, const Filling *filling, BvError **err)
{
	const char *at = aside, *data = sb->config.data_dir;

	if (!settles(sb, filling))
		return 0;
	int r = settle_tree(aside);
	if (r == 0 && data) {
		CLEAN_FREE char *parent = bv_asprintf("%s/..", data);
		at = data;
		r = settle_tree(data);
		if (r == 0)
			r = parent ? settle_directory(parent) : -ENOMEM;
	}
	return r == 0 ? 0 : lib_fail(err, r, "cannot write %s to the disk: %s", at, strerror(-r));
}

static int rename_to(const BvSandbox *sb, const char *aside, bool replace, BvError **err)
{
	if (renameat2(AT_FDCWD, aside, AT_FDCWD, sb->dir, replace ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST)
		return lib_fail(err, -EEXIST, "there is a sandbox named '%s' already (see `bvisor ls`; `bvisor rm %s` deletes it)", sb->config.name, sb->config.name);
	return fail_errno(err, replace ? "replace" : "make", sb->dir);
}

/* As if nothing had been. What cannot be taken back stays as it is now: neither of the two is deleted. */
static int take_back(const BvSandbox *sb, const char *aside, Filling *filling, const char *parent, int error, BvError **err)
{
	filling->stuck = renameat2(AT_FDCWD, sb->dir, AT_FDCWD, aside, filling->replace ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0;
	if (!filling->stuck)
		return lib_fail(err, error, "cannot write %s to the disk: %s", parent, strerror(-error));
	return lib_fail(err, error, "cannot write %s to the disk: %s; sandbox '%s' is the new one, but may not be there after a power cut%s", parent, strerror(-error), sb->config.name,
			filling->replace ? "; what it was is the newest of its states (bvisor log)" : "");
}

static int publish(BvSandbox *sb, const char *aside, Filling *filling, BvError **err)
{
	CLEAN_FREE char *parent = bv_asprintf("%s/sandboxes", sb->store);

	free(sb->dir);
	sb->dir = bv_asprintf("%s/sandboxes/%s", sb->store, sb->config.name);
	if (!sb->dir || !parent)
		return lib_fail(err, -ENOMEM, "out of memory");
	int r = rename_to(sb, aside, filling->replace, err);
	if (r < 0 || !settles(sb, filling))
		return r;
	r = settle_directory(parent);
	return r < 0 ? take_back(sb, aside, filling, parent, r, err) : 0;
}

/* The description names the data directory; both appear with one rename. */
static int fill_and_publish(BvSandbox *sb, const char *aside, Filling *filling, BvError **err)
{
	SandboxConfig *c = &sb->config;
	int r = backend_prepare(c->backend, c->name, &c->data_dir, err);

	if (r == 0)
		r = config_write(sb->dirfd, c, err);
	if (r == 0)
		r = backend_make_data(c->backend, c->data_dir, err);
	if (r == 0)
		r = fill(sb, aside, filling, err);
	if (r == 0)
		r = settle(sb, aside, filling, err);
	if (r == 0)
		r = publish(sb, aside, filling, err);
	if (filling->stuck)
		return r;
	if (r < 0 && c->data_dir) {
		if (bv_remove_tree_at(AT_FDCWD, c->data_dir) == 0)
			(void)unlinkat(sb->dirfd, "sandbox.json", 0);
		free(TAKE_PTR(c->data_dir));
	} else if (r < 0) {
		(void)unlinkat(sb->dirfd, "sandbox.json", 0);
	}
	return r;
}

static bool name_is_taken(const BvSandbox *sb, const char *name)
{
	CLEAN_FREE char *path = bv_asprintf("%s/sandboxes/%s", sb->store, name);

	return path && access(path, F_OK) == 0;
}

static int choose_and_publish(BvSandbox *sb, const char *given, const char *aside, Filling *filling, BvError **err)
{
	char name[BV_NAME_MAX + 1];
	int r = -EEXIST;

	for (unsigned attempt = 0; r == -EEXIST && attempt < (given ? 1 : NAME_ATTEMPTS); attempt++) {
		name_generate(attempt, name);
		if (!given && name_is_taken(sb, name))
			continue;
		free(sb->config.name);
		sb->config.name = strdup(given ? given : name);
		if (!sb->config.name)
			return lib_fail(err, -ENOMEM, "out of memory");
		if (given && !filling->replace && name_is_taken(sb, given)) /* said before a backend is touched */
			return lib_fail(err, -EEXIST, "there is a sandbox named '%s' already (see `bvisor ls`; `bvisor rm %s` deletes it)", given, given);
		r = fill_and_publish(sb, aside, filling, err);
	}
	return r;
}

static int create(BvSandbox *sb, const char *name, Filling *filling, BvError **err)
{
	CLEAN_FREE char *aside = NULL;
	int r = build_aside(sb, &aside, err);

	if (r == 0)
		r = choose_and_publish(sb, name, aside, filling, err);
	if (r < 0) {
		if (aside && !filling->stuck)
			IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, aside)); /* a leftover .new- directory is invisible, and swept */
		return r;
	}
	if (filling->replace && bv_remove_tree_at(AT_FDCWD, aside) < 0)
		sb->prunes = true; /* what is left of the old one is invisible, and swept */
	sb->prunes |= !name;
	sb->is_new = true;
	return 0;
}

static int check_name(const char *name, BvError **err)
{
	if (!name || name_is_valid(name))
		return 0;
	return lib_fail(err, -EINVAL, "'%s' is no name: use up to %d letters, digits, '.', '_' and '-', a letter or digit first", name, BV_NAME_MAX);
}

int bv_sandbox_create(const BvCreateOptions *options, BvSandbox **out, BvError **err)
{
	BvCreateOptions o = BV_CREATE_OPTIONS_INIT;
	CLEAN_HANDLE BvSandbox *sb = NULL;
	Filling nothing = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	if (check_name(o.name, err) < 0 || lib_check_flags(o.flags, BV_CREATE_READ_ONLY | BV_CREATE_EPHEMERAL | BV_CREATE_CONTINUOUS | BV_CREATE_FAKE_ROOT | BV_CREATE_PIDNS, err) < 0)
		return -EINVAL;
	sb = handle_new(o.store, err);
	if (!sb)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	r = config_from_options(&o, &sb->config, err);
	if (r == 0)
		r = create(sb, o.name, &nothing, err);
	if (r == 0)
		*out = TAKE_PTR(sb);
	return r;
}

int sandbox_create_filled(SandboxConfig *config, const char *home, const char *name, int (*fill_data)(BvSandbox *sb, void *ctx, BvError **err), void *ctx, BvSandbox **out,
			  BvError **err)
{
	Filling filling = {.fill = fill_data, .ctx = ctx};
	CLEAN_HANDLE BvSandbox *sb = NULL;

	if (check_name(name, err) < 0)
		return -EINVAL;
	sb = handle_new(home, err);
	if (!sb)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	sb->config = *config;
	*config = (SandboxConfig){0};
	int r = create(sb, name, &filling, err);
	if (r == 0)
		*out = TAKE_PTR(sb);
	return r;
}

static int copy_text(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* But for where the data are. */
static int copy_config(const SandboxConfig *from, SandboxConfig *to)
{
	*to = *from;
	to->name = to->backend = to->data_dir = to->cwd = to->net = to->dns = to->hostname = to->kernel_release = NULL;
	to->command = to->rw = to->hide = to->show = to->env = to->allow = to->publish = NULL;
	if (copy_text(from->name, &to->name) < 0 || copy_text(from->backend, &to->backend) < 0 || copy_text(from->cwd, &to->cwd) < 0 || copy_text(from->net, &to->net) < 0 ||
	    copy_text(from->dns, &to->dns) < 0 || copy_text(from->hostname, &to->hostname) < 0 || copy_text(from->kernel_release, &to->kernel_release) < 0 ||
	    strv_copy(&to->allow, (const char *const *)from->allow) < 0 || strv_copy(&to->publish, (const char *const *)from->publish) < 0 || strv_copy(&to->command, (const char *const *)from->command) < 0 ||
	    strv_copy(&to->rw, (const char *const *)from->rw) < 0 || strv_copy(&to->hide, (const char *const *)from->hide) < 0 ||
	    strv_copy(&to->show, (const char *const *)from->show) < 0 || strv_copy(&to->env, (const char *const *)from->env) < 0)
		return -ENOMEM;
	return 0;
}

int sandbox_replace_filled(const BvSandbox *old, int (*fill_data)(BvSandbox *sb, void *ctx, BvError **err), void *ctx, BvSandbox **out, BvError **err)
{
	Filling filling = {.fill = fill_data, .ctx = ctx, .replace = true};
	CLEAN_HANDLE BvSandbox *sb = NULL;

	if (old->config.data_dir)
		return lib_fail(err, -EOPNOTSUPP, "sandbox '%s' has the backend %s: only one whose data are in the store can be restored in place; restore it under another name",
				old->config.name, old->config.backend);
	sb = handle_new(old->store, err);
	if (!sb)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	if (copy_config(&old->config, &sb->config) < 0)
		return lib_fail(err, -ENOMEM, "out of memory");
	CLEAN_CONFIG SandboxConfig now = {0};
	int r = network_now(old, &now, err);
	if (r < 0)
		return r;
	free(sb->config.net);
	strv_free(sb->config.allow);
	sb->config.net = TAKE_PTR(now.net);
	sb->config.allow = TAKE_PTR(now.allow);
	r = lib_limits_now(old, &sb->config.limits, err);
	if (r < 0)
		return r;
	r = create(sb, old->config.name, &filling, err);
	if (r == 0)
		*out = TAKE_PTR(sb);
	return r;
}

/* ---- opening ---- */

static int check_data(const BvSandbox *sb, BvError **err)
{
	const char *data = sb->config.data_dir;

	if (!data || access(data, F_OK) == 0)
		return 0;
	if (backend_is_memory(sb->config.backend))
		return lib_fail(err, -ENOENT, "sandbox '%s' was kept in memory (%s), which is gone, probably by a reboot; `bvisor rm %s` removes the rest",
				sb->config.name, data, sb->config.name);
	return lib_fail(err, -ENOENT, "sandbox '%s': its data directory %s is not there: %s", sb->config.name, data, strerror(errno));
}

/* Who removes it, or looks whether it is a leftover, has the claim for a moment: then there is none, or it is free again. -EBUSY, or errno of open. */
static int open_claimed(BvSandbox *sb)
{
	int r = -EBUSY;

	for (unsigned i = 0; i < CLAIM_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			nanosleep(&(struct timespec){0, 10000000}, NULL);
		bv_close_fd(&sb->dirfd);
		sb->dirfd = lib_own_fd(open(sb->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		if (sb->dirfd < 0)
			return bv_neg_errno();
		r = store_claim(sb->dirfd, LOCK_SH);
		if (r == 0 && !is_at(sb, sb->dir))
			r = -EBUSY;
	}
	return r;
}

static int open_named(BvSandbox *sb, const char *name, BvError **err)
{
	BvError *why = NULL;
	int r;

	sb->dir = bv_asprintf("%s/sandboxes/%s", sb->store, name);
	if (!sb->dir)
		return lib_fail(err, -ENOMEM, "out of memory");
	r = open_claimed(sb);
	if (r == -ENOENT)
		return lib_fail(err, r, "there is no sandbox named '%s'", name);
	if (sb->dirfd < 0)
		return fail_errno(err, "open", sb->dir);
	if (r < 0)
		return lib_fail(err, r, "sandbox '%s': %s", name, r == -EBUSY ? "it is being removed" : strerror(-r));
	r = config_read(sb->dirfd, &sb->config, &why);
	if (r == -ENOENT) /* -ENOENT says that there is none, and so that a snapshot of that name may be meant */
		r = access(sb->dir, F_OK) < 0 ? -ENOENT : -EUCLEAN;
	if (r == -ENOENT)
		(void)lib_fail(err, r, "there is no sandbox named '%s'", name);
	else if (r < 0)
		(void)lib_fail(err, r, "sandbox '%s' (%s): %s", name, sb->dir, bv_error_message(why));
	bv_error_free(why);
	if (r == 0 && strcmp(sb->config.name, name) != 0)
		r = lib_fail(err, -EUCLEAN, "sandbox '%s' is damaged: its description names '%s'", name, sb->config.name);
	return r;
}

int bv_sandbox_open(const char *store, const char *name, BvSandbox **out, BvError **err)
{
	CLEAN_HANDLE BvSandbox *sb = NULL;
	char newest[BV_NAME_MAX + 1];
	int r = 0;

	if (name && strchr(name, '@'))
		return lib_fail(err, -EINVAL, "'%s' means a snapshot, which can only be looked at; `bvisor restore %s` makes a sandbox of it", name, name);
	if (name && !name_is_valid(name))
		return lib_fail(err, -EINVAL, "'%s' is no name of a sandbox", name);
	sb = handle_new(store, err);
	if (!sb)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	if (!name)
		r = store_newest(sb->store, newest, err);
	if (r == 0)
		r = open_named(sb, name ? name : newest, err);
	if (r < 0)
		return r;
	*out = TAKE_PTR(sb);
	return 0;
}

static int delete_claimed(BvSandbox *sb)
{
	hold_release_of(sb);
	return store_delete(sb->store, sb->dirfd, &sb->config);
}

void bv_sandbox_close(BvSandbox *sb)
{
	/* If nothing ever ran in it, or its supervisor was killed, no supervisor deletes it: the last handle does. Not a fork of its owner, which has the very claim. */
	if (sb && sb->config.ephemeral && sb->owner == getpid() && !store_is_running(sb->dirfd) && store_claim(sb->dirfd, LOCK_EX) == 0 && is_at(sb, sb->dir))
		IGNORE_RESULT(delete_claimed(sb));
	handle_free(sb);
}

/* ---- the supervisor ---- */

/* Two programs may start a supervisor for the same sandbox at once; the loser connects to the winner's, which may not listen yet. */
static int connect_or_start(BvSandbox *sb, BvError **err)
{
	for (unsigned i = 0;; i++) {
		bool is_new = sb->is_new;
		int r = is_new ? -ESRCH : launch_connect(sb->dirfd, &sb->conn);
		sb->is_new = false;
		sb->joined = r == 0;
		if (r == 0) {
			r = apply_check_none(sb, true, err);
			if (r < 0)
				conn_put(TAKE_PTR(sb->conn));
			return r;
		}
		if (r != -ESRCH)
			return lib_fail(err, r, "cannot reach the supervisor of '%s': %s", sb->config.name, strerror(-r));
		r = is_new ? 0 : apply_check_none(sb, false, err);
		if (r < 0)
			return r;
		r = launch_supervisor(sb, &sb->conn, err);
		if (r != -EAGAIN || i >= START_TRIES)
			return r;
		lib_error_clear(err);
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
}

int sandbox_connect(BvSandbox *sb, bool start, Conn **out, BvError **err)
{
	int r = 0;

	pthread_mutex_lock(&sb->mu);
	if (sb->conn && conn_is_dead(sb->conn)) {
		conn_put(sb->conn);
		sb->conn = NULL;
	}
	if (!sb->conn && start) {
		r = check_data(sb, err);
		if (r == 0)
			r = connect_or_start(sb, err);
	} else if (!sb->conn) {
		r = launch_connect(sb->dirfd, &sb->conn);
		if (r < 0)
			(void)lib_fail(err, r, "sandbox '%s' is not running", sb->config.name);
	}
	if (r == 0)
		*out = conn_get(sb->conn);
	pthread_mutex_unlock(&sb->mu);
	return r;
}

void sandbox_prune_once(BvSandbox *sb)
{
	bool due;

	pthread_mutex_lock(&sb->mu);
	due = sb->prunes;
	sb->prunes = false;
	pthread_mutex_unlock(&sb->mu);
	if (due)
		store_prune(sb->store, KEEP_UNNAMED);
}

bool sandbox_disconnect(BvSandbox *sb, Conn *conn)
{
	bool joined;

	pthread_mutex_lock(&sb->mu);
	joined = sb->joined;
	if (conn && sb->conn == conn)
		conn_put(TAKE_PTR(sb->conn));
	pthread_mutex_unlock(&sb->mu);
	conn_put(conn);
	return joined;
}

int bv_sandbox_stop(BvSandbox *sb, BvError **err)
{
	Conn *conn = NULL;
	int r = sandbox_connect(sb, false, &conn, NULL);

	if (r == 0)
		r = conn_call(conn, conn_request("stop"), NULL, 0, NULL, err);
	else if (r != -ESRCH)
		(void)lib_fail(err, r, "cannot reach the supervisor of '%s': %s", sb->config.name, strerror(-r));
	(void)sandbox_disconnect(sb, conn); /* what comes next finds none, and starts one */
	if (r == -ESRCH || r == -ECONNRESET || r == -ESHUTDOWN)
		r = 0; /* none, or one that is ending by itself */
	/* The lock is free when the answer comes; without one (the connection was lost) the end of the process frees it. */
	for (unsigned i = 0; r == 0 && i < 1000 && store_is_running(sb->dirfd); i++)
		nanosleep(&(struct timespec){0, 2000000}, NULL);
	return r;
}

/* A supervisor without commands is about to end, as soon as we leave it alone: wait for that. -EBUSY if commands run. */
static int wait_until_stopped(BvSandbox *sb)
{
	for (unsigned i = 0; i < 1000 && store_is_running(sb->dirfd); i++) {
		if (i % 100 == 0) {
			if (sandbox_processes(sb) > 0)
				return -EBUSY;
			pthread_mutex_lock(&sb->mu);
			conn_put(TAKE_PTR(sb->conn));
			pthread_mutex_unlock(&sb->mu);
		}
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	return store_is_running(sb->dirfd) ? -EBUSY : 0;
}

int sandbox_hold_stopped(BvSandbox *sb, int *lock, BvError **err)
{
	CLEAN_FD int fd = -1;
	int r = check_data(sb, err);

	if (r < 0)
		return r;
	if (wait_until_stopped(sb) < 0)
		return lib_fail(err, -EBUSY, "sandbox '%s' is running: wait for its commands, or end them with `bvisor kill %s`", sb->config.name, sb->config.name);
	fd = openat(sb->dirfd, "sandbox.json", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return lib_fail(err, bv_neg_errno(), "cannot open %s/sandbox.json: %s", sb->dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return lib_fail(err, -EBUSY, "sandbox '%s' was started meanwhile", sb->config.name);
	*lock = TAKE_FD(fd);
	return 0;
}

int bv_sandbox_discard(const char *store, const char *name, BvError **err)
{
	CLEAN_HANDLE BvSandbox *sb = NULL;
	int r;

	if (!name_is_valid(name))
		return lib_fail(err, -EINVAL, "'%s' is no name of a sandbox", name);
	sb = handle_new(store, err);
	if (!sb)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	sb->dir = bv_asprintf("%s/sandboxes/%s", sb->store, name);
	sb->config.name = strdup(name);
	if (!sb->dir || !sb->config.name)
		return lib_fail(err, -ENOMEM, "out of memory");
	sb->dirfd = open(sb->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sb->dirfd < 0 && errno == ENOENT)
		return lib_fail(err, -ENOENT, "there is no sandbox named '%s'", name);
	if (sb->dirfd < 0)
		return fail_errno(err, "open", sb->dir);
	if (store_claim(sb->dirfd, LOCK_EX) < 0 || store_is_running(sb->dirfd))
		return lib_fail(err, -EBUSY, "sandbox '%s' is in use", name);
	r = store_delete(sb->store, sb->dirfd, &sb->config);
	return r < 0 ? lib_fail(err, r, "cannot delete sandbox '%s': %s", name, strerror(-r)) : 0;
}

/* The supervisor of an ephemeral one waits for our claim, too. */
static int wait_for_removal(BvSandbox *sb, BvError **err)
{
	if (sb->config.ephemeral)
		IGNORE_RESULT(flock(sb->dirfd, LOCK_UN));
	if (wait_until_stopped(sb) == 0)
		return 0;
	IGNORE_RESULT(store_claim(sb->dirfd, LOCK_SH));
	return lib_fail(err, -EBUSY, "sandbox '%s' is running (`bvisor kill %s` ends it; `rm --force` does both)", sb->config.name, sb->config.name);
}

int bv_sandbox_remove(BvSandbox *sb, int force, BvError **err)
{
	int r = force ? bv_sandbox_stop(sb, err) : wait_for_removal(sb, err);

	if (r < 0 || !is_at(sb, sb->dir))
		return r;
	sync_stop(sb);
	for (int i = 0; i < (force ? 500 : sb->config.continuous ? 100 : 0) && store_claim(sb->dirfd, LOCK_EX) < 0; i++)
		nanosleep(&(struct timespec){0, 10000000}, NULL); /* who ran the command that was ended, or followed it, gives up one thing after another */
	if (store_claim(sb->dirfd, LOCK_EX) < 0) {
		IGNORE_RESULT(store_claim(sb->dirfd, LOCK_SH)); /* which was given up for the attempt */
		return lib_fail(err, -EBUSY, "sandbox '%s' is in use by another program", sb->config.name);
	}
	r = delete_claimed(sb);
	if (r == -EBUSY)
		return lib_fail(err, r, "sandbox '%s' is running", sb->config.name);
	if (r == -ENOENT && !is_at(sb, sb->dir)) /* by another program, or its supervisor, just now */
		return 0;
	return r < 0 ? lib_fail(err, r, "cannot delete sandbox '%s': %s", sb->config.name, strerror(-r)) : 0;
}
