/* snapshot/writer_work.c - the worker threads. A worker that cuts a large file hands new chunks to the others, and stores them itself when those are behind, so that
 * nobody waits for a queue that he is to empty. Locks: writer.h. */
#include "snapshot/writer.h"

bool chunk_share_locked(SnapWriter *w, const SnapId *id)
{
	const ChunkPlace *place = index_find(&w->known, id);

	if (place)
		w->shared[place->pack] = true;
	return place;
}

int chunk_claim(SnapWriter *w, const SnapId *id)
{
	pthread_mutex_lock(&w->ids_lock);
	int r = chunk_share_locked(w, id) ? 0 : index_claim(&w->mine, id);
	pthread_mutex_unlock(&w->ids_lock);
	return r;
}

int chunk_encode(SnapWriter *w, Coder *coder, Bytes *out, const SnapId *id, uint8_t kind, const uint8_t *data, size_t len)
{
	ChunkRow row = {.id = *id, .kind = kind, .plain = (uint32_t)len};
	unsigned flags;

	out->len = 0;
	int r = coder_encode(coder, data, len, out, &flags);
	if (r < 0)
		return r;
	row.flags = (uint8_t)flags;
	r = pack_append(w, coder, &row, out);
	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	w->totals.chunks++;
	w->progress.new_plain += len;
	w->progress.new_stored += out->len;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

int chunk_store(SnapWriter *w, Coder *coder, Bytes *out, const SnapId *id, uint8_t kind, uint8_t *data, size_t len)
{
	WorkChunk *chunk = NULL;

	pthread_mutex_lock(&w->lock);
	bool room = w->n_chunks < CHUNKS_QUEUED && w->n_workers > 1;
	if (room && (chunk = malloc(sizeof *chunk))) {
		*chunk = (WorkChunk){w->chunks, *id, data, len, kind};
		w->chunks = chunk;
		w->n_chunks++;
		pthread_cond_signal(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	if (chunk)
		return 0;
	int r = chunk_encode(w, coder, out, id, kind, data, len);
	free(data);
	return r;
}

static void file_free(WorkFile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->data);
	free(file);
}

static int run_file(Worker *worker, WorkFile *file)
{
	int r = worker->w->failed ? 0 : file_read(worker, file);

	file_free(file);
	return r;
}

static int run_chunk(Worker *worker, WorkChunk *chunk)
{
	SnapWriter *w = worker->w;
	int r = w->failed ? 0 : chunk_encode(w, worker->coder, &worker->out, &chunk->id, chunk->kind, chunk->data, chunk->len);

	free(chunk->data);
	free(chunk);
	return r;
}

/* w->lock held; released meanwhile. */
static void run_one_locked(Worker *worker)
{
	SnapWriter *w = worker->w;
	WorkChunk *chunk = w->chunks;
	WorkFile *file = chunk ? NULL : w->files;

	if (chunk) {
		w->chunks = chunk->next;
		w->n_chunks--;
	} else {
		w->files = file->next;
		if (!w->files)
			w->files_end = &w->files;
		w->n_files--;
		pthread_cond_signal(&w->room);
	}
	w->busy++;
	pthread_mutex_unlock(&w->lock);
	int r = chunk ? run_chunk(worker, chunk) : run_file(worker, file);
	if (r < 0)
		writer_fail(w, r, NULL);
	pthread_mutex_lock(&w->lock);
	w->busy--;
	pthread_cond_broadcast(&w->done);
}

static void *worker_main(void *arg)
{
	Worker *worker = arg;
	SnapWriter *w = worker->w;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		if (w->chunks || w->files)
			run_one_locked(worker);
		else if (w->stop)
			break;
		else
			pthread_cond_wait(&w->work, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int workers_drain(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->chunks || w->files || w->busy)
		pthread_cond_wait(&w->done, &w->lock);
	int r = w->error;
	pthread_mutex_unlock(&w->lock);
	return r;
}

int workers_start(SnapWriter *w)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = w->config.threads ? w->config.threads : (unsigned)MAX(cpus, 2);

	n = MIN(n, (unsigned)THREADS_MAX);
	for (unsigned i = 0; i < n; i++) {
		Worker *worker = &w->workers[i];
		worker->w = w;
		worker->small = malloc(CHUNK_WHOLE);
		int r = worker->small ? coder_new(w->store->key, &worker->coder) : -ENOMEM;
		if (r == 0)
			r = -pthread_create(&worker->thread, NULL, worker_main, worker);
		if (r < 0) {
			coder_free(worker->coder);
			free(worker->small);
			return r;
		}
		pthread_mutex_lock(&w->lock);
		w->n_workers++;
		pthread_mutex_unlock(&w->lock);
	}
	return 0;
}

void workers_stop(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_workers; i++) {
		pthread_join(w->workers[i].thread, NULL);
		coder_free(w->workers[i].coder);
		free(w->workers[i].small);
		bytes_release(&w->workers[i].out);
	}
	w->n_workers = 0;
}
