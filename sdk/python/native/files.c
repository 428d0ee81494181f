/* files.c - files of a sandbox: reading, changing, listing, watching. */
#include "native.h"

#include <errno.h>

static const FieldName entry_flags[] = {{BV_ENTRY_HOST, "host"}, {BV_ENTRY_MISSING, "missing"}, {0, NULL}};

static const Field entry_record_fields[] = {
	{"path", FIELD_STRING, offsetof(BvEntry, path), "absolute"},
	{"name", FIELD_STRING, offsetof(BvEntry, name), "its last component"},
	{"type", FIELD_FILE_TYPE, offsetof(BvEntry, mode), "'file', 'directory', 'symlink', 'fifo', 'socket', 'character device' or 'block device'"},
	{"mode", FIELD_UINT, offsetof(BvEntry, mode), "type and permissions as st_mode"},
	{"size", FIELD_U64, offsetof(BvEntry, bytes), "bytes"},
	{"uid", FIELD_UINT, offsetof(BvEntry, uid), "owner"},
	{"gid", FIELD_UINT, offsetof(BvEntry, gid), "group"},
	{"mtime", FIELD_TIME, offsetof(BvEntry, mtime_sec), "seconds since 1970"},
	{"ino", FIELD_U64, offsetof(BvEntry, ino), "inode number"},
	{"links", FIELD_UINT, offsetof(BvEntry, links), "names that it has"},
	{"target", FIELD_STRING, offsetof(BvEntry, target), "of a symbolic link, else None"},
	{"flags", FIELD_NAMES, offsetof(BvEntry, flags), "'host': its bytes are the host's", .names = entry_flags},
	{0},
};
static Record entry_record = {"bvisor.Entry", "A file or directory as a command of the sandbox sees it.", entry_record_fields, NULL};

static const FieldName event_names[] = {{BV_WATCH_CREATED, "created"}, {BV_WATCH_MODIFIED, "modified"}, {BV_WATCH_REMOVED, "removed"}, {BV_WATCH_RENAMED, "renamed"},
					{BV_WATCH_ATTRIB, "attrib"}, {BV_WATCH_OVERFLOW, "overflow"}, {0, NULL}};
static const Field event_record_fields[] = {
	{"path", FIELD_STRING, offsetof(BvWatchEvent, path), "what has changed"},
	{"what", FIELD_NAME, offsetof(BvWatchEvent, what), "'created', 'modified', 'removed', 'renamed' or 'attrib'; 'overflow': events were lost, look at all of it", .names = event_names},
	{"old_path", FIELD_STRING, offsetof(BvWatchEvent, old_path), "of a rename within what is watched, else None"},
	{0},
};
static Record event_record = {"bvisor.WatchEvent", "A change of something that is watched.", event_record_fields, NULL};

Record *const file_records[] = {&entry_record, &event_record, NULL};

DEFINE_VISIT(BvEntry);
DEFINE_VISIT(BvWatchEvent);

/* What all of these take first. `format` is that of the rest, for PyArg_ParseTuple. */
typedef struct Target {
	Handle *handle;
	BvSandbox *sb;
	PyObject *path; /* bytes */
} Target;

static int target_converter(PyObject *arg, void *out)
{
	Target *t = out;

	if (!arg) { /* the end of a failed parse */
		handle_leave(t->handle);
		t->sb = NULL;
		return 1;
	}
	t->sb = handle_enter(arg, HANDLE_SANDBOX, &t->handle);
	return t->sb ? Py_CLEANUP_SUPPORTED : 0;
}

#define TARGET_FORMAT "O&O&"
#define TARGET_ARGS(t) target_converter, &(t), string_converter, &(t).path

static const char *target_path(const Target *t)
{
	return PyBytes_AsString(t->path);
}

static PyObject *target_end(Target *t, const char *op, int result, BvError *err)
{
	handle_leave(t->handle);
	Py_DECREF(t->path);
	if (result < 0)
		return raise_error(op, result, err);
	return object_ref(Py_None);
}

static PyObject *open_file(PyObject *module, PyObject *args)
{
	Target t = {0};
	BvError *err = NULL;
	int fd = -1, r;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT, TARGET_ARGS(t)))
		return NULL;
	const char *path = target_path(&t);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_open_file(t.sb, path, &fd, &err);
	Py_END_ALLOW_THREADS
	CLEAN_OBJECT PyObject *done = target_end(&t, "file", r, err);
	return done ? PyLong_FromLong(fd) : NULL;
}

static PyObject *list_dir(PyObject *module, PyObject *args)
{
	BvListOptions options = BV_LIST_OPTIONS_INIT;
	Target t = {0};
	int recursive;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "p", TARGET_ARGS(t), &recursive))
		return NULL;
	options.flags = recursive ? BV_LIST_RECURSIVE : 0;
	const char *path = target_path(&t);
	PyObject *list = VISIT_LIST(t.handle, &entry_record, "file", bv_sandbox_list_dir(t.sb, path, &options, append_BvEntry, &visit, &err));
	Py_DECREF(t.path);
	return list;
}

/* [entry] */
static PyObject *stat_file(PyObject *module, PyObject *args)
{
	Target t = {0};
	int follow;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "p", TARGET_ARGS(t), &follow))
		return NULL;
	const char *path = target_path(&t);
	PyObject *list = VISIT_LIST(t.handle, &entry_record, "file", bv_sandbox_stat(t.sb, path, follow ? 0 : BV_FILE_NO_FOLLOW, append_BvEntry, &visit, &err));
	Py_DECREF(t.path);
	return list;
}

/* write_file(sandbox, path, data, append, exclusive, parents, mode) */
static PyObject *write_file(PyObject *module, PyObject *args)
{
	int append, exclusive, parents, r;
	Target t = {0};
	const char *data;
	Py_ssize_t len;
	unsigned mode;
	BvError *err = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "y#pppI", TARGET_ARGS(t), &data, &len, &append, &exclusive, &parents, &mode))
		return NULL;
	const char *path = target_path(&t);
	unsigned flags = (append ? BV_FILE_APPEND : 0) | (exclusive ? BV_FILE_EXCLUSIVE : 0) | (parents ? BV_FILE_PARENTS : 0);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_write_file(t.sb, path, data, (size_t)len, flags, mode, &err);
	Py_END_ALLOW_THREADS
	return target_end(&t, "file", r, err);
}

static PyObject *make_dir(PyObject *module, PyObject *args)
{
	Target t = {0};
	int parents, r;
	unsigned mode;
	BvError *err = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "pI", TARGET_ARGS(t), &parents, &mode))
		return NULL;
	const char *path = target_path(&t);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_make_dir(t.sb, path, parents ? BV_FILE_PARENTS : 0, mode, &err);
	Py_END_ALLOW_THREADS
	return target_end(&t, "file", r, err);
}

static PyObject *remove_file(PyObject *module, PyObject *args)
{
	Target t = {0};
	int recursive, r;
	BvError *err = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "p", TARGET_ARGS(t), &recursive))
		return NULL;
	const char *path = target_path(&t);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_remove_file(t.sb, path, recursive ? BV_FILE_RECURSIVE : 0, &err);
	Py_END_ALLOW_THREADS
	return target_end(&t, "file", r, err);
}

static PyObject *rename_file(PyObject *module, PyObject *args)
{
	CLEAN_OBJECT PyObject *to = NULL;
	Target t = {0};
	int replace, r;
	BvError *err = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "O&p", TARGET_ARGS(t), string_converter, &to, &replace))
		return NULL;
	const char *from_path = target_path(&t), *to_path = PyBytes_AsString(to);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_rename_file(t.sb, from_path, to_path, replace ? 0 : BV_FILE_NO_REPLACE, &err);
	Py_END_ALLOW_THREADS
	return target_end(&t, "file", r, err);
}

/* ---- watches ---- */

static PyObject *watch(PyObject *module, PyObject *args)
{
	Target t = {0};
	BvWatch *made = NULL;
	BvError *err = NULL;
	int recursive, r;

	(void)module;
	if (!PyArg_ParseTuple(args, TARGET_FORMAT "p", TARGET_ARGS(t), &recursive))
		return NULL;
	const char *path = target_path(&t);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_watch(t.sb, path, recursive, &made, &err);
	Py_END_ALLOW_THREADS
	CLEAN_OBJECT PyObject *handle = r < 0 ? NULL : handle_new(HANDLE_WATCH, made, t.handle);
	CLEAN_OBJECT PyObject *done = target_end(&t, "file", r, err);
	return done ? object_take(&handle) : NULL;
}

static PyObject *watch_fd(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvWatch *w = handle_enter(arg, HANDLE_WATCH, &handle);

	(void)module;
	if (!w)
		return NULL;
	PyObject *fd = PyLong_FromLong(bv_watch_fd(w));
	handle_leave(handle);
	return fd;
}

static PyObject *watch_read(PyObject *module, PyObject *args)
{
	PyObject *arg;
	Handle *handle;
	BvWatch *w;
	int timeout_ms;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oi", &arg, &timeout_ms) || !(w = handle_enter(arg, HANDLE_WATCH, &handle)))
		return NULL;
	return VISIT_LIST(handle, &event_record, "watch", bv_watch_read(w, timeout_ms, append_BvWatchEvent, &visit, &err));
}

PyMethodDef file_methods[] = {
	{"open_file", open_file, METH_VARARGS, NULL},
	{"list_dir", list_dir, METH_VARARGS, NULL},
	{"stat", stat_file, METH_VARARGS, NULL},
	{"write_file", write_file, METH_VARARGS, NULL},
	{"make_dir", make_dir, METH_VARARGS, NULL},
	{"remove_file", remove_file, METH_VARARGS, NULL},
	{"rename_file", rename_file, METH_VARARGS, NULL},
	{"watch", watch, METH_VARARGS, NULL},
	{"watch_fd", watch_fd, METH_O, NULL},
	{"watch_read", watch_read, METH_VARARGS, NULL},
	{0},
};
