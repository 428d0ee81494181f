/* snapshot/fetcher.c - see fetcher.h. The source is "ID PLACE". */
#include "snapshot/fetcher.h"

#include <pthread.h>
#include <stdio.h>

typedef struct Fetcher {
	SnapId id;
	char *place;
	pthread_mutex_t lock; /* of what follows */
	ObjectStore *objects;
	SnapStore *store;
	SnapReader *reader; /* is opened once, and then used without the lock */
} Fetcher;

char *snap_fetcher_source(const char *place, const SnapId *id)
{
	char hex[65];

	id_hex(id, hex);
	return bv_asprintf("%s %s", hex, place);
}

static void release(void *ctx)
{
	Fetcher *f = ctx;

	snap_reader_close(f->reader);
	snap_store_close(f->store);
	object_close(f->objects);
	pthread_mutex_destroy(&f->lock);
	free(f->place);
	free(f);
}

static int open_locked(Fetcher *f, char **err)
{
	int r = f->objects ? 0 : object_open(f->place, false, &f->objects, err);

	if (r == 0 && !f->store)
		r = snap_store_open(f->objects, NULL, &f->store, err);
	if (r == 0 && !f->reader)
		r = snap_reader_open(f->store, &f->id, &f->reader, err);
	return r;
}

static int fetch(void *ctx, const void *ref, size_t len, int fd, char **err)
{
	Fetcher *f = ctx;
	CLEAN_FREE char *why = NULL;

	pthread_mutex_lock(&f->lock);
	int r = open_locked(f, &why);
	pthread_mutex_unlock(&f->lock);
	if (r == 0)
		r = snap_reader_fetch_fd(f->reader, ref, len, fd, &why);
	if (r < 0)
		bv_fail(err, r, "a file of the sandbox could not be fetched from %s: %s", f->place, why ? why : strerror(-r));
	return r == 0 || r == -ENOSPC || r == -EDQUOT || r == -ENOMEM ? r : -EIO;
}

int snap_fetcher_attach(BlobStore *blobs, char **err)
{
	const char *source = blob_source(blobs), *space = source ? strchr(source, ' ') : NULL;

	if (!source)
		return 0;
	Fetcher *f = calloc(1, sizeof *f);
	if (!f || !(f->place = strdup(space ? space + 1 : ""))) {
		free(f);
		return bv_fail(err, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&f->lock, NULL);
	if (!space || id_parse(source, (size_t)(space - source), &f->id) < 0) {
		release(f);
		return bv_fail(err, -EBADMSG, "the blob store does not say where its files are: \"%s\"", source);
	}
	blob_set_fetch(blobs, fetch, f, release);
	return 0;
}
