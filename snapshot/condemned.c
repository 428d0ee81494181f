#include "snapshot/condemned.h"

static int compare(const void *a, const void *b)
{
	const CondemnedName *x = a, *y = b;

	return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : id_compare(&x->id, &y->id);
}

void condemned_release(Condemned *c)
{
	free(c->names);
	free(c->moved);
	*c = (Condemned){0};
}

bool condemned_has(const Condemned *c, uint8_t kind, const SnapId *id)
{
	CondemnedName key = {.kind = kind, .id = *id};

	return c->n && bsearch(&key, c->names, c->n, sizeof key, compare);
}

int condemned_decode(const void *plain, size_t n, Condemned *out)
{
	Cursor in = cursor_of(plain, n);
	uint64_t count = cursor_varint(&in);
	Condemned c = {0};

	if (in.bad || count > n / 35)
		return -EBADMSG;
	c.names = malloc((size_t)count * sizeof *c.names + 1);
	c.moved = malloc(n + 1);
	if (!c.names || !c.moved) {
		condemned_release(&c);
		return -ENOMEM;
	}
	for (; c.n < count; c.n++) {
		c.names[c.n].kind = (uint8_t)cursor_u8(&in);
		cursor_id(&in, &c.names[c.n].id);
		c.names[c.n].since = cursor_varint(&in);
		unsigned spared = cursor_u8(&in);
		c.names[c.n].spared = spared;
		if (in.bad || spared > 1 || (c.n && compare(&c.names[c.n - 1], &c.names[c.n]) >= 0))
			break;
	}
	uint64_t moved = cursor_varint(&in);
	while (c.n == count && !in.bad && c.n_moved < moved && cursor_id(&in, &c.moved[c.n_moved]))
		c.n_moved++;
	if (c.n != count || c.n_moved != moved || !cursor_done(&in)) {
		condemned_release(&c);
		return -EBADMSG;
	}
	*out = c;
	return 0;
}

static int decode_generation(Coder *coder, uint64_t number, const uint8_t *body, size_t n, Condemned *out, char **err)
{
	CLEAN_FREE uint8_t *plain = NULL;
	ObjectName name;
	size_t len;
	SnapId sum;

	log_name(COLLECT_LOG, number, name);
	if (n < sizeof sum || coder_hash(coder, body, n - sizeof sum, &sum) < 0 || memcmp(&sum, body + n - sizeof sum, sizeof sum) != 0)
		return bv_fail(err, -EBADMSG, "%s is damaged: its checksum is wrong", name);
	int r = envelope_decode(coder, MAGIC_COLLECT, name, body, n - sizeof sum, &plain, &len, err);
	if (r < 0)
		return r;
	r = condemned_decode(plain, len, out);
	if (r < 0)
		return bv_fail(err, r, "%s is damaged: it is no list of condemned objects", name);
	out->number = number;
	return 0;
}

int condemned_load(SnapStore *s, Coder *coder, Condemned *out, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	uint64_t number;
	size_t n;
	int r = log_newest(s, COLLECT_LOG, true, &number, &body, &n, err);

	if (r < 0)
		return r;
	if (number == 0) {
		*out = (Condemned){0};
		return 0;
	}
	return decode_generation(coder, number, body, n, out, err);
}

static int add_names(Condemned *to, const Condemned *from)
{
	CondemnedName *more = realloc(to->names, (to->n + from->n + 1) * sizeof *more);
	size_t n = 0;

	if (!more)
		return -ENOMEM;
	to->names = more;
	memcpy(more + to->n, from->names, from->n * sizeof *more);
	qsort(more, to->n + from->n, sizeof *more, compare);
	for (size_t i = 0; i < to->n + from->n; i++)
		if (n == 0 || compare(&more[n - 1], &more[i]) != 0)
			more[n++] = more[i];
	to->n = n;
	return 0;
}

int condemned_since(SnapStore *s, Coder *coder, uint64_t number, Condemned *out, char **err)
{
	Condemned all;
	int r = condemned_load(s, coder, &all, err);

	if (r < 0)
		return r;
	for (uint64_t at = number + 1; r == 0 && at < all.number; at++) {
		CLEAN_FREE uint8_t *body = NULL;
		Condemned one = {0};
		ObjectName name;
		size_t n;
		log_name(COLLECT_LOG, at, name);
		r = kept_get(s, name, 0, 0, &body, &n, NULL, err);
		if (r == 0)
			r = decode_generation(coder, at, body, n, &one, err);
		if (r == 0 && add_names(&all, &one) < 0)
			r = bv_fail(err, -ENOMEM, "not enough memory");
		condemned_release(&one);
	}
	if (r < 0)
		condemned_release(&all);
	else
		*out = all;
	return r;
}

int condemned_append(SnapStore *s, Coder *coder, Condemned *c, char **err)
{
	CLEAN_BYTES Bytes plain = {0};
	CLEAN_BYTES Bytes body = {0};
	SnapId sum;

	if (c->n)
		qsort(c->names, c->n, sizeof *c->names, compare);
	bytes_varint(&plain, c->n);
	for (size_t i = 0; i < c->n; i++) {
		bytes_u8(&plain, c->names[i].kind);
		bytes_id(&plain, &c->names[i].id);
		bytes_varint(&plain, c->names[i].since);
		bytes_u8(&plain, c->names[i].spared);
	}
	bytes_varint(&plain, c->n_moved);
	for (size_t i = 0; i < c->n_moved; i++)
		bytes_id(&plain, &c->moved[i]);
	int r = plain.failed ? -ENOMEM : envelope_encode(coder, MAGIC_COLLECT, plain.data, plain.len, &body);
	if (r == 0)
		r = coder_hash(coder, body.data, body.len, &sum);
	if (r == 0)
		bytes_id(&body, &sum);
	if (r < 0 || body.failed)
		return bv_fail(err, -ENOMEM, "not enough memory");
	r = log_append(s, COLLECT_LOG, c->number + 1, body.data, body.len, err);
	if (r == 0)
		c->number++;
	return r;
}
