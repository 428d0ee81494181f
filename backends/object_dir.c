/* backends/object_dir.c - `dir:PATH`: opening and closing a directory of objects, and the few threads that do its requests (a put waits for the
 * disk several times, so some at once are faster than one after the other). The threads start when there is work. */
#include "backends/object_dir.h"
#include "backends/backends.h"

#include <fcntl.h>
#include <sys/random.h>

/* ---- the threads ---- */

static ObjectRequest *pop_locked(DirStore *ds)
{
	ObjectRequest *request = ds->first;

	if (request) {
		ds->first = request->store_private;
		if (!ds->first)
			ds->last = &ds->first;
		request->store_private = NULL;
	}
	return request;
}

static void *work(void *arg)
{
	DirStore *ds = arg;

	pthread_mutex_lock(&ds->lock);
	for (;;) {
		ObjectRequest *request = ds->closing ? NULL : pop_locked(ds);
		if (ds->closing)
			break;
		if (!request) {
			ds->n_idle++;
			pthread_cond_wait(&ds->changed, &ds->lock);
			ds->n_idle--;
			continue;
		}
		pthread_mutex_unlock(&ds->lock);
		dir_store_do(ds, request);
		request->done(request);
		pthread_mutex_lock(&ds->lock);
	}
	pthread_mutex_unlock(&ds->lock);
	return NULL;
}

static void submit(ObjectStore *store, ObjectRequest *request)
{
	DirStore *ds = dir_store_of(store);
	bool here;

	pthread_mutex_lock(&ds->lock);
	if (ds->n_idle == 0 && ds->n_threads < DIR_STORE_THREADS && pthread_create(&ds->threads[ds->n_threads], NULL, work, ds) == 0)
		ds->n_threads++;
	here = ds->n_threads == 0; /* no thread to be had: do it here */
	if (!here) {
		/* The queue has no field of its own: `last` points to where the pointer to the next one is stored. */
		request->store_private = NULL;
		*ds->last = request;
		ds->last = (ObjectRequest **)&request->store_private;
		pthread_cond_signal(&ds->changed);
	}
	pthread_mutex_unlock(&ds->lock);
	if (here) {
		dir_store_do(ds, request);
		request->done(request);
	}
}

static void close_store(ObjectStore *store)
{
	DirStore *ds;
	ObjectRequest *left;

	if (!store)
		return;
	ds = dir_store_of(store);
	pthread_mutex_lock(&ds->lock);
	ds->closing = true;
	pthread_cond_broadcast(&ds->changed);
	pthread_mutex_unlock(&ds->lock);
	for (int i = 0; i < ds->n_threads; i++)
		pthread_join(ds->threads[i], NULL);
	while ((left = pop_locked(ds))) { /* nobody else is left who could use the lock */
		left->result = bv_fail(&left->error, -ECANCELED, "dir:%s/%s: not done: the store was closed", ds->path, left->name);
		left->done(left);
	}
	pthread_cond_destroy(&ds->changed);
	pthread_mutex_destroy(&ds->lock);
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
	ds->last = &ds->first;
	pthread_mutex_init(&ds->lock, NULL);
	pthread_cond_init(&ds->changed, NULL);
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
