/* snapshot/fetcher.c - see fetcher.h. The source is "ID KEY PLACE", KEY "-" for none.
 *
 * A session is a snapshot that was opened. The one in hand is replaced when a fetch names another source (a newer snapshot was taken); who is in the middle of a fetch ends it
 * with the old one. A session that could not be opened is given up, so that the next fetch tries again. */
#include "snapshot/fetcher.h"
#include "snapshot/hold.h"

#include <pthread.h>
#include <stdio.h>

#define RENEW_NS UINT64_C(43200000000000) /* half a day: how often the hold is looked at while files are fetched */
#define CHECK_NS 600000000000 /* how long it is believed that a snapshot is held */

typedef struct Session {
	char *source;
	unsigned users; /* Fetcher.lock; the fetcher itself is one */
	pthread_mutex_t lock; /* while it is opened */
	ObjectStore *objects;
	SnapStore *store;
	SnapReader *reader; /* is opened once, and then used without the lock */
	uint64_t renewed; /* when that was last tried; 0: never */
	uint64_t checked; /* when it was last known to be held (bv_now_coarse_ns); 0: never */
} Session;

typedef struct Fetcher {
	SnapKeyring keys;
	char *hold; /* or NULL */
	pthread_mutex_t lock;
	Session *now; /* or NULL */
	char *remark; /* what the next fetch that succeeds is to say, or NULL */
} Fetcher;

char *snap_fetcher_source(const char *place, const SnapKey *key, const SnapId *id)
{
	char hex[65], name[2 * KEY_ID_SIZE + 1] = "-";

	id_hex(id, hex);
	if (key)
		snap_key_name(snap_key_id(key), name);
	return bv_asprintf("%s %s %s", hex, name, place);
}

int snap_fetcher_parse(const char *source, SnapId *id, char key[2 * KEY_ID_SIZE + 1], const char **place)
{
	const char *space = strchr(source, ' ');
	size_t n = space ? strcspn(space + 1, " ") : 0;

	if (!n || id_parse(source, (size_t)(space - source), id) < 0)
		return -EBADMSG;
	bool named = n == 2 * KEY_ID_SIZE && !memchr(space + 1, '/', n), plain = n == 1 && space[1] == '-';
	snprintf(key, 2 * KEY_ID_SIZE + 1, "%.*s", named ? (int)n : 0, space + 1);
	*place = named || plain ? space + 1 + n + 1 : space + 1; /* the first ones named no key */
	return 0;
}

/* ---- sessions ---- */

static void session_free(Session *s)
{
	snap_reader_close(s->reader);
	snap_store_close(s->store);
	object_close(s->objects);
	pthread_mutex_destroy(&s->lock);
	free(s->source);
	free(s);
}

static void session_put(Fetcher *f, Session *s)
{
	pthread_mutex_lock(&f->lock);
	bool last = --s->users == 0;
	pthread_mutex_unlock(&f->lock);
	if (last)
		session_free(s);
}

static Session *session_new(const char *source)
{
	Session *s = calloc(1, sizeof *s);

	if (!s || !(s->source = strdup(source))) {
		free(s);
		return NULL;
	}
	s->users = 1;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

/* With a use for the caller. */
static Session *session_of(Fetcher *f, const char *source)
{
	Session *old = NULL, *s;

	pthread_mutex_lock(&f->lock);
	if (!f->now || strcmp(f->now->source, source) != 0) {
		old = f->now;
		f->now = session_new(source);
	}
	s = f->now;
	if (s)
		s->users++;
	pthread_mutex_unlock(&f->lock);
	if (old)
		session_put(f, old);
	return s;
}

/* The next fetch opens a new one. */
static void session_give_up(Fetcher *f, Session *s)
{
	pthread_mutex_lock(&f->lock);
	bool ours = f->now == s;
	if (ours)
		f->now = NULL;
	pthread_mutex_unlock(&f->lock);
	if (ours)
		session_put(f, s);
}

static int get_key(const Fetcher *f, const char *place, const SnapKey **out, char **err)
{
	return f->keys.get ? f->keys.get(f->keys.ctx, place, out, err) : bv_fail(err, -ENOKEY, "it is encrypted, and could not be asked for its key when this run of the sandbox began");
}

/* Nobody notices otherwise that the hold has ended, before a file is gone. */
static void remark_unheld(Fetcher *f, const char *place, const char *why)
{
	char *text = bv_asprintf("%s does not keep the snapshot any more that files of this sandbox are fetched from: %s. What is not opened before that is lost here: "
				 "`bvisor snapshot` of this sandbox, now, keeps all of it, and can be restored", place, why ? why : strerror(ESTALE));

	pthread_mutex_lock(&f->lock);
	free(f->remark);
	f->remark = text;
	pthread_mutex_unlock(&f->lock);
}

static char *take_remark(Fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	char *text = TAKE_PTR(f->remark);
	pthread_mutex_unlock(&f->lock);
	return text;
}

static int renew_locked(Fetcher *f, Session *s, const SnapId *id, const char *place)
{
	CLEAN_FREE char *why = NULL;
	int r = snap_hold_renew(s->store, f->hold, id, &why);

	if (r == 0)
		s->checked = bv_now_coarse_ns();
	if (r == -ESTALE)
		remark_unheld(f, place, why);
	s->renewed = bv_now_coarse_ns() | 1;
	return r;
}

static int open_locked(Fetcher *f, Session *s, const SnapId *id, const char *key_name, const char *place, char **err)
{
	const SnapKey *key = NULL;
	int r = s->objects ? 0 : object_open(place, false, &s->objects, err);

	if (r == 0 && !s->store && *key_name)
		r = get_key(f, place, &key, err);
	if (r == 0 && !s->store)
		r = snap_store_open(s->objects, key, &s->store, err);
	if (r == 0 && !s->reader)
		r = snap_reader_open(s->store, id, &s->reader, err);
	if (r == 0 && f->hold && (!s->renewed || bv_now_coarse_ns() - s->renewed > RENEW_NS))
		IGNORE_RESULT(renew_locked(f, s, id, place));
	return r;
}

static int fetch_from(Fetcher *f, Session *s, const void *ref, size_t len, int fd, const char **place, char **err)
{
	char key[2 * KEY_ID_SIZE + 1];
	SnapId id;
	int r = snap_fetcher_parse(s->source, &id, key, place);

	if (r < 0)
		return bv_fail(err, r, "the blob store does not say where its files are: \"%s\"", s->source);
	pthread_mutex_lock(&s->lock);
	r = open_locked(f, s, &id, key, *place, err);
	pthread_mutex_unlock(&s->lock);
	if (r < 0) {
		session_give_up(f, s);
		return r;
	}
	return snap_reader_fetch_fd(s->reader, ref, len, fd, err);
}

static int fetch(void *ctx, const char *source, const void *ref, size_t len, int fd, char **err)
{
	Fetcher *f = ctx;
	Session *s = session_of(f, source);
	CLEAN_FREE char *why = NULL;
	const char *place = "its store";
	int r = s ? fetch_from(f, s, ref, len, fd, &place, &why) : -ENOMEM;

	if (r < 0)
		bv_fail(err, r, "a file of the sandbox could not be fetched from %s: %s", place, why ? why : strerror(-r));
	else
		*err = take_remark(f);
	if (s)
		session_put(f, s);
	return r == 0 || r == -ENOSPC || r == -EDQUOT || r == -ENOMEM ? r : -EIO;
}

/* Where nothing can be written it is enough that the snapshot is there now. */
static int check_locked(const Fetcher *f, Session *s, const SnapId *id)
{
	SnapInfo info = {0};

	if (s->checked && bv_now_coarse_ns() - s->checked < CHECK_NS)
		return 0;
	int r = f->hold ? snap_hold_renew(s->store, f->hold, id, NULL) : -EACCES;
	if (r < 0 && (r = snap_info_load(s->store, id, &info, NULL)) == 0)
		snap_info_release(&info);
	if (r == 0)
		s->checked = bv_now_coarse_ns();
	return r;
}

static int check(void *ctx, const char *source)
{
	Fetcher *f = ctx;
	Session *s = session_of(f, source);
	char key[2 * KEY_ID_SIZE + 1];
	const char *place;
	SnapId id;

	if (!s)
		return -ENOMEM;
	int r = snap_fetcher_parse(source, &id, key, &place);
	pthread_mutex_lock(&s->lock);
	if (r == 0)
		r = open_locked(f, s, &id, key, place, NULL);
	if (r == 0)
		r = check_locked(f, s, &id);
	pthread_mutex_unlock(&s->lock);
	if (r < 0)
		session_give_up(f, s);
	session_put(f, s);
	return r;
}

static void release(void *ctx)
{
	Fetcher *f = ctx;

	if (f->now)
		session_free(f->now);
	if (f->keys.release)
		f->keys.release(f->keys.ctx);
	free(f->hold);
	free(f->remark);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int snap_fetcher_attach(BlobStore *blobs, SnapKeyring keys, const char *hold, char **err)
{
	Fetcher *f = calloc(1, sizeof *f);

	if (!f || (hold && !(f->hold = strdup(hold)))) {
		free(f);
		if (keys.release)
			keys.release(keys.ctx);
		return bv_fail(err, -ENOMEM, "out of memory");
	}
	f->keys = keys;
	pthread_mutex_init(&f->lock, NULL);
	blob_set_fetch(blobs, fetch, check, f, release);
	return 0;
}
