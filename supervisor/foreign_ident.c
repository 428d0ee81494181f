/* supervisor/foreign_ident.c - a bounded table from the identity of opened objects back to their names.
 *
 * Inode numbers of procfs, sysfs and memory files are unique while the object lives. An entry may outlive its object; the owner of
 * the path therefore checks on use that the name still has that identity. `lock` protects everything. */
#include "supervisor/foreign_internal.h"

#include "base/hmap.h"

#include <stdatomic.h>
#include <sys/stat.h>

enum { CAPACITY = 4096 };

typedef struct Entry {
	HmapNode node;
	dev_t dev;
	ino_t ino;
	ForeignFs fs;
	char path[];
} Entry;

struct IdentTable {
	pthread_mutex_t lock;
	Hmap map;
	Entry *ring[CAPACITY]; /* oldest at `next` */
	size_t next;
	atomic_bool used; /* something was ever put: never goes back */
};

static uint64_t key(dev_t dev, ino_t ino)
{
	return hash_u64(ino, hash_u64(dev, 0));
}

int ident_new(IdentTable **out)
{
	IdentTable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	int r = hmap_init(&t->map);
	if (r < 0) {
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void ident_free(IdentTable *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < CAPACITY; i++)
		free(t->ring[i]);
	hmap_release(&t->map);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static Entry *find_locked(IdentTable *t, dev_t dev, ino_t ino)
{
	for (HmapNode *n = hmap_first(&t->map, key(dev, ino)); n; n = hmap_next(n)) {
		Entry *e = CONTAINER_OF(n, Entry, node);
		if (e->dev == dev && e->ino == ino)
			return e;
	}
	return NULL;
}

static void replace_locked(IdentTable *t, size_t slot, Entry *fresh)
{
	Entry *old = t->ring[slot];

	if (old) {
		hmap_remove(&t->map, &old->node);
		free(old);
	}
	t->ring[slot] = fresh;
	hmap_insert(&t->map, &fresh->node, key(fresh->dev, fresh->ino));
}

void ident_put(IdentTable *t, ForeignFs fs, dev_t dev, ino_t ino, const char *path)
{
	size_t len = strlen(path), slot;
	Entry *fresh = malloc(sizeof(*fresh) + len + 1);

	atomic_store(&t->used, true);
	if (!fresh)
		return;
	fresh->dev = dev;
	fresh->ino = ino;
	fresh->fs = fs;
	memcpy(fresh->path, path, len + 1);
	pthread_mutex_lock(&t->lock);
	Entry *old = find_locked(t, dev, ino);
	if (old && old->fs == fs && strcmp(old->path, path) == 0) {
		free(fresh);
	} else {
		for (slot = 0; old && t->ring[slot] != old;)
			slot++;
		if (!old) {
			slot = t->next;
			t->next = (t->next + 1) % CAPACITY;
		}
		replace_locked(t, slot, fresh);
	}
	pthread_mutex_unlock(&t->lock);
}

bool ident_used(IdentTable *t)
{
	return atomic_load(&t->used);
}

int ident_get(IdentTable *t, ForeignFs fs, dev_t dev, ino_t ino, char *path, size_t size)
{
	int r = -ENOENT;

	pthread_mutex_lock(&t->lock);
	const Entry *e = find_locked(t, dev, ino);
	if (e && e->fs == fs) {
		size_t len = strlen(e->path);
		r = len < size ? 0 : -ERANGE;
		if (r == 0)
			memcpy(path, e->path, len + 1);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void ident_put_fd(IdentTable *t, ForeignFs fs, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		ident_put(t, fs, st.st_dev, st.st_ino, path);
}
