/* lib/journal.c - apply.journal in the sandbox's directory: what is being applied, deletions and renames included.
 *
 * It is complete and on the disk before the first step, and goes away after the last one is. So, whenever it is there, an apply was
 * interrupted, and what it names was decided already: the second apply finishes that before it decides anything new. Contents are
 * not in it: they are in the sandbox. What is in it is what cannot be found out any more from a host that is half changed. */
#include "lib/apply.h"

#include <fcntl.h>
#include <inttypes.h>

#define JOURNAL "apply.journal"
#define JOURNAL_MAX (1 << 30)

static cJSON *step_to_json(const Step *s)
{
	cJSON *item = cJSON_CreateObject();
	char number[32];
	bool ok = item && cJSON_AddNumberToObject(item, "kind", s->change->kind) && cJSON_AddStringToObject(item, "path", s->change->path);

	if (ok && s->change->kind == COW_RENAMED) {
		snprintf(number, sizeof(number), "%" PRIu64, s->dev);
		ok = cJSON_AddStringToObject(item, "old", s->change->old_path) && cJSON_AddStringToObject(item, "dev", number);
		snprintf(number, sizeof(number), "%" PRIu64, s->ino);
		ok = ok && cJSON_AddStringToObject(item, "ino", number);
	}
	if (ok && s->apart)
		ok = cJSON_AddTrueToObject(item, "apart");
	if (ok)
		return item;
	cJSON_Delete(item);
	return NULL;
}

static char *journal_text(const Apply *apply)
{
	cJSON *root = cJSON_CreateObject(), *steps = NULL;
	char *text = NULL;

	if (!root || !cJSON_AddNumberToObject(root, "format", 1) || !(steps = cJSON_AddArrayToObject(root, "steps")))
		goto out;
	for (const Step *s = apply->steps; s < apply->steps + apply->count; s++) {
		cJSON *item = s->state == STEP_PENDING ? step_to_json(s) : NULL;
		if (s->state == STEP_PENDING && !item)
			goto out;
		if (item)
			cJSON_AddItemToArray(steps, item);
	}
	text = cJSON_PrintUnformatted(root);
out:
	cJSON_Delete(root);
	return text;
}

static int write_synced(int dirfd, const char *text)
{
	CLEAN_FD int fd = openat(dirfd, JOURNAL ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = fd < 0 ? bv_neg_errno() : bv_write_full(fd, text, strlen(text));

	if (r == 0 && fsync(fd) < 0)
		r = bv_neg_errno();
	if (r == 0 && renameat(dirfd, JOURNAL ".new", dirfd, JOURNAL) < 0)
		r = bv_neg_errno();
	if (r == 0 && fsync(dirfd) < 0)
		r = bv_neg_errno();
	return r;
}

int journal_write(const Apply *apply, BvError **err)
{
	CLEAN_FREE char *text = journal_text(apply);
	int r = text ? write_synced(apply->sb->dirfd, text) : -ENOMEM;

	return r < 0 ? lib_fail(err, r, "cannot write %s/" JOURNAL ": %s; nothing was applied", apply->sb->dir, strerror(-r)) : 0;
}

int journal_remove(const Apply *apply)
{
	if (unlinkat(apply->sb->dirfd, JOURNAL, 0) < 0 && errno != ENOENT)
		return bv_neg_errno();
	return fsync(apply->sb->dirfd) < 0 ? bv_neg_errno() : 0;
}

/* ---- reading ---- */

static uint64_t get_number(const cJSON *item, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));

	return text ? strtoull(text, NULL, 10) : 0;
}

/* A deletion or rename that is half done may not be seen as a change any more: it is made again from the journal alone. */
static int add_change(Apply *apply, CowChangeKind kind, const char *path, const char *old)
{
	ChangeList *l = &apply->changes;
	Change *bigger = realloc(l->items, (l->count + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	l->items = bigger;
	l->room = l->count + 1;
	bigger[l->count] = (Change){.kind = kind, .path = strdup(path), .host_path = strdup(path), .old_path = old ? strdup(old) : NULL,
				     .over_path = old ? strdup(path) : NULL};
	const Change *c = &bigger[l->count++];
	return c->path && c->host_path && (!old || (c->old_path && c->over_path)) ? 0 : -ENOMEM;
}

static int by_path(const void *a, const void *b)
{
	return path_order(((const Change *)a)->path, ((const Change *)b)->path);
}

static void make_apart(Change *c)
{
	free(TAKE_PTR(c->link_to));
	c->diff |= COW_DIFF_CONTENT;
}

static bool is_kept(const void *kept, const Change *c)
{
	return apply_find_change(kept, c->path);
}

/* A link to what is changed, too, or in a directory that is, and was not to be applied, is made a file of its own. */
static void drop_links_to_unselected(ChangeList *kept, const ChangeList *all)
{
	for (size_t i = 0; i < kept->count; i++)
		if (kept->items[i].link_to && apply_leads_to_unmade(all, kept->items[i].link_to, is_kept, kept))
			make_apart(&kept->items[i]);
}

/* Keeps of the changes those that the journal names. */
static int select_journaled(Apply *apply, const cJSON *steps)
{
	ChangeList kept = {0};
	Apply all = *apply;
	const cJSON *item;
	int r = 0;

	apply->changes = kept;
	cJSON_ArrayForEach(item, steps)
	{
		const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "path"));
		const char *old = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "old"));
		const cJSON *kind = cJSON_GetObjectItemCaseSensitive(item, "kind");
		Change *c;
		if (!path || !cJSON_IsNumber(kind) || (kind->valueint == COW_RENAMED && !old))
			r = -EUCLEAN;
		c = r == 0 ? apply_find_change(&all.changes, path) : NULL;
		if (r == 0 && (kind->valueint == COW_DELETED || kind->valueint == COW_RENAMED || c))
			r = add_change(apply, (CowChangeKind)kind->valueint, path, old);
		if (r < 0)
			break;
		if (c && apply->changes.count > 0) { /* what the sandbox has now */
			Change *copy = &apply->changes.items[apply->changes.count - 1];
			if (copy->kind != COW_DELETED && copy->kind != COW_RENAMED && c->kind != COW_RENAMED)
				copy->kind = c->kind; /* a rename that was done already leaves a free place */
			copy->now = c->now;
			copy->anew = c->anew;
			copy->diff = c->diff;
			copy->base = c->base;
			copy->over = c->over;
			copy->link_to = c->link_to ? strdup(c->link_to) : NULL;
			if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "apart")))
				make_apart(copy);
		}
	}
	if (apply->changes.count > 0)
		qsort(apply->changes.items, apply->changes.count, sizeof(Change), by_path);
	drop_links_to_unselected(&apply->changes, &all.changes);
	changes_release(&all.changes);
	return r;
}

static void restore_identities(Apply *apply, const cJSON *steps)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, steps)
	{
		const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "path"));
		Step *s = apply_step_at(apply, path);
		if (s && s->change->kind == COW_RENAMED) {
			s->dev = get_number(item, "dev");
			s->ino = get_number(item, "ino");
		}
	}
}

int journal_load(Apply *apply, BvError **err)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(apply->sb->dirfd, JOURNAL, JOURNAL_MAX, &text);
	const cJSON *steps;
	cJSON *root;
	int r;

	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return lib_fail(err, (int)n, "cannot read %s/" JOURNAL ": %s", apply->sb->dir, strerror((int)-n));
	root = cJSON_ParseWithLength(text, (size_t)n);
	steps = cJSON_GetObjectItemCaseSensitive(root, "steps");
	r = cJSON_IsArray(steps) ? select_journaled(apply, steps) : -EUCLEAN;
	if (r == 0)
		r = apply_make_steps(apply, NULL);
	if (r == 0)
		restore_identities(apply, steps);
	cJSON_Delete(root);
	if (r == -EUCLEAN)
		return lib_fail(err, r, "%s/" JOURNAL " is damaged: an interrupted apply cannot be finished; look at the host, then delete that file",
				apply->sb->dir);
	return r < 0 ? lib_fail(err, r, "out of memory") : 1;
}
