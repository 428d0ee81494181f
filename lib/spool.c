/* lib/spool.c - see spool.h. A failure costs disk space: the list before stays, which names less. What is beyond the bound goes when a supervisor runs (cowfs/spool.c), who knows who reads. */
#include "lib/hold.h"
#include "lib/spool.h"
#include "lib/store.h"
#include "lib/view.h"
#include "snapshot/fetcher.h"

#include <time.h>

#define TICKS_NS 50000000 /* as in cowfs/meta_contents.c: what is changed within a tick of the clock keeps its ctime */

struct Spool {
	int64_t settled; /* ns of real time: what was changed later may be changed without a trace */
	BlobRemote *list;
	size_t n, room;
};

/* The place that its files come from, if that is known already. */
static bool comes_from(const BvSandbox *sb, const char *place)
{
	BlobStore *blobs = NULL;
	char key[2 * KEY_ID_SIZE + 1];
	const char *from;
	SnapId id;

	if (strcmp(sb->config.backend, place) == 0)
		return true;
	if (view_open_blobs(sb, &blobs, NULL) < 0)
		return false;
	const char *source = blob_source(blobs);
	bool same = source && snap_fetcher_parse(source, &id, key, &from) == 0 && strcmp(from, place) == 0;
	blob_close(blobs);
	return same;
}

int spool_begin(const BvSandbox *sb, const Snapshots *s, Spool **out)
{
	if (!sb->config.spool || !comes_from(sb, s->location))
		return 0;
	struct timespec now;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	clock_gettime(CLOCK_REALTIME, &now);
	(*out)->settled = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - TICKS_NS;
	return 0;
}

int spool_add(Spool *spool, const CowRecord *row, const uint8_t *ref, size_t len)
{
	uint64_t size;

	if (snap_content_size(ref, len, &size) < 0)
		return 0;
	if (!BV_GROW(spool->list, spool->n, spool->room))
		return -ENOMEM;
	void *copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, ref, len);
	bool known = !row->body.kept && (int64_t)row->body.ctime.tv_sec * 1000000000 + row->body.ctime.tv_nsec < spool->settled;
	spool->list[spool->n++] = (BlobRemote){.id = row->blob, .size = size, .times = {row->atime, row->mtime}, .mode = row->mode & 0777, .ref = copy, .ref_len = len,
					       .here_known = row->body.ino != 0, .here_ino = known ? row->body.ino : 0, .here_ctime = row->body.ctime};
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const BlobRemote *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

void spool_publish(Spool *spool, const BvSandbox *sb, const Snapshots *s, const SnapId *id, const Moment *moment)
{
	CLEAN_FREE char *path = bv_asprintf("%s/blobs", sandbox_data_dir(sb));
	CLEAN_FREE char *source = snap_fetcher_source(s->location, s->key, id);
	const BlobOps *ops = blob_ops_find(backend_is_memory(sb->config.backend) ? "tmpfs" : "dir");
	BlobStore *blobs = NULL;

	if (spool->n)
		qsort(spool->list, spool->n, sizeof(*spool->list), by_id);
	uint64_t number = 0;
	int r = path && source && ops ? hold_add(s, &sb->config, id, &number, NULL) : -ENOMEM;
	if (r == 0 && number == 0) /* the place is not ours to write to: nothing there would keep the objects */
		r = -EROFS;
	if (r == 0)
		r = ops->open(path, 0, &blobs, NULL);
	if (r == 0)
		r = blob_reload_remote(blobs, NULL); /* what was fetched meanwhile */
	if (r == 0)
		r = blob_put_remote(blobs, source, spool->list, spool->n);
	blob_close(blobs);
	if (r == 0) /* the list names this one: the one before is needed no more */
		hold_only(s, &sb->config, number);
	if (r == 0 && moment->conn)
		IGNORE_RESULT(conn_call(moment->conn, conn_request("spool"), NULL, 0, NULL, NULL));
}

void spool_free(Spool *spool)
{
	if (!spool)
		return;
	for (size_t i = 0; i < spool->n; i++)
		free((void *)(uintptr_t)spool->list[i].ref);
	free(spool->list);
	free(spool);
}
