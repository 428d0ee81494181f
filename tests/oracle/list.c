/* tests/oracle/list.c - listings as a front end makes them: the kernel lists an untouched directory from its own descriptor; when it
 * changes meanwhile, the kernel's records are filtered and the sandbox's own entries come last; a changed directory is listed by cowfs. */
#include "tests/oracle/list.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>

typedef struct Dirent {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
} Dirent;

void names_release(Names *names)
{
	for (size_t i = 0; i < names->len; i++)
		free(names->name[i]);
	free(names->name);
	free(names->ino);
	free(names->type);
	*names = (Names){0};
}

static void names_add(Names *names, const Dirent *rec)
{
	if (names->len == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 64;
		names->name = realloc(names->name, names->cap * sizeof *names->name);
		names->ino = realloc(names->ino, names->cap * sizeof *names->ino);
		names->type = realloc(names->type, names->cap);
	}
	names->name[names->len] = strdup(rec->d_name);
	names->ino[names->len] = rec->d_ino;
	names->type[names->len++] = rec->d_type;
}

/* Takes the records of a buffer; false if they are malformed. */
static bool take_records(Names *names, const unsigned char *buf, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const Dirent *rec = (const void *)(buf + at);
		size_t left = len - at, head = offsetof(Dirent, d_name);
		if (left < head + 2 || rec->d_reclen % 8 || rec->d_reclen > left || rec->d_reclen < head + 2)
			return false;
		if (strnlen(rec->d_name, rec->d_reclen - head) >= rec->d_reclen - head)
			return false;
		if (strcmp(rec->d_name, ".") != 0 && strcmp(rec->d_name, "..") != 0)
			names_add(names, rec);
		at += rec->d_reclen;
	}
	return true;
}

static ssize_t kernel_records(int fd, void *buf, size_t size)
{
	long n = syscall(SYS_getdents64, fd, buf, size);

	return n < 0 ? -errno : n;
}

/* One read of a listing. Returns bytes, 0 at the end, negative errno. */
static ssize_t read_some(World *w, const CowLoc *dir, int fd, Listing *l, void *buf, size_t size)
{
	CowReq req = {.cred = &w->cred, .may_block = true};
	ssize_t n;

	if (!l->raw)
		return cowfs_getdents(w->fs, &req, dir, &l->pos, buf, size);
	while (!l->raw_done) {
		n = kernel_records(fd, buf, size);
		if (n < 0)
			return n;
		l->raw_done = n == 0;
		if (n > 0 && !cowfs_dir_is_clean(w->fs, dir))
			n = (ssize_t)cowfs_filter_dents(w->fs, dir, buf, (size_t)n);
		if (n > 0)
			return n;
	}
	if (cowfs_dir_is_clean(w->fs, dir))
		return 0;
	return cowfs_upper_dents(w->fs, dir, &l->cursor, buf, size);
}

static ssize_t step(World *w, const CowLoc *dir, int fd, Listing *l, size_t size)
{
	_Alignas(8) unsigned char buf[16384];
	ssize_t n = read_some(w, dir, fd, l, buf, MIN(size, sizeof buf));

	if (n > 0 && !take_records(&l->seen, buf, (size_t)n))
		return world_fail(w, "malformed directory records");
	return n;
}

static int sort_names(Names *names)
{
	/* Insertion sort of three parallel arrays: directories here are small. */
	for (size_t i = 1; i < names->len; i++)
		for (size_t j = i; j > 0 && strcmp(names->name[j - 1], names->name[j]) > 0; j--) {
			char *name = names->name[j];
			uint64_t ino = names->ino[j];
			unsigned char type = names->type[j];
			names->name[j] = names->name[j - 1], names->name[j - 1] = name;
			names->ino[j] = names->ino[j - 1], names->ino[j - 1] = ino;
			names->type[j] = names->type[j - 1], names->type[j - 1] = type;
		}
	return 0;
}

int list_whole(World *w, const CowLoc *dir, int fd, Names *out)
{
	Listing l = {.raw = cowfs_dir_is_clean(w->fs, dir)};
	ssize_t n;

	if (l.raw && lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	do
		n = step(w, dir, fd, &l, 16384);
	while (n > 0);
	if (n < 0) {
		names_release(&l.seen);
		return (int)n;
	}
	sort_names(&l.seen);
	*out = l.seen;
	return 0;
}

void list_forget(Listing *listing)
{
	names_release(&listing->before);
	names_release(&listing->seen);
	*listing = (Listing){0};
}

/* The directory behind a slot; false if the listing makes no sense any more (the directory was removed). */
static bool slot_dir(World *w, int slot, CowLoc *dir)
{
	CowReq req = {.cred = &w->cred, .may_block = true};
	struct statx st;

	if (w->cow_dir[slot] < 0 || cow_loc_of_fd(w, w->cow_dir[slot], dir) < 0)
		return false;
	return cowfs_statx(w->fs, &req, dir, "", COW_EMPTY_PATH, STATX_BASIC_STATS, &st) == 0 && st.stx_nlink > 0;
}

void list_start(World *w, int slot)
{
	Listing *l = &w->listing[slot];
	CLEAN_LOC CowLoc dir = {0};
	int r;

	list_forget(l);
	if (!slot_dir(w, slot, &dir))
		return;
	r = list_whole(w, &dir, w->cow_dir[slot], &l->before);
	if (r < 0) {
		world_fail(w, "listing a directory: %s", strerror(-r));
		return;
	}
	l->raw = cowfs_dir_is_clean(w->fs, &dir);
	l->active = true;
	if (l->raw && lseek(w->cow_dir[slot], 0, SEEK_SET) < 0)
		world_fail(w, "rewinding a directory: %s", strerror(errno));
}

void list_step(World *w, int slot, size_t bytes)
{
	Listing *l = &w->listing[slot];
	CLEAN_LOC CowLoc dir = {0};

	if (!l->active || l->done)
		return;
	if (!slot_dir(w, slot, &dir)) {
		list_forget(l);
		return;
	}
	ssize_t n = step(w, &dir, w->cow_dir[slot], l, bytes);
	if (n < 0 && !(n == -EINVAL && bytes < 300))
		world_fail(w, "reading a directory in steps of %zu: %s", bytes, strerror((int)-n));
	l->done = n == 0;
}

static const uint64_t *find_name(const Names *names, const char *name)
{
	for (size_t i = 0; i < names->len; i++)
		if (strcmp(names->name[i], name) == 0)
			return &names->ino[i];
	return NULL;
}

static void verify(World *w, Listing *l, const Names *after)
{
	sort_names(&l->seen);
	for (size_t i = 1; i < l->seen.len; i++)
		if (strcmp(l->seen.name[i - 1], l->seen.name[i]) == 0)
			world_fail(w, "a directory read in steps showed \"%s\" twice", l->seen.name[i]);
	for (size_t i = 0; i < l->before.len; i++) {
		const uint64_t *ino = find_name(after, l->before.name[i]);
		if (ino && *ino == l->before.ino[i] && !find_name(&l->seen, l->before.name[i]))
			world_fail(w, "a directory read in steps lost \"%s\", which was there all the time", l->before.name[i]);
	}
}

void list_end(World *w, int slot)
{
	Listing *l = &w->listing[slot];
	CLEAN_LOC CowLoc dir = {0};
	Names after = {0};

	for (int i = 0; l->active && !l->done && i < 10000 && !w->why[0]; i++)
		list_step(w, slot, 16384);
	if (l->active && slot_dir(w, slot, &dir)) {
		int r = list_whole(w, &dir, w->cow_dir[slot], &after);
		if (r < 0)
			world_fail(w, "listing a directory: %s", strerror(-r));
		else
			verify(w, l, &after);
	}
	names_release(&after);
	list_forget(l);
}
