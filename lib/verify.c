/* lib/verify.c - bv_sandbox_verify: which files of the host that a sandbox rests on are not what they were when it first did.
 *
 * The rows are read twice: records first, which say what host path a directory has and what the host's object was; then names, whose place on the host is their directory's.
 * Numbers of devices and inodes and the time of the last change of status say nothing on another machine: type, size, mode, owner and mtime are compared. */
#include "base/hmap.h"
#include "lib/snapshot_moment.h"
#include "lib/view.h"

#include <sys/stat.h>

typedef struct Known {
	HmapNode node;
	uint64_t id;
	bool carried; /* the sandbox has a copy: it does not rest on the host there */
	CowIdentity base;
	char *origin; /* host path, or NULL */
} Known;

typedef struct Told {
	HmapNode node;
	char path[];
} Told;

typedef struct Verify {
	Hmap known, told; /* told: a file that was renamed is the base of its record and of what is in its old place */
	int (*visit)(void *ctx, const BvDrift *drift);
	void *ctx;
	uint64_t checked;
	const SandboxConfig *config;
} Verify;

static const Known *find(const Verify *v, uint64_t id)
{
	for (HmapNode *n = hmap_first(&v->known, hash_u64(id, 0)); n; n = hmap_next(n))
		if (CONTAINER_OF(n, Known, node)->id == id)
			return CONTAINER_OF(n, Known, node);
	return NULL;
}

static int note_record(void *ctx, const CowRecord *r)
{
	Verify *v = ctx;

	if (r->kind != COW_RECORD_INODE || (!r->base.known && !r->name))
		return 0;
	Known *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	*k = (Known){.id = r->id, .carried = r->flags & COW_RECORD_CARRIED, .base = r->base, .origin = r->name ? strndup(r->name, r->n_name) : NULL};
	hmap_insert(&v->known, &k->node, hash_u64(k->id, 0));
	return r->name && !k->origin ? -ENOMEM : 0;
}

static unsigned differences(const SandboxConfig *config, const struct stat *st, const CowIdentity *base)
{
	unsigned what = 0;

	if ((st->st_mode ^ base->mode) & S_IFMT)
		return BV_DRIFT_TYPE;
	if ((st->st_mode ^ base->mode) & 07777)
		what |= BV_DRIFT_MODE;
	if (config_shows_uid(config, st->st_uid) != base->uid || config_shows_gid(config, st->st_gid) != base->gid)
		what |= BV_DRIFT_OWNER;
	if (S_ISDIR(st->st_mode)) /* its names are records of their own */
		return what;
	if ((uint64_t)st->st_size != base->size || st->st_mtim.tv_sec != base->mtime.tv_sec || st->st_mtim.tv_nsec != base->mtime.tv_nsec)
		what |= BV_DRIFT_CONTENT;
	return what;
}

/* 1: it was told before. */
static int note_told(Verify *v, const char *path)
{
	size_t len = strlen(path);
	uint64_t hash = hash_stable(path, len);

	for (HmapNode *n = hmap_first(&v->told, hash); n; n = hmap_next(n))
		if (strcmp(CONTAINER_OF(n, Told, node)->path, path) == 0)
			return 1;
	Told *t = malloc(sizeof(*t) + len + 1);
	if (!t)
		return -ENOMEM;
	memcpy(t->path, path, len + 1);
	hmap_insert(&v->told, &t->node, hash);
	return 0;
}

static int check_path(Verify *v, const char *path, const CowIdentity *base)
{
	BvDrift drift = {.path = path, .was_bytes = base->size};
	struct stat st;

	v->checked++;
	if (lstat(path, &st) < 0)
		drift.what = BV_DRIFT_GONE;
	else
		drift.what = differences(v->config, &st, base);
	if (!drift.what)
		return 0;
	drift.bytes = drift.what & BV_DRIFT_GONE ? 0 : (uint64_t)st.st_size;
	int r = note_told(v, path);
	return r ? MIN(r, 0) : v->visit(v->ctx, &drift);
}

/* What the sandbox has in the place of something of the host, or without it. */
static int check_name(Verify *v, const CowRecord *r)
{
	const Known *dir = find(v, r->dir), *of = r->id ? find(v, r->id) : NULL;
	const CowIdentity *base = r->base.known ? &r->base : of && !of->origin && of->base.known ? &of->base : NULL;

	if (!dir || !dir->origin || !base || (of && of->carried))
		return 0;
	CLEAN_FREE char *path = bv_asprintf("%s/%.*s", strcmp(dir->origin, "/") == 0 ? "" : dir->origin, (int)r->n_name, r->name);
	return path ? check_path(v, path, base) : -ENOMEM;
}

static int check_record(void *ctx, const CowRecord *r)
{
	Verify *v = ctx;

	if (r->kind == COW_RECORD_DENTRY)
		return check_name(v, r);
	if (r->kind != COW_RECORD_INODE || !r->name || !r->base.known || (r->flags & COW_RECORD_CARRIED))
		return 0;
	CLEAN_FREE char *path = strndup(r->name, r->n_name);
	return path ? check_path(v, path, &r->base) : -ENOMEM;
}

static void release(Verify *v)
{
	HMAP_FOREACH_SAFE (&v->known, n, next) {
		Known *k = CONTAINER_OF(n, Known, node);
		free(k->origin);
		free(k);
	}
	hmap_release(&v->known);
	HMAP_FOREACH_SAFE (&v->told, t, next_told)
		free(CONTAINER_OF(t, Told, node));
	hmap_release(&v->told);
}

int bv_sandbox_verify(BvSandbox *sb, int (*visit)(void *ctx, const BvDrift *drift), void *ctx, uint64_t *checked, BvError **err)
{
	Verify v = {.visit = visit, .ctx = ctx, .config = &sb->config};
	CowExport *rows = NULL;
	char *why = NULL;
	int r = hmap_init(&v.known);

	if (r == 0)
		r = hmap_init(&v.told);
	if (r == 0)
		r = view_commit_running(sb, err);
	if (r == 0)
		r = moment_rows(sb, false, &rows, err);
	if (r < 0) {
		release(&v);
		return err && *err ? r : lib_fail(err, r, "out of memory");
	}
	cow_export_based_only(rows);
	r = cow_export_walk(rows, note_record, &v, &why);
	if (r == 0)
		r = cow_export_walk(rows, check_record, &v, &why);
	if (r < 0)
		(void)lib_fail(err, r, "cannot read what sandbox '%s' rests on: %s", sb->config.name, why ? why : strerror(-r));
	if (checked)
		*checked = v.checked;
	free(why);
	release(&v);
	cow_export_close(rows);
	return r;
}
