/* backends/object_dir.c - `dir:PATH`: opening and closing a directory of objects. A put waits for the disk several times, so some threads are faster than one. */
#include "backends/object_dir.h"
#include "backends/backends.h"

#include <fcntl.h>
#include <sys/random.h>

static void work(void *ctx, ObjectRequest *request, bool canceled)
{
	DirStore *ds = ctx;

	if (canceled)
		request->result = bv_fail(&request->error, -ECANCELED, "dir:%s/%s: not done: the store was closed", ds->path, request->name);
	else
		dir_store_do(ds, request);
}

static void submit(ObjectStore *store, ObjectRequest *request)
{
	object_pool_submit(&dir_store_of(store)->pool, request);
}

static void close_store(ObjectStore *store)
{
	DirStore *ds;

	if (!store)
		return;
	ds = dir_store_of(store);
	object_pool_release(&ds->pool);
	close(ds->root);
	free(ds->path);
	free(ds);
}

/* ---- opening ---- */

static int open_root(const char *path, bool create, int *root, char **err)
{
	int r = create ? bv_mkdir_all(path) : 0;
	int fd;

	if (r < 0 && r != -EROFS) /* it may be there, and be read */
		return bv_fail(err, r == -EPERM ? -EACCES : r, "cannot make the directory %s: %s; choose another one", path, strerror(-r));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		*root = fd;
		return 0;
	}
	r = bv_neg_errno();
	if (r == -ENOENT)
		return bv_fail(err, -ENODEV, "there is no directory %s; make it, or check the spelling", path);
	if (r == -ENOTDIR)
		return bv_fail(err, -ENODEV, "%s is no directory; choose another path", path);
	return bv_fail(err, r == -EPERM ? -EACCES : r, "cannot open the directory %s: %s", path, strerror(-r));
}

static int open_store(const char *location, bool create, ObjectStore **out, char **err)
{
	CLEAN_FD int root = -1;
	DirStore *ds;
	int r;

	if (!*location)
		return bv_fail(err, -EINVAL, "\"dir:\" needs the path of a directory, as in dir:/srv/snapshots");
	r = open_root(location, create, &root, err);
	if (r < 0)
		return r;
	ds = calloc(1, sizeof *ds);
	if (!ds || !(ds->path = strdup(location)) || getrandom(&ds->temp_key, sizeof ds->temp_key, 0) != sizeof ds->temp_key) {
		r = ds && ds->path ? bv_neg_errno() : -ENOMEM;
		if (ds)
			free(ds->path);
		free(ds);
		return bv_fail(err, r, "cannot open %s: %s", location, strerror(-r));
	}
	ds->base.ops = &object_dir_ops;
	ds->root = TAKE_FD(root);
	object_pool_init(&ds->pool, DIR_STORE_THREADS, work, ds);
	*out = &ds->base;
	return 0;
}

const ObjectOps object_dir_ops = {
	.scheme = "dir",
	.open = open_store,
	.close = close_store,
	.submit = submit,
	.list = dir_store_list,
	.has_if_absent = dir_store_has_if_absent,
};
