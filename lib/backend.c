/* lib/backend.c - from the word that a user gave as backend to the directory where the data of a sandbox are.
 *
 * A place of snapshots ("s3://..."): as "dir", and where its snapshots go to. Restored ones come from there.
 *
 * "tmpfs": database and bodies in a private directory of a memory file system. /dev/shm is shared by all users, so the directory
 * between must be ours and closed to others, or somebody else has prepared it. */
#include "lib/snapshots.h"
#include "lib/store.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>

bool backend_is_memory(const char *backend)
{
	return strcmp(backend, "tmpfs") == 0;
}

bool backend_is_place(const char *backend)
{
	return strstr(backend, "://") != NULL;
}

static bool is_tmpfs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

char *backend_memory_root(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (runtime && runtime[0] == '/' && is_tmpfs(runtime) && access(runtime, W_OK | X_OK) == 0)
		return bv_asprintf("%s/bvisor", runtime);
	if (is_tmpfs("/dev/shm"))
		return bv_asprintf("/dev/shm/bvisor-%u", (unsigned)geteuid());
	return NULL;
}

static int make_private(const char *path, BvError **err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		int r = bv_neg_errno();
		return lib_fail(err, r, "cannot make %s: %s", path, strerror(-r));
	}
	if (lstat(path, &st) < 0)
		return lib_fail(err, bv_neg_errno(), "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return lib_fail(err, -EACCES, "%s is not a directory that only you can use: remove it", path);
	return 0;
}

static int prepare_memory(const char *name, char **data, BvError **err)
{
	CLEAN_FREE char *root = backend_memory_root();
	CLEAN_FREE char *path = NULL;
	int r;

	if (!root)
		return lib_fail(err, -ENODEV, "backend tmpfs: neither $XDG_RUNTIME_DIR nor /dev/shm is a memory file system here; use --backend dir:PATH");
	r = make_private(root, err);
	if (r < 0)
		return r;
	uint64_t random;
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return lib_fail(err, -EIO, "backend tmpfs: no random number");
	path = bv_asprintf("%s/%s-%016jx", root, name, (uintmax_t)random);
	if (!path)
		return lib_fail(err, -ENOMEM, "out of memory");
	*data = TAKE_PTR(path);
	return 0;
}

static int prepare_dir(const char *parent, const char *name, char **data, BvError **err)
{
	CLEAN_FREE char *path = NULL;
	int r;

	if (parent[0] == '\0')
		return lib_fail(err, -EINVAL, "backend dir: needs a path after the colon");
	CLEAN_FREE char *absolute = path_absolute(parent);
	path = absolute ? bv_asprintf("%s/%s", absolute, name) : NULL;
	if (!path)
		return lib_fail(err, -ENOMEM, "out of memory");
	r = bv_mkdir_all(absolute);
	if (r < 0)
		return lib_fail(err, r, "backend dir: cannot make %s: %s", absolute, strerror(-r));
	if (mkdir(path, 0700) < 0) {
		r = bv_neg_errno();
		return lib_fail(err, r, "backend dir: cannot make %s: %s", path, strerror(-r));
	}
	*data = TAKE_PTR(path);
	return 0;
}

int backend_make_data(const char *backend, const char *data, BvError **err)
{
	if (!backend_is_memory(backend) || mkdir(data, 0700) == 0)
		return 0;
	int r = bv_neg_errno();
	return lib_fail(err, r, "backend tmpfs: cannot make %s: %s", data, strerror(-r));
}

/* Its files are kept in its own directory, and go there with each snapshot: a place that cannot be reached is told before anybody has worked for it. */
static int check_place(const char *place, const char *name, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots s = {0};
	char *why = NULL;
	SnapRef ref;
	int r = snapshots_open(place, NULL, NULL, false, &s, err);

	if (r == -ENOKEY) { /* it can be reached, and a key is asked for with the first snapshot */
		lib_error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	r = snap_ref_read(s.store, name, 0, &ref, &why);
	if (r < 0 && r != -ENOENT)
		return lib_fail_text(err, r, why, place);
	free(why);
	return 0;
}

int backend_prepare(const char *backend, const char *name, char **data, BvError **err)
{
	if (strcmp(backend, "dir") == 0)
		return 0;
	if (backend_is_place(backend))
		return check_place(backend, name, err);
	if (backend_is_memory(backend))
		return prepare_memory(name, data, err);
	if (strncmp(backend, "dir:", 4) == 0)
		return prepare_dir(backend + 4, name, data, err);
	return lib_fail(err, -EINVAL, "unknown backend '%s' (known: dir, dir:PATH, tmpfs, s3://BUCKET/PREFIX)", backend);
}
