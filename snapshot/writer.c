/* snapshot/writer.c - taking a snapshot, as its caller sees it. Threads, locks and invariants: writer.h. */
#include "snapshot/writer.h"

#include <time.h>

int writer_fail(SnapWriter *w, int error, char *message)
{
	pthread_mutex_lock(&w->lock);
	if (w->error == 0) {
		w->error = error;
		w->message = message ? message : bv_asprintf("the snapshot could not be taken: %s", strerror(-error));
		w->failed = true;
	} else {
		free(message);
	}
	pthread_cond_broadcast(&w->room);
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
	return error;
}

/* Everything in memory; nothing is sent. */
static int init(SnapWriter *w, SnapStore *s, const SnapWriterConfig *config)
{
	w->store = s;
	w->config = *config;
	w->files_end = &w->files;
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->ids_lock, NULL);
	pthread_mutex_init(&w->pack_lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->room, NULL);
	pthread_cond_init(&w->done, NULL);
	w->checked = boot_seconds();
	w->session_put = w->checked;
	int r = coder_new(s->key, &w->coder);
	if (r == 0)
		r = index_init(&w->known);
	return r < 0 ? r : index_init(&w->mine);
}

static int emit_piece(void *ctx, const void *piece, size_t len, SnapId *id)
{
	SnapWriter *w = ctx;
	int r = coder_id(w->coder, piece, len, id);

	if (r == 0)
		r = chunk_claim(w, id);
	if (r <= 0)
		return r;
	uint8_t *copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, piece, len);
	CLEAN_BYTES Bytes out = {0};
	return chunk_store(w, w->coder, &out, id, CHUNK_PIECE, copy, len);
}

int snap_writer_begin(SnapStore *s, const SnapWriterConfig *config, SnapWriter **out, char **err)
{
	SnapWriter *w = calloc(1, sizeof *w);

	if (!w)
		return bv_fail(err, -ENOMEM, "not enough memory");
	int r = init(w, s, config);
	if (r < 0)
		bv_fail(err, r, "not enough memory");
	w->tree.emit = emit_piece;
	w->tree.ctx = w;
	if (r == 0)
		r = condemned_load(s, w->coder, &w->condemned, err);
	if (r == 0 && config->parent)
		r = snap_info_load(s, config->parent, &w->parent, err);
	if (r == 0)
		r = parents_load(w, err);
	if (r == 0) {
		r = workers_start(w);
		if (r < 0)
			bv_fail(err, r, "cannot start threads: %s", strerror(-r));
	}
	if (r < 0) {
		snap_writer_free(w);
		return r;
	}
	*out = w;
	return 0;
}

/* Takes the file over. */
static int enqueue(SnapWriter *w, WorkFile *file, uint64_t *number)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->failed && w->n_files >= FILES_MAX)
		pthread_cond_wait(&w->room, &w->lock);
	if (w->error)
		r = w->error;
	if (r == 0 && !BV_GROW(w->contents, w->n_contents, w->room_contents))
		r = -ENOMEM;
	if (r == 0) {
		w->contents[w->n_contents] = (ContentRef){0};
		file->number = *number = w->n_contents++;
		*w->files_end = file;
		w->files_end = &file->next;
		w->n_files++;
		pthread_cond_signal(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	if (r < 0) {
		if (file->fd >= 0)
			close(file->fd);
		free(file->data);
		free(file);
	}
	return r;
}

int snap_writer_add_fd(SnapWriter *w, int fd, uint64_t *number)
{
	WorkFile *file = malloc(sizeof *file);

	if (!file) {
		close(fd);
		return writer_fail(w, -ENOMEM, NULL);
	}
	*file = (WorkFile){.fd = fd};
	return enqueue(w, file, number);
}

int snap_writer_add(SnapWriter *w, const SnapSource *source, uint64_t key, uint64_t *number)
{
	WorkFile *file = malloc(sizeof *file);

	if (!file)
		return writer_fail(w, -ENOMEM, NULL);
	*file = (WorkFile){.fd = -1, .source = source, .key = key};
	return enqueue(w, file, number);
}

int snap_writer_add_bytes(SnapWriter *w, const void *data, size_t len, uint64_t *number)
{
	WorkFile *file = malloc(sizeof *file);
	uint8_t *copy = malloc(len + 1);

	if (!file || !copy) {
		free(file);
		free(copy);
		return writer_fail(w, -ENOMEM, NULL);
	}
	if (len)
		memcpy(copy, data, len);
	*file = (WorkFile){.fd = -1, .data = copy, .len = len};
	return enqueue(w, file, number);
}

int snap_writer_keep(SnapWriter *w, const void *ref, size_t len)
{
	const uint8_t *at = ref;
	int r = 1;

	for (unsigned depth = 0; r == 1; depth++) {
		Content c;
		int bad = depth < CONTENT_DEPTH ? content_decode(at, len, &c) : -EBADMSG;
		if (bad)
			return bad;
		pthread_mutex_lock(&w->ids_lock);
		for (size_t i = 0; r == 1 && i < c.n_chunks; i++)
			r = chunk_share_locked(w, &c.chunks[i].id);
		pthread_mutex_unlock(&w->ids_lock);
		unsigned kind = c.kind;
		at = c.inner;
		len = c.n_inner;
		content_release(&c);
		if (kind != CONTENT_IS_LIST)
			break;
		if (w->condemned.n) /* what the list names may be condemned: it would have to be fetched to tell */
			r = 0;
	}
	return r;
}

int snap_writer_same(SnapWriter *w)
{
	if (!w->config.parent || w->condemned.n || w->records || w->n_contents)
		return 0;
	w->same = true;
	pthread_mutex_lock(&w->ids_lock);
	for (size_t i = 0; i < w->known.n_packs; i++)
		w->shared[i] = true;
	pthread_mutex_unlock(&w->ids_lock);
	pthread_mutex_lock(&w->lock);
	w->records = w->parent.totals.records;
	w->totals.contents = w->parent.totals.contents;
	w->totals.content_bytes = w->parent.totals.content_bytes;
	pthread_mutex_unlock(&w->lock);
	return 1;
}

int snap_writer_content(SnapWriter *w, uint64_t number, const uint8_t **ref, size_t *len)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (number >= w->n_contents)
		r = -EINVAL;
	while (r == 0 && !w->contents[number].data) {
		if (w->error)
			r = w->error;
		else
			pthread_cond_wait(&w->done, &w->lock);
	}
	if (r == 0) {
		*ref = w->contents[number].data;
		*len = w->contents[number].len;
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

int snap_writer_record(SnapWriter *w, const Record *record)
{
	uint64_t size = 0;

	if (w->failed)
		return w->error;
	if (record->content_len && snap_content_size(record->content, record->content_len, &size) < 0)
		return -EINVAL;
	int r = tree_add(&w->tree, record);
	if (r == -EINVAL || r == -EFBIG)
		return r;
	if (r < 0)
		return writer_fail(w, r, NULL);
	w->records++;
	if (record->content_len) {
		pthread_mutex_lock(&w->lock);
		w->totals.contents++;
		w->totals.content_bytes += size;
		pthread_mutex_unlock(&w->lock);
	}
	return 0;
}

int snap_writer_field(SnapWriter *w, const char *name, const void *value, size_t len)
{
	return header_set(&w->fields, name, value, len);
}

/* The root of the manifest, which nothing is added to any more. */
static int end_tree(SnapWriter *w)
{
	int r = w->failed ? w->error : w->tree_ended || w->same ? 0 : tree_finish(&w->tree, &w->root);

	if (w->same)
		w->root = w->parent.root;

	w->tree_ended = r == 0;
	if (r < 0)
		writer_fail(w, r, NULL);
	return r;
}

int snap_writer_unchanged(SnapWriter *w, char **err)
{
	int r = end_tree(w);

	if (r < 0)
		return bv_fail(err, w->error, "%s", w->message ? w->message : "not enough memory");
	return w->config.parent && w->root.plain == w->parent.root.plain && memcmp(&w->root.id, &w->parent.root.id, sizeof w->root.id) == 0;
}

/* Everything but the snapshot object is in the store when this returns. */
static int send_rest(SnapWriter *w, SnapInfo *info, char **err)
{
	int r = end_tree(w);

	info->root = w->root;
	if (r == 0)
		r = workers_drain(w);
	if (r == 0)
		r = packs_flush(w);
	if (r < 0) {
		writer_fail(w, r, NULL);
		return bv_fail(err, w->error, "%s", w->message ? w->message : "not enough memory");
	}
	info->totals = w->totals;
	info->totals.records = w->records;
	info->totals.plain = w->progress.new_plain;
	info->totals.stored = w->progress.new_stored;
	return index_publish(w, info, err);
}

static int put_snapshot(SnapWriter *w, SnapInfo *info, char **err)
{
	CLEAN_BYTES Bytes plain = {0};
	struct timespec now;
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	if (w->config.taken.tv_sec)
		now = w->config.taken;
	info->seconds = now.tv_sec;
	info->nanoseconds = (uint32_t)now.tv_nsec;
	if (w->config.parent) {
		info->has_parent = true;
		info->parent = *w->config.parent;
	}
	r = header_encode(info, &w->fields, &plain);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	return kept_save(w->store, w->coder, MAGIC_SNAPSHOT, snapshot_name, &plain, &info->id, err);
}

int snap_writer_finish(SnapWriter *w, const char *ref, uint64_t expected, SnapId *id, SnapRef *out, char **err)
{
	SnapInfo info = {0};
	int r = ref && snap_ref_valid(ref) < 0 ? bv_fail(err, -EINVAL, "\"%s\" cannot be the name of a snapshot", ref) : 0;

	if (r == 0 && w->finished)
		r = bv_fail(err, -EINVAL, "the snapshot is finished already");
	if (r < 0)
		return r;
	w->finished = true;
	r = send_rest(w, &info, err);
	if (r == 0 && w->failed) /* cancelled */
		r = bv_fail(err, w->error, "%s", w->message ? w->message : "cancelled");
	if (r == 0)
		r = recheck_condemned(w, err);
	if (r == 0)
		r = put_snapshot(w, &info, err);
	if (r == 0) {
		*id = info.id;
		if (ref)
			r = ref_append(w->store, ref, expected, id, out, err);
		session_end(w);
	}
	snap_info_release(&info);
	return r;
}

void snap_writer_cancel(SnapWriter *w)
{
	writer_fail(w, -ECANCELED, bv_asprintf("the snapshot was cancelled"));
}

SnapProgress snap_writer_progress(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	SnapProgress progress = w->progress;
	progress.held = w->totals.contents;
	progress.held_bytes = w->totals.content_bytes;
	pthread_mutex_unlock(&w->lock);
	return progress;
}

const char *snap_writer_error(SnapWriter *w)
{
	pthread_mutex_lock(&w->lock);
	const char *message = w->message;
	pthread_mutex_unlock(&w->lock);
	return message;
}

void snap_writer_free(SnapWriter *w)
{
	if (!w)
		return;
	if (!w->finished)
		snap_writer_cancel(w);
	workers_stop(w);
	packs_wait(w);
	session_end(w);
	for (uint64_t i = 0; i < w->n_contents; i++)
		free(w->contents[i].data);
	free(w->contents);
	free(w->shared);
	free(w->parents);
	free(w->message);
	index_list_release(&w->packs);
	index_release(&w->known);
	index_release(&w->mine);
	bytes_release(&w->pack);
	table_release(&w->table);
	tree_release(&w->tree);
	header_fields_release(&w->fields);
	condemned_release(&w->condemned);
	snap_info_release(&w->parent);
	coder_free(w->coder);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->ids_lock);
	pthread_mutex_destroy(&w->pack_lock);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->done);
	free(w);
}
