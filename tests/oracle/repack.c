/* tests/oracle/repack.c - the view as it is after a snapshot and a restore: its records exported and imported into a new database, with packs where it can have some. */
#include "tests/oracle/oracle.h"

#include "cowfs/records.h"

#include <sys/sendfile.h>

typedef struct Repack {
	CowExport *from;
	CowImport *to;
	char *err;
} Repack;

static int copy_body(Repack *p, BlobId blob, int to)
{
	CLEAN_FD int from = -1;
	bool stays;
	ssize_t n = 1;
	int r = cow_export_blob(p->from, blob, &from, &stays, &p->err);

	while (r == 0 && n > 0)
		n = sendfile(to, from, NULL, 1 << 20);
	return n < 0 ? -errno : r;
}

static int copy_record(void *ctx, const CowRecord *row)
{
	Repack *p = ctx;
	int to = -1, r = cow_import_record(p->to, row, &to, &p->err);

	if (r == 0 && to >= 0)
		r = copy_body(p, row->blob, to);
	if (to >= 0)
		close(to);
	return r;
}

static int copy_all(const World *w, Repack *p, const char *new_db, const char *new_store)
{
	char store[200], db[200];
	CowfsConfig from = {.db_path = db, .flags = COWFS_READONLY}, to = {.db_path = new_db, .flags = COWFS_CREATE};
	const BlobOps *ops = blob_ops_find(w->scheme);

	snprintf(store, sizeof store, "%s/store", w->dir);
	snprintf(db, sizeof db, "%s/meta.db", w->dir);
	int r = ops->open(store, BLOB_OPEN_READONLY, &from.blobs, &p->err);
	if (r == 0)
		r = cow_export_open(&from, false, &p->from, &p->err);
	if (r == 0)
		r = ops->open(new_store, BLOB_OPEN_CREATE, &to.blobs, &p->err);
	if (r == 0)
		r = cow_import_begin(&to, &p->to, &p->err);
	if (r == 0)
		r = cow_export_walk(p->from, copy_record, p, &p->err);
	return r < 0 ? r : cow_import_finish(p->to, &p->err);
}

/* The old one goes, the new one takes its name. */
static int replace(const World *w, const char *from, const char *name)
{
	char to[200], beside[220];

	snprintf(to, sizeof to, "%s/%s", w->dir, name);
	for (const char *const *suffix = (const char *const[]){"", "-wal", "-shm", NULL}; *suffix; suffix++) {
		snprintf(beside, sizeof beside, "%s%s", to, *suffix);
		int r = bv_remove_tree_at(AT_FDCWD, beside);
		char source[220];
		snprintf(source, sizeof source, "%s%s", from, *suffix);
		if (r == 0 && rename(source, beside) < 0 && errno != ENOENT)
			r = -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

int cow_repack_world(World *w)
{
	char store[200], db[200];
	Repack p = {0};

	snprintf(store, sizeof store, "%s/store.new", w->dir);
	snprintf(db, sizeof db, "%s/meta.new", w->dir);
	int r = copy_all(w, &p, db, store);
	cow_export_close(p.from);
	cow_import_free(p.to);
	if (r == 0)
		r = replace(w, store, "store");
	if (r == 0)
		r = replace(w, db, "meta.db");
	if (r < 0)
		world_fail(w, "exporting and importing the view: %s (%s)", strerror(-r), p.err ? p.err : "no message");
	free(p.err);
	return r < 0 ? -1 : 0;
}
