/* process.c - commands: start, wait, signal, list. Their streams are descriptors that Python made. */
#include "native.h"

#include <errno.h>

static const Field spawn_fields[] = {
	{"tty", FIELD_FLAG, offsetof(BvSpawnOptions, flags), .value = BV_SPAWN_TTY},
	{"detach", FIELD_FLAG, offsetof(BvSpawnOptions, flags), .value = BV_SPAWN_DETACH},
	{"default_signals", FIELD_FLAG, offsetof(BvSpawnOptions, flags), .value = BV_SPAWN_DEFAULT_SIGNALS},
	{"argv", FIELD_STRINGS, offsetof(BvSpawnOptions, argv)},
	{"env", FIELD_STRINGS, offsetof(BvSpawnOptions, env)},
	{"cwd", FIELD_STRING, offsetof(BvSpawnOptions, cwd)},
	{0},
};

static const Field process_record_fields[] = {
	{"pid", FIELD_INT, offsetof(BvProcessInfo, pid), "the same on the host, but in a pid namespace"},
	{"ppid", FIELD_INT, offsetof(BvProcessInfo, ppid), "of its parent"},
	{"comm", FIELD_STRING, offsetof(BvProcessInfo, comm), "name of its program"},
	{"args", FIELD_STRINGS, offsetof(BvProcessInfo, args), "command line"},
	{"state", FIELD_LETTER, offsetof(BvProcessInfo, state), "as in ps(1): R, S, D, T, Z ..."},
	{"start", FIELD_I64, offsetof(BvProcessInfo, start), "when it was started, seconds since 1970"},
	{"id", FIELD_U64, offsetof(BvProcessInfo, id), "number of the command that it belongs to, 0 when unknown"},
	{0},
};
static Record process_record = {"bvisor.ProcessInfo", "A process of a sandbox.", process_record_fields, NULL};
Record *const process_records[] = {&process_record, NULL};

extern Record limit_record;

DEFINE_VISIT(BvProcessInfo);
DEFINE_VISIT(BvLimitInfo);

/* spawn(sandbox, options, stdin, stdout, stderr, tied) */
static PyObject *spawn(PyObject *module, PyObject *args)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvProcess *process = NULL;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;
	int r, tied;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OOiiip", &arg, &dict, &options.fds[0], &options.fds[1], &options.fds[2], &tied) ||
	    fields_fill(&options, spawn_fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_spawn(sb, &options, &process, &err);
	Py_END_ALLOW_THREADS
	PyObject *made = r < 0 ? raise_error("spawn", r, err) : handle_new(HANDLE_PROCESS, process, handle);
	if (made)
		((Handle *)made)->tied = tied;
	handle_leave(handle);
	return made;
}

/* (exit code, signal, core dumped), or None: not yet. */
static PyObject *process_wait(PyObject *module, PyObject *args)
{
	PyObject *arg;
	BvStatus status;
	BvError *err = NULL;
	BvProcess *process;
	Handle *handle;
	int r, timeout_ms;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oi", &arg, &timeout_ms) || !(process = handle_enter(arg, HANDLE_PROCESS, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_process_wait(process, timeout_ms, &status, &err);
	Py_END_ALLOW_THREADS
	if (r == 0)
		handle->tied = false; /* there is nothing to end any more */
	handle_leave(handle);
	if (r == -ETIMEDOUT) {
		bv_error_free(err);
		return object_ref(Py_None);
	}
	return r < 0 ? raise_error("wait", r, err) : Py_BuildValue("(iiN)", status.exit_code, status.signal, PyBool_FromLong(status.core_dumped));
}

static PyObject *process_kill(PyObject *module, PyObject *args)
{
	PyObject *arg;
	BvError *err = NULL;
	BvProcess *process;
	Handle *handle;
	int r, signal;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oi", &arg, &signal) || !(process = handle_enter(arg, HANDLE_PROCESS, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_process_kill(process, signal, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	return r < 0 ? raise_error("signal", r, err) : object_ref(Py_None);
}

static PyObject *process_pid(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvProcess *process = handle_enter(arg, HANDLE_PROCESS, &handle);

	(void)module;
	if (!process)
		return NULL;
	PyObject *pid = PyLong_FromLong(bv_process_pid(process));
	handle_leave(handle);
	return pid;
}

static PyObject *process_remark(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvProcess *process = handle_enter(arg, HANDLE_PROCESS, &handle);

	(void)module;
	if (!process)
		return NULL;
	const char *remark = bv_process_remark(process);
	PyObject *text = PyUnicode_DecodeFSDefault(remark ? remark : "");
	handle_leave(handle);
	return text;
}

static PyObject *process_limits(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvProcess *process = handle_enter(arg, HANDLE_PROCESS, &handle);

	(void)module;
	return process ? VISIT_LIST(handle, &limit_record, "limits", bv_process_limits(process, append_BvLimitInfo, &visit)) : NULL;
}

static PyObject *ps(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);

	(void)module;
	return sb ? VISIT_LIST(handle, &process_record, "ps", bv_sandbox_ps(sb, append_BvProcessInfo, &visit, &err)) : NULL;
}

static PyObject *withholds(PyObject *module, PyObject *arg)
{
	CLEAN_OBJECT PyObject *bytes = NULL;

	(void)module;
	return string_converter(arg, &bytes) ? PyBool_FromLong(bv_process_withholds(PyBytes_AsString(bytes))) : NULL;
}

PyMethodDef process_methods[] = {
	{"spawn", spawn, METH_VARARGS, NULL},
	{"wait", process_wait, METH_VARARGS, NULL},
	{"signal", process_kill, METH_VARARGS, NULL},
	{"pid", process_pid, METH_O, NULL},
	{"remark", process_remark, METH_O, NULL},
	{"process_limits", process_limits, METH_O, NULL},
	{"ps", ps, METH_O, NULL},
	{"withholds", withholds, METH_O, NULL},
	{0},
};
