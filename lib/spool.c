/* lib/spool.c - see spool.h. A failure costs disk space: the list before stays, which names less. */
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
	if (spool->n == spool->room) {
		size_t room = MAX((size_t)256, spool->room * 2);
		BlobRemote *more = realloc(spool->list, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		spool->list = more;
		spool->room = room;
	}
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

static int by_use(const void *a, const void *b)
{
	const BlobClean *x = a, *y = b;

	return (x->here_since > y->here_since) - (x->here_since < y->here_since);
}

/* Of a sandbox that is stopped, and held so. A running one's supervisor does it (cowfs/spool.c). */
static void trim_stopped(BlobStore *blobs, uint64_t bound)
{
	CLEAN_FREE BlobClean *list = NULL;
	uint64_t total;
	size_t n;

	if (blob_list_clean(blobs, &total, &list, &n) < 0 || total <= bound || !n)
		return;
	qsort(list, n, sizeof(*list), by_use);
	for (size_t i = 0; i < n && total > bound; i++)
		if (blob_drop(blobs, list[i].id) == 0)
			total -= list[i].bytes;
}

void spool_publish(Spool *spool, const BvSandbox *sb, const Snapshots *s, const SnapId *id, const Moment *moment)
{
	CLEAN_FREE char *path = bv_asprintf("%s/blobs", sandbox_data_dir(sb));
	CLEAN_FREE char *source = snap_fetcher_source(s->location, s->key, id);
	const BlobOps *ops = blob_ops_find(backend_is_memory(sb->config.backend) ? "tmpfs" : "dir");
	BlobStore *blobs = NULL;

	if (spool->n)
		qsort(spool->list, spool->n, sizeof(*spool->list), by_id);
	bool held;
	int r = path && source && ops ? hold_take(s, &sb->config, id, &held, NULL) : -ENOMEM;
	if (r == 0)
		r = ops->open(path, 0, &blobs, NULL);
	if (r == 0)
		r = blob_reload_remote(blobs, NULL); /* what was fetched meanwhile */
	if (r == 0)
		r = blob_put_remote(blobs, source, spool->list, spool->n);
	if (r == 0 && !moment->conn && blob_reload_remote(blobs, NULL) == 0)
		trim_stopped(blobs, sb->config.spool);
	blob_close(blobs);
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
