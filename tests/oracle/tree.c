/* tests/oracle/tree.c - compares the whole view with the whole real copy, and takes manifests of host trees.
 *
 * Compared: names, type, mode, owner, link count, size, modification time (exactly where it was set, else "since the last check or not"), link text,
 * xattrs, content, hard-link groups, d_ino and d_type against stat. The inode number of an object in the view stays the same from check to check. */
#include "tests/oracle/list.h"

#include <dirent.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#define PATHS 9000

typedef struct Identity {
	HmapNode by_real, by_view;
	uint64_t real_ino, birth, view_ino;
	unsigned check;
} Identity;

typedef struct Identities {
	Hmap by_real, by_view;
	unsigned check;
} Identities;

typedef struct Walk {
	World *w;
	CowReq req;
	char path[PATHS]; /* relative to the compared root */
	char **paths;
	size_t npaths, cap;
} Walk;

uint64_t content_hash(int fd)
{
	unsigned char buf[65536];
	uint64_t hash = 0;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof buf, at)) > 0) {
		hash = hash_u64(hash ^ hash_stable(buf, (size_t)n), 1);
		at += n;
	}
	return n < 0 ? 0 : hash + (uint64_t)at;
}

static bool newer_than_mark(const World *w, const struct statx_timestamp *t)
{
	return t->tv_sec > w->mark_sec || (t->tv_sec == w->mark_sec && (int64_t)t->tv_nsec > w->mark_nsec);
}

static uint64_t birth_of(const struct statx *st)
{
	return (uint64_t)st->stx_btime.tv_sec * 1000000000ULL + st->stx_btime.tv_nsec;
}

static Identity *identity_of_real(Identities *ids, uint64_t ino, uint64_t birth)
{
	for (HmapNode *n = hmap_first(&ids->by_real, hash_u64(ino, birth)); n; n = hmap_next(n)) {
		Identity *id = CONTAINER_OF(n, Identity, by_real);
		if (id->real_ino == ino && id->birth == birth)
			return id;
	}
	return NULL;
}

static Identity *identity_of_view(Identities *ids, uint64_t ino)
{
	HmapNode *n = hmap_first(&ids->by_view, hash_u64(ino, 0));

	return n ? CONTAINER_OF(n, Identity, by_view) : NULL;
}

static void compare_identity(Walk *walk, const struct statx *real, const struct statx *view)
{
	Identities *ids = walk->w->identities;
	Identity *id = identity_of_real(ids, real->stx_ino, birth_of(real)), *other = identity_of_view(ids, view->stx_ino);

	if (id && id->view_ino != view->stx_ino) {
		world_fail(walk->w, "%s: inode number in the view is %ju, was %ju (real file is the same)", walk->path, (uintmax_t)view->stx_ino,
			   (uintmax_t)id->view_ino);
	} else if (!id && other && other->check == ids->check) {
		world_fail(walk->w, "%s: inode number %ju in the view stands for two objects", walk->path, (uintmax_t)view->stx_ino);
	} else if (!id) {
		if (other) { /* its object is gone: the number may be used again by a real inode */
			hmap_remove(&ids->by_real, &other->by_real);
			hmap_remove(&ids->by_view, &other->by_view);
			free(other);
		}
		id = calloc(1, sizeof *id);
		*id = (Identity){.real_ino = real->stx_ino, .birth = birth_of(real), .view_ino = view->stx_ino};
		hmap_insert(&ids->by_real, &id->by_real, hash_u64(id->real_ino, id->birth));
		hmap_insert(&ids->by_view, &id->by_view, hash_u64(id->view_ino, 0));
	}
	if (id)
		id->check = ids->check;
}

static void forget_unseen(Identities *ids, bool all)
{
	HMAP_FOREACH_SAFE (&ids->by_real, n, tmp) {
		Identity *id = CONTAINER_OF(n, Identity, by_real);
		if (!all && id->check == ids->check)
			continue;
		hmap_remove(&ids->by_real, &id->by_real);
		hmap_remove(&ids->by_view, &id->by_view);
		free(id);
	}
}

void tree_forget(World *w)
{
	Identities *ids = w->identities;

	for (size_t i = 0; i < w->npaths; i++)
		free(w->paths[i]);
	free(w->paths);
	w->paths = NULL;
	w->npaths = 0;
	if (!ids)
		return;
	forget_unseen(ids, true);
	hmap_release(&ids->by_real);
	hmap_release(&ids->by_view);
	free(ids);
	w->identities = NULL;
}

static const char *view_path(Walk *walk, char *buf)
{
	snprintf(buf, PATHS, "%s/lower/t%.*s", walk->w->dir, PATHS - 300, walk->path);
	return buf;
}

static const char *real_path(Walk *walk, char *buf)
{
	snprintf(buf, PATHS, "%s/plain/t%.*s", walk->w->dir, PATHS - 300, walk->path);
	return buf;
}

static int compare_meta(Walk *walk, const struct statx *real, const struct statx *view)
{
	World *w = walk->w;
	Meta a = meta_of(w, real), b = meta_of(w, view);

	if (a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || a.nlink != b.nlink || a.size != b.size || a.mtime_sec != b.mtime_sec ||
	    a.mtime_nsec != b.mtime_nsec)
		return world_fail(w, "%s: real mode 0%o owner %u:%u nlink %u size %jd mtime %jd.%jd, view 0%o %u:%u %u %jd %jd.%jd", walk->path, a.mode,
				  a.uid, a.gid, a.nlink, (intmax_t)a.size, (intmax_t)a.mtime_sec, (intmax_t)a.mtime_nsec, b.mode, b.uid, b.gid,
				  b.nlink, (intmax_t)b.size, (intmax_t)b.mtime_sec, (intmax_t)b.mtime_nsec);
	if (newer_than_mark(w, &real->stx_mtime) != newer_than_mark(w, &view->stx_mtime))
		return world_fail(w, "%s: modification time since the last check: real %s, view %s", walk->path,
				  newer_than_mark(w, &real->stx_mtime) ? "changed" : "same", newer_than_mark(w, &view->stx_mtime) ? "changed" : "same");
	if (newer_than_mark(w, &real->stx_ctime) && !newer_than_mark(w, &view->stx_ctime))
		return world_fail(w, "%s: change time was not updated in the view", walk->path);
	return 0;
}

static int compare_link(Walk *walk)
{
	char buf[PATHS], a[PATH_MAX], b[PATH_MAX];
	ssize_t n = readlink(real_path(walk, buf), a, sizeof a);
	ssize_t m = cowfs_readlink(walk->w->fs, &walk->req, NULL, view_path(walk, buf), COW_NOFOLLOW, b, sizeof b);

	if (n > 0)
		unexpand(walk->w->plain, a, (size_t)n);
	if (m > 0)
		unexpand(walk->w->lower, b, (size_t)m);
	if (n != m || (n > 0 && memcmp(a, b, (size_t)n) != 0))
		return world_fail(walk->w, "%s: link text differs", walk->path);
	return 0;
}

static int compare_content(Walk *walk)
{
	char buf[PATHS];
	struct open_how how = {.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC};
	CowFile file = {.fd = -1};
	CLEAN_FD int fd = open(real_path(walk, buf), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int a = fd < 0 ? -errno : 0;
	int b = cowfs_openat(walk->w->fs, &walk->req, NULL, view_path(walk, buf), &how, &file);
	CLEAN_FD int view = file.fd;

	if (a != b)
		return world_fail(walk->w, "%s: opening for reading: real %d, view %d", walk->path, a, b);
	if (a == 0 && content_hash(fd) != content_hash(view))
		return world_fail(walk->w, "%s: content differs", walk->path);
	return 0;
}

static int compare_xattr(Walk *walk, const char *name)
{
	char buf[PATHS], a[1000], b[1000];
	ssize_t n = lgetxattr(real_path(walk, buf), name, a, sizeof a);
	ssize_t m = cowfs_getxattr(walk->w->fs, &walk->req, NULL, view_path(walk, buf), COW_NOFOLLOW, name, b, sizeof b);

	n = n < 0 ? -errno : n;
	if (n != m || (n > 0 && memcmp(a, b, (size_t)n) != 0))
		return world_fail(walk->w, "%s: xattr %s differs: real %zd, view %zd", walk->path, name, n, m);
	return 0;
}

static int compare_xattrs(Walk *walk)
{
	char buf[PATHS], a[2000], b[2000];
	ssize_t n = llistxattr(real_path(walk, buf), a, sizeof a);
	ssize_t m = cowfs_listxattr(walk->w->fs, &walk->req, NULL, view_path(walk, buf), COW_NOFOLLOW, b, sizeof b);

	n = n < 0 ? -errno : n;
	if (n > 0 && m > 0) {
		sort_name_list((unsigned char *)a, (size_t)n);
		sort_name_list((unsigned char *)b, (size_t)m);
	}
	if (n != m || (n > 0 && memcmp(a, b, (size_t)n) != 0))
		return world_fail(walk->w, "%s: xattr names differ: real %zd bytes, view %zd", walk->path, n, m);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(a + i) + 1)
		if (compare_xattr(walk, a + i) < 0)
			return -1;
	return 0;
}

static int list_real(const char *path, Names *out)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t cap = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (out->len == cap)
			out->name = realloc(out->name, (cap = cap ? cap * 2 : 64) * sizeof *out->name);
		out->name[out->len++] = strdup(entry->d_name);
	}
	closedir(dir);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_view(Walk *walk, Names *out)
{
	char buf[PATHS];
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC};
	CLEAN_LOC CowLoc loc = {0};
	CowFile file = {.fd = -1};
	int r = cowfs_openat(walk->w->fs, &walk->req, NULL, view_path(walk, buf), &how, &file);
	CLEAN_FD int fd = file.fd;

	if (r < 0)
		return r;
	r = cow_loc_of_fd(walk->w, fd, &loc);
	return r < 0 ? r : list_whole(walk->w, &loc, fd, out);
}

static void remember_path(Walk *walk)
{
	const char *below = "/t/t/t/t/root/"; /* what the operations start from */

	if (strncmp(walk->path, below, strlen(below)) != 0)
		return;
	if (walk->npaths == walk->cap)
		walk->paths = realloc(walk->paths, (walk->cap = walk->cap ? walk->cap * 2 : 256) * sizeof *walk->paths);
	walk->paths[walk->npaths++] = strdup(walk->path + strlen(below));
}

static int compare_dir(Walk *walk, int depth);

static int compare_object(Walk *walk, int depth, uint64_t d_ino, unsigned char d_type)
{
	char buf[PATHS];
	struct statx real, view;
	int a = statx(AT_FDCWD, real_path(walk, buf), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &real) < 0 ? -errno : 0;
	int b = cowfs_statx(walk->w->fs, &walk->req, NULL, view_path(walk, buf), COW_NOFOLLOW, STATX_BASIC_STATS, &view);

	if (a != b)
		return world_fail(walk->w, "%s: stat: real %d, view %d", walk->path, a, b);
	if (a < 0)
		return 0;
	if (d_ino && d_ino != view.stx_ino)
		return world_fail(walk->w, "%s: listed with inode number %ju, stat says %ju", walk->path, (uintmax_t)d_ino, (uintmax_t)view.stx_ino);
	if (d_type && d_type != IFTODT(view.stx_mode))
		return world_fail(walk->w, "%s: listed with type %u, stat says 0%o", walk->path, d_type, view.stx_mode);
	compare_identity(walk, &real, &view);
	if (compare_meta(walk, &real, &view) < 0 || compare_xattrs(walk) < 0)
		return -1;
	if (depth > 0)
		remember_path(walk);
	if (S_ISLNK(real.stx_mode))
		return compare_link(walk);
	if (S_ISREG(real.stx_mode))
		return compare_content(walk);
	return S_ISDIR(real.stx_mode) ? compare_dir(walk, depth + 1) : 0;
}

static int compare_names(Walk *walk, const Names *real, const Names *view)
{
	size_t i = 0;

	while (i < real->len && i < view->len && strcmp(real->name[i], view->name[i]) == 0)
		i++;
	if (i == real->len && i == view->len)
		return 0;
	if (i == view->len || (i < real->len && strcmp(real->name[i], view->name[i]) < 0))
		return world_fail(walk->w, "%s: \"%s\" is missing in the view", walk->path, real->name[i]);
	return world_fail(walk->w, "%s: \"%s\" is in the view only", walk->path, view->name[i]);
}

static int compare_dir(Walk *walk, int depth)
{
	char buf[PATHS];
	Names real = {0}, view = {0};
	size_t len = strlen(walk->path);
	int a = list_real(real_path(walk, buf), &real), b = list_view(walk, &view), r = 0;

	if (real.len)
		qsort(real.name, real.len, sizeof *real.name, by_text);
	if (a != b)
		r = world_fail(walk->w, "%s: listing: real %d, view %d", walk->path, a, b);
	else if (a == 0)
		r = compare_names(walk, &real, &view);
	for (size_t i = 0; r == 0 && a == 0 && i < real.len && len < 3500; i++) {
		snprintf(walk->path + len, sizeof walk->path - len, "/%s", real.name[i]);
		r = compare_object(walk, depth, view.ino[i], view.type[i]);
		walk->path[len] = 0;
	}
	names_release(&real);
	names_release(&view);
	return r;
}

static void set_mark(World *w)
{
	struct timespec pause = {.tv_nsec = 2000000}, coarse;

	/* Inode times come from the coarse clock, or are finer and up to two of its ticks ahead: wait for two ticks, mark that instant, and
	 * wait for the next, so that what came before is older than the mark and what follows is newer. */
	clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
	for (int tick = 0; tick < 3; tick++) {
		struct timespec last = coarse;
		w->mark_sec = last.tv_sec;
		w->mark_nsec = last.tv_nsec;
		while (coarse.tv_sec == last.tv_sec && coarse.tv_nsec == last.tv_nsec) {
			nanosleep(&pause, NULL);
			clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
		}
	}
}

int tree_compare(World *w)
{
	Walk *walk = calloc(1, sizeof *walk);
	Identities *ids = w->identities;
	char *err = NULL;
	int r;

	if (!ids) {
		ids = w->identities = calloc(1, sizeof *ids);
		if (hmap_init(&ids->by_real) < 0 || hmap_init(&ids->by_view) < 0)
			abort();
	}
	ids->check++;
	walk->w = w;
	walk->req = (CowReq){.cred = &w->cred, .may_block = true};
	r = compare_object(walk, 0, 0, 0);
	if (r == 0 && cowfs_check(w->fs, &err) < 0)
		r = world_fail(w, "invariant violated: %s", err ? err : "no message");
	free(err);
	forget_unseen(ids, false);
	for (size_t i = 0; i < w->npaths; i++)
		free(w->paths[i]);
	free(w->paths);
	w->paths = walk->paths;
	w->npaths = walk->npaths;
	free(walk);
	set_mark(w);
	return w->why[0] ? -1 : r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void print_object(FILE *out, const FTSENT *e, bool contents)
{
	const struct stat *st = e->fts_statp;
	char text[PATH_MAX] = "";

	fprintf(out, "%s %d 0%o %u:%u %ju %ju %ju %jd.%09ld %jd.%09ld", e->fts_path, e->fts_info, st->st_mode, st->st_uid, st->st_gid,
		(uintmax_t)st->st_nlink, (uintmax_t)st->st_ino, (uintmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	if (contents && S_ISREG(st->st_mode)) {
		CLEAN_FD int fd = open(e->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NOATIME);
		fprintf(out, " %jx", (uintmax_t)(fd < 0 ? 0 : content_hash(fd)));
	} else if (S_ISLNK(st->st_mode) && readlink(e->fts_accpath, text, sizeof text - 1) > 0) {
		fprintf(out, " -> %s", text);
	}
	fputc('\n', out);
}

char *manifest_take(const char *root, bool contents)
{
	char *paths[] = {strdup(root), NULL}, *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	FTS *fts = fts_open(paths, FTS_PHYSICAL, by_name);
	FTSENT *e;

	while (fts && (e = fts_read(fts)))
		if (e->fts_info != FTS_DP)
			print_object(out, e, contents);
	fts_close(fts);
	fclose(out);
	free(paths[0]);
	return text;
}

void tree_make_removable(const char *root)
{
	char *paths[] = {strdup(root), NULL};
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while (fts && (e = fts_read(fts)))
		if (e->fts_info == FTS_D && (e->fts_statp->st_mode & 0700) != 0700 && chmod(e->fts_accpath, 0700) < 0)
			perror(e->fts_path);
	fts_close(fts);
	free(paths[0]);
}
