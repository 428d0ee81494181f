/* tests/oracle/world.c - scratch directories of a run, and the record of its operations, which outlives a child that crashes. */
#include "tests/oracle/oracle.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define ARENA_SIZE ((size_t)1 << 31)

Record *record;
static char *strings;

const char *record_keep(const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = strings + record->used;

	if (record->used + len > ARENA_SIZE)
		abort();
	memcpy(copy, text, len);
	record->used += len;
	return copy;
}

void *shared_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

void record_init(void)
{
	record = shared_alloc(sizeof *record + MAX_OPS * sizeof *record->ops);
	strings = shared_alloc(ARENA_SIZE);
}

int world_init(World *w, const char *base, const char *scheme, uint64_t seed)
{
	int n;

	*w = (World){.scheme = scheme, .real_root = -1};
	for (int i = 0; i < FILE_SLOTS; i++)
		w->real_file[i] = w->cow_file[i] = -1;
	for (int i = 0; i < DIR_SLOTS; i++)
		w->real_dir[i] = w->cow_dir[i] = -1;
	w->cred = (CowCred){.uid = geteuid(), .gid = getegid(), .groups = w->groups};
	n = getgroups(ARRAY_LEN(w->groups), w->groups);
	w->cred.ngroups = n > 0 ? (size_t)n : 0;
	w->start_sec = time(NULL) - 1;
	snprintf(w->dir, sizeof w->dir, "%s/bvisor-oracle-XXXXXX", base);
	if (!mkdtemp(w->dir))
		return world_fail(w, "%s: %s", w->dir, strerror(errno));
	snprintf(w->lower, sizeof w->lower, "%s/lower/t/t/t/t/t/root", w->dir);
	snprintf(w->plain, sizeof w->plain, "%s/plain/t/t/t/t/t/root", w->dir);
	if (tree_prepare(w->lower, seed) < 0 || tree_prepare(w->plain, seed) < 0)
		return world_fail(w, "cannot prepare the trees below %s: %s", w->dir, strerror(errno));
	w->real_root = open(w->plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cow_open_world(w, true);
}

void world_release(World *w, bool keep)
{
	cow_close_world(w);
	bv_close_fd(&w->real_root);
	tree_forget(w);
	if (keep)
		return;
	tree_make_removable(w->dir);
	if (bv_remove_tree_at(AT_FDCWD, w->dir) < 0)
		fprintf(stderr, "cannot remove %s\n", w->dir);
}
