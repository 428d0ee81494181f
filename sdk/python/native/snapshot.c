/* snapshot.c - snapshots: taking, restoring, forking, listing. */
#include "native.h"

static const Field take_fields[] = {
	{"to", FIELD_STRING, offsetof(BvSnapshotOptions, to)},
	{"name", FIELD_STRING, offsetof(BvSnapshotOptions, name)},
	{"message", FIELD_STRING, offsetof(BvSnapshotOptions, message)},
	{"tags", FIELD_STRINGS, offsetof(BvSnapshotOptions, tags)},
	{"key", FIELD_NESTED, offsetof(BvSnapshotOptions, key), .nested = &key_option},
	{"with_base", FIELD_FLAG, offsetof(BvSnapshotOptions, flags), .value = BV_SNAPSHOT_WITH_BASE},
	{"if_changed", FIELD_FLAG, offsetof(BvSnapshotOptions, flags), .value = BV_SNAPSHOT_IF_CHANGED},
	{0},
};

static const Field restore_fields[] = {
	{"from_", FIELD_STRING, offsetof(BvRestoreOptions, from)},
	{"store", FIELD_STRING, offsetof(BvRestoreOptions, store)},
	{"name", FIELD_STRING, offsetof(BvRestoreOptions, name)},
	{"backend", FIELD_STRING, offsetof(BvRestoreOptions, backend)},
	{"show", FIELD_STRINGS, offsetof(BvRestoreOptions, show)},
	{"key", FIELD_NESTED, offsetof(BvRestoreOptions, key), .nested = &key_option},
	{"spool", FIELD_U64, offsetof(BvRestoreOptions, spool)},
	{"limits", FIELD_NESTED, offsetof(BvRestoreOptions, limits), .nested = &limits_option},
	{"prefetch", FIELD_FLAG, offsetof(BvRestoreOptions, flags), .value = BV_RESTORE_PREFETCH},
	{"continuous", FIELD_FLAG, offsetof(BvRestoreOptions, flags), .value = BV_RESTORE_CONTINUOUS},
	{"in_place", FIELD_FLAG, offsetof(BvRestoreOptions, flags), .value = BV_RESTORE_IN_PLACE},
	{0},
};

static const Field fork_fields[] = {
	{"from_", FIELD_STRING, offsetof(BvForkOptions, from)},
	{"key", FIELD_NESTED, offsetof(BvForkOptions, key), .nested = &key_option},
	{0},
};

static const Field list_fields[] = {
	{"from_", FIELD_STRING, offsetof(BvSnapshotListOptions, from)},
	{"name", FIELD_STRING, offsetof(BvSnapshotListOptions, name)},
	{"key", FIELD_NESTED, offsetof(BvSnapshotListOptions, key), .nested = &key_option},
	{0},
};

static const Field receipt_record_fields[] = {
	{"name", FIELD_TEXT, offsetof(BvSnapshotReceipt, name), "of the snapshot"},
	{"number", FIELD_U64, offsetof(BvSnapshotReceipt, number), "which state of the name: NAME@NUMBER restores it"},
	{"id", FIELD_TEXT, offsetof(BvSnapshotReceipt, id), "checksum of the whole"},
	{"files", FIELD_U64, offsetof(BvSnapshotReceipt, files), "whose bytes are in it"},
	{"size", FIELD_U64, offsetof(BvSnapshotReceipt, bytes), "bytes of these"},
	{"new_bytes", FIELD_U64, offsetof(BvSnapshotReceipt, new_bytes), "of these, not there before"},
	{"moved", FIELD_U64, offsetof(BvSnapshotReceipt, moved), "bytes to or from the place"},
	{"requests", FIELD_U64, offsetof(BvSnapshotReceipt, requests), "to the place"},
	{"pause", FIELD_DOUBLE, offsetof(BvSnapshotReceipt, pause), "seconds for which processes of the sandbox stood still"},
	{"unsteady", FIELD_FLAG, offsetof(BvSnapshotReceipt, flags), "whether its processes could not be stopped: what they were writing may be of slightly different moments", .value = BV_SNAPSHOT_UNSTEADY},
	{"missing", FIELD_U64, offsetof(BvSnapshotReceipt, missing), "restored: files whose bytes are lost in the place"},
	{"base_files", FIELD_U64, offsetof(BvSnapshotReceipt, base_files), "files of the host that it carries"},
	{"base_size", FIELD_U64, offsetof(BvSnapshotReceipt, base_bytes), "bytes of these"},
	{0},
};
static Record receipt_record = {"bvisor.Snapshot", "A state of a sandbox that was stored or restored.", receipt_record_fields, NULL};

static const Field info_record_fields[] = {
	{"name", FIELD_STRING, offsetof(BvSnapshotInfo, name), "of the snapshot"},
	{"number", FIELD_U64, offsetof(BvSnapshotInfo, number), "which state of the name"},
	{"id", FIELD_STRING, offsetof(BvSnapshotInfo, id), "checksum of the whole"},
	{"message", FIELD_STRING, offsetof(BvSnapshotInfo, message), "as it was given, or None"},
	{"sandbox", FIELD_STRING, offsetof(BvSnapshotInfo, sandbox), "that it was taken of, or None"},
	{"taken", FIELD_I64, offsetof(BvSnapshotInfo, seconds), "seconds since 1970"},
	{"files", FIELD_U64, offsetof(BvSnapshotInfo, files), "whose bytes are in it"},
	{"size", FIELD_U64, offsetof(BvSnapshotInfo, bytes), "bytes of these"},
	{"stored", FIELD_U64, offsetof(BvSnapshotInfo, stored), "bytes that it added to the place"},
	{"damage", FIELD_STRING, offsetof(BvSnapshotInfo, damage), "None, or why it cannot be read"},
	{0},
};
static Record info_record = {"bvisor.SnapshotInfo", "A state in a place of snapshots.", info_record_fields, NULL};

Record *const snapshot_records[] = {&receipt_record, &info_record, NULL};

DEFINE_VISIT(BvSnapshotInfo);

static PyObject *take(PyObject *module, PyObject *args)
{
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&options, take_fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_snapshot(sb, &options, &receipt, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	return r < 0 ? raise_error("snapshot", r, err) : record_new(&receipt_record, &receipt);
}

/* A receipt; None: nothing had changed. */
static PyObject *sync_now(PyObject *module, PyObject *args)
{
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvKeyOptions key = BV_KEY_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&key, key_option.fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	bool given = dict != Py_None;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_sync(sb, given ? &key : NULL, &receipt, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	if (r < 0)
		return raise_error("snapshot", r, err);
	return r == 0 ? object_ref(Py_None) : record_new(&receipt_record, &receipt);
}

static PyObject *set_key(PyObject *module, PyObject *args)
{
	BvKeyOptions key = BV_KEY_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&key, key_option.fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_set_key(sb, &key, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	return r < 0 ? raise_error("key", r, err) : object_ref(Py_None);
}

/* (sandbox, receipt) */
static PyObject *restore(PyObject *module, PyObject *args)
{
	BvRestoreOptions options = BV_RESTORE_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	CLEAN_OBJECT PyObject *name = NULL;
	PyObject *dict;
	BvSandbox *sandbox = NULL;
	BvError *err = NULL;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "O&O", string_converter, &name, &dict) || fields_fill(&options, restore_fields, dict, keep) < 0)
		return NULL;
	const char *snapshot = PyBytes_AsString(name);
	Py_BEGIN_ALLOW_THREADS
	r = bv_snapshot_restore(snapshot, &options, &sandbox, &receipt, &err);
	Py_END_ALLOW_THREADS
	if (r < 0)
		return raise_error("restore", r, err);
	CLEAN_OBJECT PyObject *handle = handle_new(HANDLE_SANDBOX, sandbox, NULL);
	return handle ? Py_BuildValue("(ON)", handle, record_new(&receipt_record, &receipt)) : NULL;
}

static PyObject *fork_snapshot(PyObject *module, PyObject *args)
{
	BvForkOptions options = BV_FORK_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	CLEAN_OBJECT PyObject *of = NULL, *as = NULL;
	PyObject *dict;
	BvError *err = NULL;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "O&O&O", string_converter, &of, string_converter, &as, &dict) || fields_fill(&options, fork_fields, dict, keep) < 0)
		return NULL;
	const char *snapshot = PyBytes_AsString(of), *name = PyBytes_AsString(as);
	Py_BEGIN_ALLOW_THREADS
	r = bv_snapshot_fork(snapshot, name, &options, &receipt, &err);
	Py_END_ALLOW_THREADS
	return r < 0 ? raise_error("fork", r, err) : record_new(&receipt_record, &receipt);
}

static PyObject *list_snapshots(PyObject *module, PyObject *dict)
{
	BvSnapshotListOptions options = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);

	(void)module;
	if (!keep || fields_fill(&options, list_fields, dict, keep) < 0)
		return NULL;
	return VISIT_LIST((Handle *)NULL, &info_record, "snapshots", bv_snapshot_list_with(&options, append_BvSnapshotInfo, &visit, &err));
}

PyMethodDef snapshot_methods[] = {
	{"snapshot", take, METH_VARARGS, NULL},
	{"sync", sync_now, METH_VARARGS, NULL},
	{"set_key", set_key, METH_VARARGS, NULL},
	{"restore", restore, METH_VARARGS, NULL},
	{"fork", fork_snapshot, METH_VARARGS, NULL},
	{"snapshots", list_snapshots, METH_O, NULL},
	{0},
};
