/* snapshot/ref.c - names of snapshots: the logs refs/NAME (log.h). A generation is text that says its own name and number, so one in another's place is found out:
 *
 *   bvref 1
 *   name NAME
 *   number N
 *   snapshot HEX
 *   time SECONDS
 *   token HEX        random: a put that was repeated because its answer was lost is told from another writer's
 *   sum HEX          SHA-256 of the lines above
 */
#include "snapshot/condemned.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

int snap_ref_valid(const char *name)
{
	size_t len = strspn(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-");

	return len == 0 || len > 128 || name[len] || name[0] == '.' ? -EINVAL : 0;
}

static int check_name(const char *name, char **err)
{
	return snap_ref_valid(name) < 0 ? bv_fail(err, -EINVAL, "\"%s\" cannot be the name of a snapshot: 1 to 128 letters, digits, '.', '_', '-'", name) : 0;
}

static void prefix_of(const char *name, ObjectName out)
{
	snprintf(out, OBJECT_NAME_MAX + 1, "refs/%s", name);
}

static int encode(Coder *coder, const SnapRef *ref, const char token[33], char text[512])
{
	char hex[65];
	SnapId sum;

	id_hex(&ref->id, hex);
	int len = snprintf(text, 512, "bvref 1\nname %s\nnumber %" PRIu64 "\nsnapshot %s\ntime %" PRId64 "\ntoken %s\n", ref->name,
			   ref->number, hex, ref->seconds, token);
	int r = coder_hash(coder, text, (size_t)len, &sum);
	if (r < 0)
		return r;
	id_hex(&sum, hex);
	return len + snprintf(text + len, 512 - (size_t)len, "sum %s\n", hex);
}

/* Decoding is encoding again what was read, and comparing. */
static int decode(Coder *coder, const char *name, uint64_t number, const uint8_t *body, size_t n, SnapRef *out, char **err)
{
	SnapRef ref = {0};
	char have[512], again[512], hex[65], token[33];
	unsigned version = 0;

	if (n < sizeof have) {
		memcpy(have, body, n);
		have[n] = 0;
		int got = sscanf(have, "bvref %u\nname %128[0-9A-Za-z._-]\nnumber %" SCNu64 "\nsnapshot %64[0-9a-f]\ntime %" SCNd64 "\ntoken %32[0-9a-f]\n", &version, ref.name,
				 &ref.number, hex, &ref.seconds, token);
		if (version > 1)
			return bv_fail(err, -EPROTO, "refs/%s/%016" PRIx64 " was written by a newer bvisor: use that one to read it", name, number);
		if (got == 6 && strcmp(ref.name, name) == 0 && ref.number == number && id_parse(hex, strlen(hex), &ref.id) == 0 &&
		    encode(coder, &ref, token, again) == (int)n && memcmp(again, have, n) == 0) {
			*out = ref;
			return 0;
		}
	}
	return bv_fail(err, -EBADMSG, "refs/%s/%016" PRIx64 " is damaged: its checksum is wrong", name, number);
}

int snap_ref_read(SnapStore *s, const char *name, uint64_t number, SnapRef *out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	ObjectName prefix, object;
	Coder *coder;
	size_t n;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	prefix_of(name, prefix);
	if (number) {
		log_name(prefix, number, object);
		r = kept_get(s, object, 0, 0, &body, &n, NULL, err);
	} else {
		r = log_newest(s, prefix, false, &number, &body, &n, err);
		if (r == 0 && number == 0)
			r = bv_fail(err, -ENOENT, "there is no snapshot named \"%s\"", name);
	}
	if (r < 0)
		return r;
	r = coder_new(s->key, &coder);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	r = decode(coder, name, number, body, n, out, err);
	coder_free(coder);
	return r;
}

/* The snapshot is there and nobody is about to remove it. */
static int check_target(SnapStore *s, Coder *coder, const SnapId *id, char **err)
{
	Condemned condemned = {0};
	ObjectName name;
	uint64_t size;

	snapshot_name(id, name);
	int r = condemned_load(s, coder, &condemned, err);
	if (r == 0 && condemned_has(&condemned, 's', id))
		r = bv_fail(err, -ESTALE, "%s had no name any more and will be removed: it cannot get one again", name);
	condemned_release(&condemned);
	return r < 0 ? r : kept_head(s, name, &size, err);
}

/* Once; *newest becomes the newest generation that is there. */
static int try_append(SnapStore *s, Coder *coder, const char *prefix, uint64_t expected, SnapRef *ref, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	char text[512], token[33];
	uint64_t newest;
	size_t n;
	int r = log_newest(s, prefix, false, &newest, &body, &n, err);

	if (r < 0)
		return r;
	if (expected != UINT64_MAX && newest > expected)
		return bv_fail(err, -EEXIST, "\"%s\" was changed meanwhile: its generation is now %" PRIu64 ", not %" PRIu64, ref->name, newest, expected);
	ref->number = newest + 1;
	r = log_token(token);
	int len = r < 0 ? r : encode(coder, ref, token, text);
	if (len < 0)
		return bv_fail(err, len, "not enough memory");
	return log_append(s, prefix, ref->number, text, (size_t)len, err);
}

int ref_append(SnapStore *s, const char *name, uint64_t expected, const SnapId *id, SnapRef *out, char **err)
{
	SnapRef ref = {.id = *id, .seconds = (int64_t)time(NULL)};
	ObjectName prefix;
	Coder *coder;
	char *why = NULL;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	snprintf(ref.name, sizeof ref.name, "%s", name);
	prefix_of(name, prefix);
	r = coder_new(s->key, &coder);
	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	for (int i = 0;; i++) {
		r = try_append(s, coder, prefix, expected, &ref, &why);
		if (r != -EEXIST || expected != UINT64_MAX || i == 100)
			break; /* else somebody was faster, and the caller does not mind */
	}
	coder_free(coder);
	if (r == 0 && out)
		*out = ref;
	return err_settle(err, &why, r);
}

int snap_ref_append(SnapStore *s, const char *name, uint64_t expected, const SnapId *id, SnapRef *out, char **err)
{
	Coder *coder;
	int r = coder_new(s->key, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	r = check_name(name, err);
	if (r == 0)
		r = check_target(s, coder, id, err);
	coder_free(coder);
	return r < 0 ? r : ref_append(s, name, expected, id, out, err);
}

typedef struct Listing {
	SnapStore *s;
	SnapRef *all;
	size_t n, room;
} Listing;

static int note_ref(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Listing *l = ctx;
	SnapRef ref = {0};
	const char *slash = strrchr(name, '/');

	(void)size;
	(void)age;
	if (strncmp(name, "refs/", 5) != 0 || slash < name + 5 || (size_t)(slash - name - 5) >= sizeof ref.name || log_number(name, &ref.number) < 0)
		return 0;
	memcpy(ref.name, name + 5, (size_t)(slash - name - 5));
	if (!BV_GROW(l->all, l->n, l->room))
		return -ENOMEM;
	l->all[l->n++] = ref;
	return 0;
}

int snap_ref_list(SnapStore *s, const char *name, int (*visit)(void *ctx, const SnapRef *ref), void *ctx, char **err)
{
	Listing l = {.s = s};
	ObjectName prefix;
	int r = *name ? check_name(name, err) : 0;

	if (r < 0)
		return r;
	snprintf(prefix, sizeof prefix, *name ? "refs/%s/" : "refs/", name);
	r = kept_list(s, prefix, note_ref, &l, err);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		SnapRef ref = l.all[i];
		char *why = NULL;
		r = snap_ref_read(s, ref.name, ref.number, &ref, &why);
		if (r == -ENOENT) /* removed meanwhile */
			r = 0;
		else if (r == 0 || r == -EBADMSG)
			r = visit(ctx, &ref);
		else
			bv_fail(err, r, "%s", why ? why : ref.name);
		free(why);
	}
	free(l.all);
	return r;
}

typedef struct Numbers {
	uint64_t *all;
	size_t n;
} Numbers;

static int note_number(void *ctx, const char *name, uint64_t size, int64_t age)
{
	Numbers *numbers = ctx;
	uint64_t number, *more;

	(void)size;
	(void)age;
	if (log_number(name, &number) < 0)
		return 0;
	more = realloc(numbers->all, (numbers->n + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	numbers->all = more;
	numbers->all[numbers->n++] = number;
	return 0;
}

static int delete_one(SnapStore *s, const char *prefix, uint64_t number, char **err)
{
	ObjectName name;

	log_name(prefix, number, name);
	return kept_delete(s, name, err);
}

int snap_ref_delete(SnapStore *s, const char *name, uint64_t number, char **err)
{
	Numbers numbers = {0};
	ObjectName prefix, with_slash;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	prefix_of(name, prefix);
	snprintf(with_slash, sizeof with_slash, "refs/%s/", name);
	r = kept_list(s, with_slash, note_number, &numbers, err); /* in rising order */
	if (r == 0 && numbers.n == 0)
		r = bv_fail(err, -ENOENT, "there is no snapshot named \"%s\"", name);
	if (r == 0 && number && numbers.n > 1 && number == numbers.all[numbers.n - 1])
		r = bv_fail(err, -EBUSY, "generation %" PRIu64 " is what \"%s\" means now: remove the others first, or the whole name", number, name);
	if (r == 0 && number)
		log_hint(s, prefix, numbers.all[numbers.n - 1]); /* an old hint may lead to what is removed */
	for (size_t i = 0; r == 0 && i < numbers.n; i++)
		if (number == 0 || number == numbers.all[i])
			r = delete_one(s, prefix, numbers.all[i], err);
	if (r == 0 && (number == 0 || numbers.n == 1)) {
		snprintf(with_slash, sizeof with_slash, "refs/%s/hint", name);
		r = kept_delete(s, with_slash, err);
	}
	free(numbers.all);
	return r;
}
