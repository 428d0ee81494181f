/* lib/apply_remember.c - what an apply has changed on the host, so that the next one does not take it for somebody else's doing: the objects
 * that it put somewhere, and the directories in which it changed entries.
 *
 * A directory is remembered only if nobody had changed it since the sandbox was made: what others did to it must go on to count. */
#include "lib/apply.h"

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Drops from the sorted list what is there twice, and what does not count. */
static void keep_unchanged(const Apply *apply, char **list, size_t count)
{
	const CowIdentity unknown = {0};
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct statx st;
		bool again = kept > 0 && strcmp(list[kept - 1], list[i]) == 0;
		if (!again && host_statx(list[i], &st) == 0 && apply_is_unchanged(apply, list[i], &st, &unknown))
			list[kept++] = list[i];
		else
			free(list[i]);
	}
	list[kept] = NULL;
}

int apply_note_directories(Apply *apply)
{
	char **list = calloc(2 * apply->count + 1, sizeof(*list));
	size_t count = 0;

	apply->directories = list;
	for (const Step *s = apply->steps; list && s < apply->steps + apply->count; s++) {
		if (!step_is_pending(s))
			continue;
		list[count] = parent_of(s->change->path);
		if (!list[count++])
			return -ENOMEM;
		if (!s->from)
			continue;
		list[count] = parent_of(s->from);
		if (!list[count++])
			return -ENOMEM;
	}
	if (!list)
		return -ENOMEM;
	qsort(list, count, sizeof(*list), by_text);
	keep_unchanged(apply, list, count);
	return 0;
}

/* Every path only once: a directory that has a step is remembered by that. */
static bool has_own_step(const Apply *apply, const char *path)
{
	const Step *s = apply_step_at(apply, path);

	return s && s->state == STEP_DONE;
}

static AppliedItem item_now(const char *path, bool there)
{
	struct statx st = {0};

	there = there && host_statx(path, &st) == 0;
	return (AppliedItem){
		.path = (char *)(uintptr_t)path,
		.is = {.known = there, .dev = host_dev(&st), .ino = st.stx_ino, .size = st.stx_size, .mtime = {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec},
		       .ctime = {st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec}, .mode = st.stx_mode, .uid = st.stx_uid, .gid = st.stx_gid},
	};
}

int apply_remember(Apply *apply)
{
	size_t count = 0, directories = 0;

	while (apply->directories && apply->directories[directories])
		directories++;
	AppliedItem *fresh = calloc(apply->count + directories + 1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	for (const Step *s = apply->steps; s < apply->steps + apply->count; s++)
		if (s->state == STEP_DONE)
			fresh[count++] = item_now(s->change->path, s->change->kind != COW_DELETED);
	for (size_t i = 0; i < directories; i++)
		if (!has_own_step(apply, apply->directories[i]))
			fresh[count++] = item_now(apply->directories[i], true);
	int r = applied_update(apply->sb->dirfd, &apply->applied, fresh, count);
	free(fresh);
	return r;
}
