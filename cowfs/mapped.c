/* cowfs/mapped.c - which bodies somebody has in memory, where a lease does not tell (blob_hides_maps): on overlayfs, the root of most containers, a file that is mapped and whose descriptors are
 * closed counts as one that nobody has open.
 *
 * There each lease that is granted is followed by a look at what all processes have mapped. In this order nobody is missed: when the lease was granted no descriptor was open, so who has the
 * body mapped later either had it mapped then, and is seen, or has opened it since, for which he comes to us: he needs fs->lock, or has cleared N_UNOPENED (seal.c).
 * One pass over the processes may miss a mapping that moves on meanwhile (a fork, mremap), so there are two at least, and more until one finds nothing new; what was seen once counts.
 *
 * A body is known by its path, and, as it may have been opened by another name (a link in watch_dir or for an exec), by its inode number. That of another file
 * system may be the same: a body counts as mapped then, which costs a copy or some room. So does each that cannot be known.
 * Not seen is a process that is no guest, was given a descriptor, and lets us not look into it (it is another user's). */
#include "mapped.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define ROUNDS 16 /* who maps new files all the time is asked again when guests stand still */

typedef struct File {
	HmapNode node;
	uint64_t number; /* of a blob, or an inode */
	bool is_inode, shared;
} File;

CowMappers mappers_of(const CowfsConfig *config)
{
	return (CowMappers){.ask = config->mapped, .ctx = config->mapped_ctx, .blobs = config->blobs, .always = config->flags & COWFS_BLIND_LEASES};
}

bool mappers_needed(const CowMappers *m)
{
	return m->always || blob_hides_maps(m->blobs);
}

static File *find(const CowMapped *mapped, uint64_t number, bool is_inode)
{
	for (HmapNode *n = hmap_first(&mapped->files, hash_u64(number, is_inode)); n; n = hmap_next(n)) {
		File *f = CONTAINER_OF(n, File, node);
		if (f->number == number && f->is_inode == is_inode)
			return f;
	}
	return NULL;
}

static void add(CowMapped *mapped, uint64_t number, bool is_inode, bool shared)
{
	File *f = find(mapped, number, is_inode);

	if (f && (f->shared || !shared))
		return;
	mapped->news |= shared || !is_inode;
	if (f) {
		f->shared = true;
		return;
	}
	f = malloc(sizeof *f);
	if (!f) {
		mapped->unknown = true;
		return;
	}
	*f = (File){.number = number, .is_inode = is_inode, .shared = shared};
	hmap_insert(&mapped->files, &f->node, hash_u64(number, is_inode));
}

static void note_file(void *ctx, const char *path, uint64_t ino, bool shared)
{
	CowMapped *mapped = ctx;
	size_t len = strlen(mapped->root);
	const char *slash = len && strncmp(path, mapped->root, len) == 0 ? strchr(path + len, '/') : NULL;
	char *end = NULL;
	BlobId id = slash ? strtoull(slash + 1, &end, 16) : 0;

	if (id && end > slash + 1 && (*end == '\0' || *end == ' '))
		add(mapped, id, false, shared);
	add(mapped, ino, true, shared);
}

/* As the kernel shows it. */
static void find_root(BlobStore *blobs, char out[PATH_MAX])
{
	BlobPlace place;
	char link[40];

	*out = '\0';
	if (blob_place(blobs, 1, &place) < 0)
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", place.dirfd);
	ssize_t n = readlink(link, out, PATH_MAX - 2);
	if (n > 0)
		out[n++] = '/';
	out[MAX(n, 0)] = '\0';
}

void mapped_take(const CowMappers *m, bool guests, CowMapped *out)
{
	*out = (CowMapped){0};
	if (!mappers_needed(m))
		return;
	out->taken = true;
	out->unknown = !m->ask || hmap_init(&out->files) < 0;
	find_root(m->blobs, out->root);
	for (int i = 0; i < ROUNDS && (i < 2 || out->news) && !out->unknown; i++) {
		out->news = false;
		if (m->ask(m->ctx, guests, note_file, out) != 0)
			out->unknown = true;
	}
	out->unknown |= out->news;
}

void mapped_release(CowMapped *mapped)
{
	HMAP_FOREACH_SAFE (&mapped->files, n, next)
		free(CONTAINER_OF(n, File, node));
	hmap_release(&mapped->files);
	*mapped = (CowMapped){0};
}

bool mapped_has(const CowMapped *mapped, BlobStore *blobs, BlobId id, bool shared)
{
	struct statx st;

	if (!mapped->taken || mapped->unknown)
		return mapped->taken;
	const File *f = find(mapped, id, false);
	if (f && (f->shared || !shared))
		return true;
	int rc = blob_is_here(blobs, id) ? blob_statx(blobs, id, STATX_INO, &st) : -ENOENT;
	if (rc < 0)
		return rc != -ENOENT;
	f = find(mapped, st.stx_ino, true);
	return f && (f->shared || !shared);
}
