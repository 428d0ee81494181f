/* snapshot_ops.c - what a sandbox changed, applying it, and snapshots. */
#include "addon.h"

/* ---- changes ---- */

static int add_change(void *list, const BvChange *change)
{
	static const char *const what[] = {"content", "mode", "owner", "times", "xattr", "target", "lost"};
	const char kind[2] = {(char)change->kind, '\0'}, *differs[ARRAY_LEN(what) + 1] = {NULL};
	cJSON *o = add_object(list);
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(what); i++)
		if (change->diff & 1U << i)
			differs[n++] = what[i];
	add_text(o, "kind", kind);
	add_text(o, "path", change->path);
	add_text(o, "oldPath", change->old_path);
	add_text(o, "linkTo", change->link_to);
	add_text(o, "hostPath", change->host_path);
	add_texts(o, "differs", differs);
	add_number(o, "mode", change->mode);
	add_number(o, "oldMode", change->old_mode);
	add_number(o, "uid", change->uid);
	add_number(o, "gid", change->gid);
	add_number(o, "size", (double)change->bytes);
	add_time(o, "mtimeMs", change->mtime_sec, change->mtime_nsec);
	return 0;
}

static int diff(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **paths = arg_list(job, "paths", &failed);
	BvDiffOptions o = BV_DIFF_OPTIONS_INIT;

	o.flags = arg_flag(job, "raw") ? BV_DIFF_RAW : 0;
	o.paths = paths;
	return failed ? -ENOMEM : bv_sandbox_diff(job->sandbox->handle, &o, add_change, out_list(job), &job->err);
}

static int add_applied(void *list, const BvApplyItem *item)
{
	static const char *const results[] = {[BV_APPLIED] = "applied", [BV_WOULD_APPLY] = "would apply", [BV_CONFLICT] = "conflict", [BV_APPLY_FAILED] = "failed"};
	const char kind[2] = {(char)item->kind, '\0'};
	cJSON *o = add_object(list);

	add_text(o, "kind", kind);
	add_text(o, "result", (size_t)item->result < ARRAY_LEN(results) ? results[item->result] : "failed");
	add_text(o, "path", item->path);
	add_text(o, "oldPath", item->old_path);
	add_text(o, "reason", item->reason);
	add_text(o, "linkTo", item->link_to);
	return 0;
}

static int apply(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **paths = arg_list(job, "paths", &failed);
	BvApplyOptions o = BV_APPLY_OPTIONS_INIT;

	o.flags = arg_flag(job, "dryRun") ? BV_APPLY_DRY_RUN : 0;
	o.paths = paths;
	return failed ? -ENOMEM : bv_sandbox_apply(job->sandbox->handle, &o, add_applied, out_list(job), &job->err);
}

/* ---- snapshots ---- */

static void add_receipt(cJSON *o, const BvSnapshotReceipt *r)
{
	add_text(o, "name", r->name);
	add_number(o, "number", (double)r->number);
	add_text(o, "id", r->id);
	add_number(o, "files", (double)r->files);
	add_number(o, "bytes", (double)r->bytes);
	add_number(o, "newBytes", (double)r->new_bytes);
	add_number(o, "pause", r->pause * 1000);
	add_flag(o, "unsteady", r->flags & BV_SNAPSHOT_UNSTEADY);
}

static int snapshot(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **tags = arg_list(job, "tags", &failed);
	BvSnapshotOptions o = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvKeyOptions key;

	o.to = arg_text(job, "to");
	o.name = arg_text(job, "name");
	o.message = arg_text(job, "message");
	o.tags = tags;
	o.key = arg_key(job, &key);
	o.flags = (arg_flag(job, "withBase") ? BV_SNAPSHOT_WITH_BASE : 0U) | (arg_flag(job, "ifChanged") ? BV_SNAPSHOT_IF_CHANGED : 0U);
	int r = failed ? -ENOMEM : bv_sandbox_snapshot(job->sandbox->handle, &o, &receipt, &job->err);
	if (r == 0)
		add_receipt(out_object(job), &receipt);
	return r;
}

static int restore(Job *job)
{
	bool failed = false;
	CLEAN_LIST const char **show = arg_list(job, "show", &failed);
	BvRestoreOptions o = BV_RESTORE_OPTIONS_INIT;
	BvSandbox *handle = NULL;
	BvLimits limits;
	BvKeyOptions key;

	o.from = arg_text(job, "from");
	o.store = arg_text(job, "store");
	o.name = arg_text(job, "name");
	o.backend = arg_text(job, "backend");
	o.show = show;
	o.key = arg_key(job, &key);
	o.spool = (uint64_t)arg_number(job, "spool", 0);
	arg_limits(job, &limits);
	o.limits = &limits;
	o.flags = (arg_flag(job, "prefetch") ? BV_RESTORE_PREFETCH : 0U) | (arg_flag(job, "inPlace") ? BV_RESTORE_IN_PLACE : 0U) | (arg_flag(job, "continuous") ? BV_RESTORE_CONTINUOUS : 0U);
	const char *source = arg_text(job, "snapshot");
	int r = failed ? -ENOMEM : !source ? -EINVAL : bv_snapshot_restore(source, &o, &handle, NULL, &job->err);
	if (r == 0 && o.key && (r = bv_sandbox_set_key(handle, o.key, &job->err)) < 0)
		bv_sandbox_close(TAKE_PTR(handle));
	return r < 0 ? r : sandbox_result(job, handle);
}

static int fork_snapshot(Job *job)
{
	BvForkOptions o = BV_FORK_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvKeyOptions key;

	o.from = arg_text(job, "from");
	o.key = arg_key(job, &key);
	const char *source = arg_text(job, "snapshot"), *name = arg_text(job, "name");
	int r = source && name ? bv_snapshot_fork(source, name, &o, &receipt, &job->err) : -EINVAL;
	if (r == 0)
		add_receipt(out_object(job), &receipt);
	return r;
}

static int add_snapshot(void *list, const BvSnapshotInfo *info)
{
	cJSON *o = add_object(list);

	add_text(o, "name", info->name);
	add_number(o, "number", (double)info->number);
	add_text(o, "id", info->id);
	add_text(o, "message", info->message);
	add_text(o, "sandbox", info->sandbox);
	add_time(o, "time", info->seconds, (long)info->nanoseconds);
	add_number(o, "files", (double)info->files);
	add_number(o, "bytes", (double)info->bytes);
	add_number(o, "stored", (double)info->stored);
	add_text(o, "damage", info->damage);
	return 0;
}

static int list_snapshots(Job *job)
{
	BvSnapshotListOptions o = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	BvKeyOptions key;

	o.from = arg_text(job, "from");
	o.name = arg_text(job, "name");
	o.key = arg_key(job, &key);
	return bv_snapshot_list_with(&o, add_snapshot, out_list(job), &job->err);
}

const Op snapshot_ops[] = {
	{"diff", OP_SANDBOX | OP_OWN_THREAD, diff},
	{"apply", OP_SANDBOX | OP_OWN_THREAD, apply},
	{"snapshot", OP_SANDBOX | OP_OWN_THREAD, snapshot},
	{"restore", OP_OWN_THREAD, restore},
	{"snapshot.fork", OP_OWN_THREAD, fork_snapshot},
	{"snapshot.list", OP_OWN_THREAD, list_snapshots},
	{NULL, 0, NULL},
};
