/* snapshot/writer_pack.c - the open pack, uploads, and the session object of a writer that takes long. Locks: writer.h. */
#include "snapshot/writer.h"

#include <stdio.h>

static void upload_free(Upload *u)
{
	if (!u)
		return;
	bytes_release(&u->pack);
	table_release(&u->table);
	object_request_release(&u->request);
	free(u);
}

/* The place of an upload. Waited for before the pack is detached, so that not every worker has a full one in hand when the store is slow. */
static int slot_take(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->uploads >= UPLOADS_MAX && !w->failed)
		pthread_cond_wait(&w->done, &w->lock);
	int r = w->error;
	if (r == 0)
		w->uploads++;
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void slot_give(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	w->uploads--;
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
}

static void arrived(ObjectRequest *request)
{
	Upload *u = request->user;
	SnapWriter *w = u->w;
	int r = request->result;

	if (r < 0)
		writer_fail(w, r, TAKE_PTR(request->error));
	pthread_mutex_lock(&w->lock);
	if (r == 0) {
		w->progress.sent += u->pack.len;
		w->totals.packs++;
		r = index_list_add(&w->packs, &u->id, &u->table);
	}
	SnapProgress progress = w->progress;
	pthread_mutex_unlock(&w->lock);
	if (r == -ENOMEM)
		writer_fail(w, r, NULL);
	upload_free(u);
	if (r == 0 && w->config.progress)
		w->config.progress(w->config.ctx, &progress);
	slot_give(w); /* the last thing done with w */
}

/* Says which packs are ours although nothing leads to them yet; see docs/SNAPSHOT_FORMAT.md. */
static void session_put(SnapWriter *w)
{
	CLEAN_BYTES Bytes body = {0};
	int64_t now = boot_seconds(), last = w->session_put;
	char token[33];

	if (now - last < SESSION_SECONDS)
		return;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->packs.n; i++)
		bytes_id(&body, &w->packs.packs[i].pack);
	if (body.len && !w->session[0] && log_token(token) == 0)
		snprintf(w->session, sizeof w->session, SESSIONS "%s", token);
	pthread_mutex_unlock(&w->lock);
	if (!body.len || body.failed || !atomic_compare_exchange_strong(&w->session_put, &last, now))
		return;
	/* Without it the writer may find at its end that it was too slow. */
	if (w->session[0])
		IGNORE_RESULT(kept_put(w->store, w->session, body.data, body.len, 0, NULL));
}

void session_end(SnapWriter *w)
{
	if (w->session[0])
		IGNORE_RESULT(kept_delete(w->store, w->session, NULL)); /* it grows old */
	w->session[0] = 0;
}

static int upload_begin(SnapWriter *w, Coder *coder, Upload *u)
{
	int r = pack_finish(coder, &u->pack, &u->table, &u->id);

	if (r < 0) {
		upload_free(u);
		slot_give(w);
		return r;
	}
	session_put(w);
	pack_name(&u->id, u->name);
	u->w = w;
	u->iov = (struct iovec){u->pack.data, u->pack.len};
	u->request = (ObjectRequest){.verb = OBJECT_PUT, .name = u->name, .in = &u->iov, .n_in = 1, .done = arrived, .user = u};
	kept_submit(w->store, &u->request);
	return 0;
}

/* pack_lock held. The upload has its place. */
static int detach_locked(SnapWriter *w, Upload **out)
{
	Upload *u = calloc(1, sizeof *u);
	int r = u ? slot_take(w) : -ENOMEM;

	if (r < 0) {
		free(u);
		return r;
	}
	u->pack = w->pack;
	u->table = w->table;
	w->pack = (Bytes){0};
	w->table = (ChunkTable){0};
	*out = u;
	return 0;
}

int pack_append(SnapWriter *w, Coder *coder, ChunkRow *row, const Bytes *stored)
{
	Upload *full = NULL;
	int r = 0;

	pthread_mutex_lock(&w->pack_lock);
	if (w->pack.len == 0) {
		bytes_reserve(&w->pack, PACK_TARGET + CHUNK_MAX + (CHUNK_MAX >> 2)); /* what is not touched costs nothing */
		r = pack_begin(&w->pack);
	}
	row->offset = (uint32_t)w->pack.len;
	row->stored = (uint32_t)stored->len;
	bytes_put(&w->pack, stored->data, stored->len);
	if (r == 0)
		r = w->pack.failed ? -ENOMEM : table_add(&w->table, row);
	if (r == 0 && w->pack.len >= PACK_TARGET)
		r = detach_locked(w, &full);
	pthread_mutex_unlock(&w->pack_lock);
	return full ? upload_begin(w, coder, full) : r;
}

void packs_wait(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->uploads)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

int packs_flush(SnapWriter *w)
{
	Upload *last = NULL;
	int r = 0;

	pthread_mutex_lock(&w->pack_lock);
	if (w->table.n)
		r = detach_locked(w, &last);
	pthread_mutex_unlock(&w->pack_lock);
	if (last)
		r = upload_begin(w, w->coder, last);
	packs_wait(w);
	pthread_mutex_lock(&w->lock);
	r = w->error ? w->error : r;
	pthread_mutex_unlock(&w->lock);
	return r;
}
