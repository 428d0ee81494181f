/* lib/store.c - see store.h. */
#include "lib/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

char *store_path(const char *given, BvError **err)
{
	const char *own = getenv("BVISOR_HOME"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	CLEAN_FREE char *text = NULL;
	char *path;

	if (given)
		text = strdup(given);
	else if (own && own[0])
		text = strdup(own);
	else if (data && data[0] == '/')
		text = bv_asprintf("%s/bvisor", data);
	else if (home && home[0] == '/')
		text = bv_asprintf("%s/.local/share/bvisor", home);
	else {
		(void)lib_fail(err, -ENOENT, "no place for the store: set BVISOR_HOME or HOME");
		return NULL;
	}
	path = text ? path_absolute(text) : NULL;
	if (!path)
		(void)lib_fail(err, -ENOMEM, "out of memory");
	return path;
}

int store_claim(int dirfd, int operation)
{
	if (flock(dirfd, operation | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : bv_neg_errno();
	return 0;
}

/* Tested with a shared lock that is given back at once. A supervisor that starts in this very moment asks again (EAGAIN). */
bool store_is_running(int dirfd)
{
	CLEAN_FD int fd = openat(dirfd, "sandbox.json", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int delete_data(const SandboxConfig *config)
{
	return config && config->data_dir ? bv_remove_tree_at(AT_FDCWD, config->data_dir) : 0;
}

int store_delete(const char *store, int dirfd, const SandboxConfig *config)
{
	CLEAN_FREE char *from = bv_asprintf("%s/sandboxes/%s", store, config->name);
	CLEAN_FREE char *trash = bv_asprintf("%s/sandboxes/.trash-%s-%d-%llx", store, config->name, (int)getpid(), (unsigned long long)bv_now_ns());
	int r;

	if (!from || !trash)
		return -ENOMEM;
	if (store_is_running(dirfd))
		return -EBUSY;
	if (rename(from, trash) < 0)
		return bv_neg_errno();
	r = delete_data(config);
	return r < 0 ? r : bv_remove_tree_at(AT_FDCWD, trash);
}

/* ---- going through the store ---- */

typedef struct Entry {
	char name[BV_NAME_MAX + 1];
	int64_t sec;
	long nsec;
	bool unnamed, ephemeral;
} Entry;

typedef struct Entries {
	Entry *items;
	size_t count, room;
} Entries;

static int newest_first(const void *a, const void *b)
{
	const Entry *x = a, *y = b;

	if (x->sec != y->sec)
		return x->sec > y->sec ? -1 : 1;
	if (x->nsec != y->nsec)
		return x->nsec > y->nsec ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int entries_add(Entries *all, const Entry *entry)
{
	if (!BV_GROW(all->items, all->count, all->room))
		return -ENOMEM;
	all->items[all->count++] = *entry;
	return 0;
}

/* A sandbox that cannot be read is listed as old: it is nobody's newest, and stays visible. */
static void describe(int sandboxes, const char *name, Entry *out)
{
	CLEAN_FD int fd = openat(sandboxes, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN_CONFIG SandboxConfig config = {0};

	*out = (Entry){.sec = INT64_MIN};
	memcpy(out->name, name, strlen(name) + 1);
	if (fd < 0 || config_read(fd, &config, NULL) < 0)
		return;
	out->sec = config.created_sec;
	out->nsec = config.created_nsec;
	out->unnamed = config.unnamed;
	out->ephemeral = config.ephemeral;
}

static int open_sandboxes(const char *store)
{
	CLEAN_FREE char *path = bv_asprintf("%s/sandboxes", store);
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!path)
		return -ENOMEM;
	return fd < 0 ? bv_neg_errno() : fd;
}

/* All sandboxes, newest first; all->items is the caller's. An absent store is empty. */
static int entries_read(const char *store, Entries *all)
{
	int fd = open_sandboxes(store);
	DIR *d;
	struct dirent *e;
	int r = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	d = fdopendir(fd);
	if (!d) {
		r = bv_neg_errno();
		close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d))) {
		Entry entry;
		if (!name_is_valid(e->d_name))
			continue;
		describe(fd, e->d_name, &entry);
		r = entries_add(all, &entry);
	}
	closedir(d);
	if (all->count > 0)
		qsort(all->items, all->count, sizeof(Entry), newest_first);
	return r;
}

int store_newest(const char *store, char out[BV_NAME_MAX + 1], BvError **err)
{
	Entries all = {0};
	int r = entries_read(store, &all);

	if (r == 0 && (all.count == 0 || all.items[0].sec == INT64_MIN))
		r = -ENOENT;
	if (r == 0)
		memcpy(out, all.items[0].name, BV_NAME_MAX + 1);
	free(all.items);
	if (r == -ENOENT)
		return lib_fail(err, r, "there is no sandbox yet in %s", store);
	return r < 0 ? lib_fail(err, r, "cannot read the store %s: %s", store, strerror(-r)) : 0;
}

static void prune_one(const char *store, int sandboxes, const char *name)
{
	CLEAN_FD int fd = openat(sandboxes, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN_CONFIG SandboxConfig config = {0};

	if (fd >= 0 && store_claim(fd, LOCK_EX) == 0 && config_read(fd, &config, NULL) == 0 && strcmp(config.name, name) == 0)
		(void)store_delete(store, fd, &config);
}

/* What a removal that was interrupted after its rename left behind, or a start before its rename: the data directory first, then the rest. */
static void sweep_interrupted(int sandboxes)
{
	int fd = openat(sandboxes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, ".trash-", 7) != 0 && strncmp(e->d_name, ".new-", 5) != 0)
			continue;
		CLEAN_FD int trash = openat(sandboxes, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CLEAN_CONFIG SandboxConfig config = {0};
		if (trash < 0 || store_claim(trash, LOCK_EX) < 0)
			continue;
		if (config_read(trash, &config, NULL) == 0 && delete_data(&config) < 0)
			continue;
		if (bv_remove_tree_at(sandboxes, e->d_name) < 0)
			continue; /* the next sweep tries again */
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

void store_prune(const char *store, size_t keep)
{
	CLEAN_FD int sandboxes = open_sandboxes(store);
	Entries all = {0};
	size_t seen = 0;

	if (sandboxes < 0)
		return;
	sweep_interrupted(sandboxes);
	if (entries_read(store, &all) == 0)
		for (size_t i = 0; i < all.count; i++)
			if (all.items[i].ephemeral || (all.items[i].unnamed && ++seen > keep))
				prune_one(store, sandboxes, all.items[i].name);
	free(all.items);
}

/* ---- the public listing ---- */

static int visit_entry(const char *store, int sandboxes, const char *name, int (*visit)(void *, const BvSandboxInfo *), void *ctx)
{
	CLEAN_FREE char *dir = bv_asprintf("%s/sandboxes/%s", store, name);
	CLEAN_FD int fd = openat(sandboxes, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN_CONFIG SandboxConfig config = {0};
	BvSandboxInfo info = {.name = name, .dir = dir};
	BvError *why = NULL;
	int r;

	if (!dir)
		return -ENOMEM;
	if (fd < 0 && errno == ENOENT)
		return 0; /* removed meanwhile */
	r = fd < 0 ? lib_fail(&why, bv_neg_errno(), "cannot open it: %s", strerror(errno)) : config_read(fd, &config, &why);
	if (r < 0) {
		info.damage = why ? bv_error_message(why) : strerror(-r);
	} else {
		info.backend = config.backend;
		info.cwd = config.cwd;
		info.command = (const char *const *)config.command;
		info.env = (const char *const *)config.env;
		info.created_sec = config.created_sec;
		info.created_nsec = config.created_nsec;
		info.running = store_is_running(fd);
		info.unnamed = config.unnamed;
	}
	r = visit(ctx, &info);
	bv_error_free(why);
	return r;
}

int bv_sandbox_list(const char *store, int (*visit)(void *, const BvSandboxInfo *), void *ctx, BvError **err)
{
	CLEAN_FREE char *path = store_path(store, err);
	CLEAN_FD int sandboxes = path ? open_sandboxes(path) : -1;
	Entries all = {0};
	int r;

	if (!path)
		return -ENOMEM;
	if (sandboxes == -ENOENT)
		return 0;
	r = sandboxes < 0 ? sandboxes : entries_read(path, &all);
	if (r < 0)
		(void)lib_fail(err, r, "cannot read the store %s: %s", path, strerror(-r));
	for (size_t i = 0; r == 0 && i < all.count; i++)
		r = visit_entry(path, sandboxes, all.items[i].name, visit, ctx);
	free(all.items);
	return r;
}
