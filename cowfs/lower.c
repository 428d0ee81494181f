/* cowfs/lower.c - how the host's tree is read: by canonical path, never through a symlink.
 *
 * The host is live. What is remembered here (that a prefix is a plain directory, the text of a symlink) is forgotten after 50 ms, and nothing
 * is remembered below a writable grant, where a guest could exchange a directory for a symlink between check and use. */
#include "internal.h"

#include <sys/syscall.h>

ssize_t path_join(char *out, const char *dir, size_t dlen, const char *name, size_t nlen)
{
	if (dlen == 1 && dir[0] == '/')
		dlen = 0;
	if (dlen + 1 + nlen >= PATH_MAX)
		return -ENAMETOOLONG;
	if (out != dir)
		memcpy(out, dir, dlen);
	out[dlen] = '/';
	memcpy(out + dlen + 1, name, nlen);
	out[dlen + 1 + nlen] = '\0';
	return (ssize_t)(dlen + 1 + nlen);
}

/* One component at a time, for kernels or filters without openat2. */
static int open_by_components(const char *path, int flags, mode_t mode)
{
	CLEAN_FD int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];

	while (dir >= 0) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		path += n;
		bool last = !path[strspn(path, "/")];
		int fd = openat(dir, n ? name : ".", last ? flags | O_NOFOLLOW | O_CLOEXEC : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd < 0)
			return bv_neg_errno();
		if (last)
			return fd;
		close(dir);
		dir = fd;
	}
	return bv_neg_errno();
}

int lower_open(Cowfs *fs, const char *path, int flags, mode_t mode)
{
	struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0, .resolve = RESOLVE_NO_SYMLINKS};
	int rc = cow_fault("host open");

	if (rc < 0)
		return rc;
	if (fs->broken_openat2)
		return open_by_components(path, flags, mode);
	if (!(flags & O_PATH))
		how.flags |= O_LARGEFILE;
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	if (fd >= 0)
		return (int)fd;
	if (errno != ENOSYS)
		return bv_neg_errno();
	fs->broken_openat2 = true;
	return open_by_components(path, flags, mode);
}

int lower_open_parent(Cowfs *fs, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	*name = slash + 1;
	if (slash == path)
		return lower_open(fs, "/", O_PATH | O_DIRECTORY, 0);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return lower_open(fs, dir, O_PATH | O_DIRECTORY, 0);
}

int lower_statx(Cowfs *fs, const CowGrant *grant, const char *path, struct statx *out)
{
	int rc = cow_fault("host statx");

	if (rc < 0)
		return rc;
	if (grant) {
		CLEAN_FD int fd = lower_open(fs, path, O_PATH | O_NOFOLLOW, 0);
		rc = fd < 0 ? fd : statx_of_fd(fd, out);
	} else if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, COW_STATX_MASK | STATX_MNT_ID, out) < 0) {
		rc = bv_neg_errno();
	}
	if (rc == 0)
		owner_show(fs, out);
	return rc;
}

/* ---- what is remembered for a moment ---- */

static LowerSlot *slot_locked(Cowfs *fs, const char *path, size_t len, uint64_t *hash)
{
	*hash = hash_bytes(path, len, 4);
	return &fs->lower->slots[*hash % COW_LOWER_SLOTS];
}

int lower_peek(Cowfs *fs, const char *path, size_t len, char *text, size_t size)
{
	uint64_t hash;
	int kind = LOWER_UNKNOWN;

	pthread_mutex_lock(&fs->lower->lock);
	LowerSlot *slot = slot_locked(fs, path, len, &hash);
	if (slot->kind && slot->hash == hash && slot->len == len && memcmp(slot->text, path, len) == 0 &&
	    bv_now_coarse_ns() - slot->time < COW_LOWER_TTL_NS) {
		kind = slot->kind;
		if (kind == LOWER_LINK && slot->tlen < size) {
			memcpy(text, slot->text + len, slot->tlen);
			text[slot->tlen] = '\0';
		} else if (kind == LOWER_LINK) {
			kind = LOWER_UNKNOWN;
		}
	}
	pthread_mutex_unlock(&fs->lower->lock);
	return kind;
}

void lower_note(Cowfs *fs, const char *path, size_t len, int kind, const char *text)
{
	size_t tlen = text ? strlen(text) : 0;
	uint64_t hash;

	if (len + tlen > sizeof fs->lower->slots[0].text)
		return;
	pthread_mutex_lock(&fs->lower->lock);
	LowerSlot *slot = slot_locked(fs, path, len, &hash);
	slot->hash = hash;
	slot->time = bv_now_coarse_ns();
	slot->len = (uint16_t)len;
	slot->kind = (uint8_t)kind;
	slot->tlen = (uint8_t)tlen;
	memcpy(slot->text, path, len);
	if (tlen)
		memcpy(slot->text + len, text, tlen);
	pthread_mutex_unlock(&fs->lower->lock);
}

static LowerHeld *held_locked(Cowfs *fs, dev_t dev, ino_t ino)
{
	return &fs->lower->held[hash_u64(ino, dev) % COW_LOWER_HELD];
}

void lower_hold(Cowfs *fs, dev_t dev, ino_t ino, const char *path)
{
	size_t len = strlen(path);

	pthread_mutex_lock(&fs->lower->lock);
	LowerHeld *h = held_locked(fs, dev, ino);
	if (len < sizeof h->path) {
		*h = (LowerHeld){.dev = dev, .ino = ino, .time = bv_now_coarse_ns(), .len = (uint16_t)len};
		memcpy(h->path, path, len + 1);
	}
	pthread_mutex_unlock(&fs->lower->lock);
}

char *lower_held(Cowfs *fs, dev_t dev, ino_t ino)
{
	char *path = NULL;

	pthread_mutex_lock(&fs->lower->lock);
	const LowerHeld *h = held_locked(fs, dev, ino);
	if (h->len && h->ino == ino && h->dev == dev && bv_now_coarse_ns() - h->time < COW_LOWER_TTL_NS)
		path = strndup(h->path, h->len);
	pthread_mutex_unlock(&fs->lower->lock);
	return path;
}

int lower_prefix(Cowfs *fs, const CowGrant *grant, char *path, size_t len)
{
	int kind = grant ? LOWER_UNKNOWN : lower_peek(fs, path, len, NULL, 0);

	if (kind == LOWER_DIR)
		return 0;
	if (kind == LOWER_MIXED)
		return -ELOOP;
	char cut = path[len];
	path[len] = '\0';
	int fd = lower_open(fs, path, O_PATH | O_DIRECTORY, 0);
	path[len] = cut;
	if (fd >= 0) {
		close(fd);
		fd = 0;
	}
	if (!grant && (fd == 0 || fd == -ELOOP))
		lower_note(fs, path, len, fd == 0 ? LOWER_DIR : LOWER_MIXED, NULL);
	return fd;
}

ssize_t lower_readlink(Cowfs *fs, const CowGrant *grant, const char *path, char *buf, size_t size)
{
	ssize_t n;

	if (grant) {
		CLEAN_FD int fd = lower_open(fs, path, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return fd;
		n = readlinkat(fd, "", buf, size - 1);
	} else {
		n = readlink(path, buf, size - 1);
	}
	if (n < 0)
		return bv_neg_errno();
	buf[n] = '\0';
	return n;
}
