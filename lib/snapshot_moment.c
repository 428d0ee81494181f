/* lib/snapshot_moment.c - see snapshot_moment.h. */
#include "lib/snapshot_moment.h"
#include "lib/launch.h"
#include "lib/view.h"

#include "base/maps.h"

#include <time.h>

#define TRIES 20 /* the sandbox may start or end while we look */

/* Of a stopped sandbox there are no guests: who has its files is another process of this user's. */
static int list_mapped(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx)
{
	(void)ctx;
	(void)guests;
	return maps_of_all("/proc", NULL, NULL, visit, visit_ctx);
}

int moment_rows(const BvSandbox *sb, bool frozen, CowExport **out, BvError **err)
{
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", sandbox_data_dir(sb));
	CowfsConfig config = {.db_path = db, .flags = COWFS_READONLY, .durable = false, .mapped = list_mapped};
	char *why = NULL;
	int r;

	if (!db)
		return lib_fail(err, -ENOMEM, "out of memory");
	r = view_open_blobs(sb, &config.blobs, err);
	if (r < 0)
		return r;
	r = cow_export_open(&config, frozen, out, &why);
	return r < 0 ? lib_fail_text(err, r, why, db) : 0;
}

static void take_name(const cJSON *answer, const char *key, char out[COW_STATE_NAME])
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(answer, key);

	snprintf(out, COW_STATE_NAME, "%s", cJSON_IsString(name) && strlen(name->valuestring) < COW_STATE_NAME ? name->valuestring : "");
}

static void take_state(const cJSON *answer, CowState *out)
{
	const cJSON *inode;

	take_name(answer, "state", out->name);
	take_name(answer, "since", out->since);
	cJSON_ArrayForEach(inode, cJSON_GetObjectItemCaseSensitive(answer, "touched")) {
		if (!cJSON_IsNumber(inode) || out->n_touched == COW_STATE_TOUCHED) {
			out->since[0] = 0; /* makes no sense */
			return;
		}
		out->touched[out->n_touched++] = (uint64_t)inode->valuedouble;
	}
}

static int begin_running(const BvSandbox *sb, Moment *m, BvError **err)
{
	cJSON *answer = NULL;
	int r = conn_call(m->conn, conn_request("freeze"), NULL, 0, &answer, err);

	if (r < 0)
		return r;
	const cJSON *pause = cJSON_GetObjectItemCaseSensitive(answer, "pause");
	m->pause = cJSON_IsNumber(pause) ? pause->valuedouble : 0;
	m->unsteady = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "still"));
	take_state(answer, &m->state);
	cJSON_Delete(answer);
	r = moment_rows(sb, true, &m->rows, err);
	return r < 0 ? r : conn_call(m->conn, conn_request("frozen"), NULL, 0, NULL, err);
}

/* Nobody but us can open it. */
static int begin_stopped(const BvSandbox *sb, Moment *m, BvError **err)
{
	int r = moment_rows(sb, false, &m->rows, err);

	if (r == 0)
		cow_export_state(m->rows, &m->state, &m->written);
	return r;
}

/* -EAGAIN: it has just started or ended. */
static int begin_once(BvSandbox *sb, Moment *m, BvError **err)
{
	int r = launch_connect(sb->dirfd, &m->conn);

	if (r == 0) {
		r = apply_check_none(sb, true, err);
		if (r == 0)
			r = begin_running(sb, m, err);
		return r == -ECONNRESET || r == -ESHUTDOWN ? -EAGAIN : r;
	}
	if (r != -ESRCH)
		return lib_fail(err, r, "cannot reach the supervisor of '%s': %s", sb->config.name, strerror(-r));
	r = sandbox_hold_stopped(sb, &m->lock, err);
	if (r == -EBUSY)
		return -EAGAIN;
	if (r == 0)
		r = apply_check_none(sb, false, err);
	return r < 0 ? r : begin_stopped(sb, m, err);
}

int moment_begin(BvSandbox *sb, bool held, Moment *out, BvError **err)
{
	int r = -EAGAIN;

	if (held) {
		*out = (Moment){.lock = -1};
		return begin_stopped(sb, out, err);
	}

	for (unsigned tries = 0; tries < TRIES && r == -EAGAIN; tries++) {
		Moment m = {.lock = -1};
		if (tries)
			nanosleep(&(struct timespec){0, 20000000}, NULL);
		if (err)
			bv_error_free(TAKE_PTR(*err));
		r = begin_once(sb, &m, err);
		if (r == 0)
			*out = m;
		else
			moment_close(&m);
	}
	return r == -EAGAIN ? lib_fail(err, -EBUSY, "sandbox '%s' starts and ends all the time: try again", sb->config.name) : r;
}

int moment_end(Moment *m, const BvSandbox *sb, BvError **err)
{
	BvError *why = NULL;

	if (!m->conn)
		return 0;
	int r = conn_call(m->conn, conn_request("thaw"), NULL, 0, NULL, &why);
	if (r < 0)
		(void)lib_fail(err, r, "what sandbox '%s' was could not be kept to the end: %s; nothing was stored under a name, try again", sb->config.name,
			       r == -ECONNRESET ? "it was stopped meanwhile" : strerror(-r));
	bv_error_free(why);
	return r;
}

void moment_close(Moment *m)
{
	cow_export_close(m->rows);
	conn_put(m->conn);
	bv_close_fd(&m->lock);
	*m = (Moment){.lock = -1};
}
