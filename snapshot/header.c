#include "snapshot/header.h"

/* Fields of the writer, with their encodings. */
static const char *const own_fields[] = {"!root", "!index", "parent", "time", "totals"};

void header_fields_release(HeaderFields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		bytes_release(&f->all[i].name);
		bytes_release(&f->all[i].value);
	}
	free(f->all);
	*f = (HeaderFields){0};
}

static int set(HeaderFields *f, const char *name, const void *value, size_t len)
{
	size_t name_len = strlen(name), i = 0;

	while (i < f->n && key_compare(f->all[i].name.data, f->all[i].name.len, name, name_len) != 0)
		i++;
	if (i == f->n) {
		HeaderField *more = realloc(f->all, (f->n + 1) * sizeof *more);
		if (!more)
			return -ENOMEM;
		f->all = more;
		f->all[f->n++] = (HeaderField){0};
		bytes_put(&f->all[i].name, name, name_len);
	}
	f->all[i].value.len = 0;
	bytes_put(&f->all[i].value, value, len);
	return f->all[i].name.failed || f->all[i].value.failed ? -ENOMEM : 0;
}

int header_set(HeaderFields *f, const char *name, const void *value, size_t len)
{
	if (!*name || (*name == '!' && strcmp(name, SNAP_FIELD_BASE) != 0) || strlen(name) > KEY_MAX || len > VALUE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(own_fields); i++)
		if (strcmp(name, own_fields[i]) == 0)
			return -EINVAL;
	return set(f, name, value, len);
}

static int by_name(const void *a, const void *b)
{
	const HeaderField *x = a, *y = b;

	return key_compare(x->name.data, x->name.len, y->name.data, y->name.len);
}

static int set_own(const SnapInfo *info, HeaderFields *f)
{
	CLEAN_BYTES Bytes root = {0};
	CLEAN_BYTES Bytes index = {0};
	CLEAN_BYTES Bytes when = {0};
	CLEAN_BYTES Bytes totals = {0};
	const SnapTotals *t = &info->totals;
	const uint64_t counts[] = {t->records, t->contents, t->content_bytes, t->chunks, t->plain, t->stored, t->packs};
	int r = 0;

	bytes_id(&root, &info->root.id);
	bytes_varint(&root, info->root.plain);
	for (size_t i = 0; i < info->n_index; i++)
		bytes_id(&index, &info->index[i]);
	bytes_signed(&when, info->seconds);
	bytes_varint(&when, info->nanoseconds);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		bytes_varint(&totals, counts[i]);
	if (root.failed || index.failed || when.failed || totals.failed)
		return -ENOMEM;
	if (info->has_parent)
		r = set(f, "parent", info->parent.b, sizeof info->parent.b);
	if (r == 0)
		r = set(f, "!root", root.data, root.len);
	if (r == 0)
		r = set(f, "!index", index.data, index.len);
	if (r == 0)
		r = set(f, "time", when.data, when.len);
	return r < 0 ? r : set(f, "totals", totals.data, totals.len);
}

int header_encode(const SnapInfo *info, HeaderFields *f, Bytes *out)
{
	Bytes last = {0};
	int r = set_own(info, f);

	if (r < 0)
		return r;
	qsort(f->all, f->n, sizeof *f->all, by_name);
	bytes_u8(out, 0);
	bytes_varint(out, f->n);
	for (size_t i = 0; i < f->n; i++) {
		const HeaderField *field = &f->all[i];
		record_put(out, &last,
			   &(Record){.key = field->name.data, .key_len = field->name.len, .value = field->value.data, .value_len = field->value.len});
		last = field->name; /* borrowed */
	}
	return out->failed ? -ENOMEM : 0;
}

static int read_index_ids(SnapInfo *info, const uint8_t *value, size_t len)
{
	free(info->index);
	info->index = malloc(len + 1);
	if (!info->index)
		return -ENOMEM;
	info->n_index = len / sizeof(SnapId);
	if (len)
		memcpy(info->index, value, len);
	return len % sizeof(SnapId) ? -EBADMSG : 0;
}

static bool key_is(const PieceReader *p, const char *name)
{
	return key_compare(p->key, p->key_len, name, strlen(name)) == 0;
}

static int read_totals(SnapTotals *t, Cursor *c)
{
	uint64_t *const counts[] = {&t->records, &t->contents, &t->content_bytes, &t->chunks, &t->plain, &t->stored, &t->packs};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		*counts[i] = cursor_varint(c);
	return c->bad ? -EBADMSG : 0; /* newer ones may follow */
}

static int read_field(SnapInfo *info, const PieceReader *p, unsigned *seen)
{
	Cursor c = cursor_of(p->value, p->value_len);

	if (key_is(p, "!root")) {
		*seen |= 1;
		return piece_child(p, &info->root.id, &info->root.plain);
	}
	if (key_is(p, "!index")) {
		*seen |= 2;
		return read_index_ids(info, p->value, p->value_len);
	}
	if (key_is(p, "parent")) {
		info->has_parent = cursor_id(&c, &info->parent);
		return cursor_done(&c) ? 0 : -EBADMSG;
	}
	if (key_is(p, "time")) {
		info->seconds = cursor_signed(&c);
		info->nanoseconds = (uint32_t)cursor_varint(&c);
		return cursor_done(&c) && info->nanoseconds < 1000000000 ? 0 : -EBADMSG;
	}
	if (key_is(p, "totals"))
		return read_totals(&info->totals, &c);
	return p->key[0] == '!' && !key_is(p, SNAP_FIELD_BASE) ? -EPROTO : 0;
}

int header_decode(uint8_t *plain, size_t n, const char *name, SnapInfo *out, char **err)
{
	CLEAN_FREE PieceReader *p = malloc(sizeof *p);
	SnapInfo info = {.fields = plain, .n_fields = n};
	unsigned seen = 0;
	int r = p ? piece_open(p, plain, n) : -ENOMEM;

	while (r >= 0) {
		r = piece_next(p);
		if (r <= 0)
			break;
		r = read_field(&info, p, &seen);
	}
	if (r == 0 && (seen != 3 || p->level != 0))
		r = -EBADMSG;
	if (r < 0) {
		snap_info_release(&info);
		return bv_fail(err, r, r == -EPROTO ? "%s needs a newer bvisor: it says something that must be understood" : "%s is damaged: its fields are none", name);
	}
	*out = info;
	return 0;
}

void snap_info_release(SnapInfo *info)
{
	free(info->index);
	free(info->fields);
	*info = (SnapInfo){0};
}

int snap_info_load(SnapStore *s, const SnapId *id, SnapInfo *out, char **err)
{
	uint8_t *plain;
	ObjectName name;
	Coder *coder;
	size_t n;
	int r = coder_new(s->key, &coder);

	if (r < 0)
		return bv_fail(err, r, "not enough memory");
	snapshot_name(id, name);
	r = kept_load(s, coder, MAGIC_SNAPSHOT, snapshot_name, id, &plain, &n, err);
	coder_free(coder);
	if (r < 0)
		return r;
	r = header_decode(plain, n, name, out, err);
	if (r == 0)
		out->id = *id;
	return r;
}

int snap_info_field(const SnapInfo *info, const char *name, const uint8_t **value, size_t *len)
{
	CLEAN_FREE PieceReader *p = malloc(sizeof *p);
	int r = p ? piece_open(p, info->fields, info->n_fields) : -ENOMEM;

	if (r < 0)
		return r;
	while ((r = piece_next(p)) > 0) {
		if (!key_is(p, name))
			continue;
		*value = p->value;
		*len = p->value_len;
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

int snap_info_each(const SnapInfo *info, int (*visit)(void *ctx, const char *name, const uint8_t *value, size_t len), void *ctx)
{
	CLEAN_FREE PieceReader *p = malloc(sizeof *p);
	int r = p ? piece_open(p, info->fields, info->n_fields) : -ENOMEM;

	while (r >= 0 && (r = piece_next(p)) > 0) {
		bool own = false;
		for (size_t i = 0; i < ARRAY_LEN(own_fields); i++)
			own = own || key_is(p, own_fields[i]);
		CLEAN_FREE char *name = own ? NULL : strndup((const char *)p->key, p->key_len);
		if (!own)
			r = name ? visit(ctx, name, p->value, p->value_len) : -ENOMEM;
		if (r < 0 || (!own && r))
			return r;
	}
	return r;
}
