/* sandbox.c - sandboxes: making, opening, listing, what changed, what they may reach and use. */
#include "native.h"

#include <errno.h>

static const Field create_fields[] = {
	{"read_only", FIELD_FLAG, offsetof(BvCreateOptions, flags), .value = BV_CREATE_READ_ONLY},
	{"continuous", FIELD_FLAG, offsetof(BvCreateOptions, flags), .value = BV_CREATE_CONTINUOUS},
	{"fake_root", FIELD_FLAG, offsetof(BvCreateOptions, flags), .value = BV_CREATE_FAKE_ROOT},
	{"ephemeral", FIELD_FLAG, offsetof(BvCreateOptions, flags), .value = BV_CREATE_EPHEMERAL},
	{"pidns", FIELD_FLAG, offsetof(BvCreateOptions, flags), .value = BV_CREATE_PIDNS},
	{"store", FIELD_STRING, offsetof(BvCreateOptions, store)},
	{"name", FIELD_STRING, offsetof(BvCreateOptions, name)},
	{"backend", FIELD_STRING, offsetof(BvCreateOptions, backend)},
	{"rw", FIELD_STRINGS, offsetof(BvCreateOptions, rw)},
	{"hide", FIELD_STRINGS, offsetof(BvCreateOptions, hide)},
	{"show", FIELD_STRINGS, offsetof(BvCreateOptions, show)},
	{"command", FIELD_STRINGS, offsetof(BvCreateOptions, command)},
	{"cwd", FIELD_STRING, offsetof(BvCreateOptions, cwd)},
	{"env", FIELD_STRINGS, offsetof(BvCreateOptions, env)},
	{"spool", FIELD_U64, offsetof(BvCreateOptions, spool)},
	{"net", FIELD_STRING, offsetof(BvCreateOptions, net)},
	{"allow", FIELD_STRINGS, offsetof(BvCreateOptions, allow)},
	{"dns", FIELD_STRING, offsetof(BvCreateOptions, dns)},
	{"hostname", FIELD_STRING, offsetof(BvCreateOptions, hostname)},
	{"kernel_release", FIELD_STRING, offsetof(BvCreateOptions, kernel_release)},
	{"limits", FIELD_NESTED, offsetof(BvCreateOptions, limits), .nested = &limits_option},
	{"publish", FIELD_STRINGS, offsetof(BvCreateOptions, publish)},
	{0},
};

static const Field network_change_fields[] = {
	{"net", FIELD_STRING, offsetof(BvNetworkChange, net)},
	{"allow", FIELD_STRINGS, offsetof(BvNetworkChange, allow)},
	{"deny", FIELD_STRINGS, offsetof(BvNetworkChange, deny)},
	{0},
};

static const Field diff_fields[] = {
	{"raw", FIELD_FLAG, offsetof(BvDiffOptions, flags), .value = BV_DIFF_RAW},
	{"paths", FIELD_STRINGS, offsetof(BvDiffOptions, paths)},
	{0},
};

static const Field apply_fields[] = {
	{"dry_run", FIELD_FLAG, offsetof(BvApplyOptions, flags), .value = BV_APPLY_DRY_RUN},
	{"paths", FIELD_STRINGS, offsetof(BvApplyOptions, paths)},
	{0},
};

/* ---- results ---- */

static const FieldName change_kinds[] = {{BV_ADDED, "added"}, {BV_MODIFIED, "modified"}, {BV_DELETED, "deleted"}, {BV_TYPE_CHANGED, "type changed"}, {BV_RENAMED, "renamed"}, {0, NULL}};
static const FieldName differences[] = {{BV_DIFF_CONTENT, "content"}, {BV_DIFF_MODE, "mode"}, {BV_DIFF_OWNER, "owner"}, {BV_DIFF_TIMES, "times"},
					{BV_DIFF_XATTR, "xattr"}, {BV_DIFF_TARGET, "target"}, {BV_DIFF_LOST, "lost"}, {0, NULL}};
static const FieldName apply_results[] = {{BV_APPLIED, "applied"}, {BV_WOULD_APPLY, "would apply"}, {BV_CONFLICT, "conflict"}, {BV_APPLY_FAILED, "failed"}, {0, NULL}};

static const Field change_record_fields[] = {
	{"kind", FIELD_NAME, offsetof(BvChange, kind), "'added', 'modified', 'deleted', 'type changed' or 'renamed'", .names = change_kinds},
	{"path", FIELD_STRING, offsetof(BvChange, path), "in the sandbox"},
	{"old_path", FIELD_STRING, offsetof(BvChange, old_path), "of what is renamed: on the host; else None"},
	{"diff", FIELD_NAMES, offsetof(BvChange, diff), "what differs: some of 'content', 'mode', 'owner', 'times', 'xattr', 'target'; 'lost': the store has lost the content", .names = differences},
	{"type", FIELD_FILE_TYPE, offsetof(BvChange, mode), "'file', 'directory', 'symlink', ...; None for what is deleted"},
	{"mode", FIELD_UINT, offsetof(BvChange, mode), "type and permissions as st_mode; 0 for what is deleted"},
	{"old_mode", FIELD_UINT, offsetof(BvChange, old_mode), "the same on the host when the sandbox first used it; 0 when unknown or added"},
	{"size", FIELD_U64, offsetof(BvChange, bytes), "bytes in the sandbox"},
	{"uid", FIELD_UINT, offsetof(BvChange, uid), "owner"},
	{"gid", FIELD_UINT, offsetof(BvChange, gid), "group"},
	{"mtime", FIELD_TIME, offsetof(BvChange, mtime_sec), "seconds since 1970"},
	{"link_to", FIELD_STRING, offsetof(BvChange, link_to), "another name of this file that came before, or None"},
	{"host_path", FIELD_STRING, offsetof(BvChange, host_path), "where the host has, or would have, what this is a change of"},
	{0},
};
static Record change_record = {"bvisor.Change", "A difference between the sandbox and the host.", change_record_fields, NULL};

static const Field apply_record_fields[] = {
	{"kind", FIELD_NAME, offsetof(BvApplyItem, kind), "as Change.kind", .names = change_kinds},
	{"result", FIELD_NAME, offsetof(BvApplyItem, result), "'applied', 'would apply', 'conflict' or 'failed'", .names = apply_results},
	{"path", FIELD_STRING, offsetof(BvApplyItem, path), "on the host"},
	{"old_path", FIELD_STRING, offsetof(BvApplyItem, old_path), "of what is renamed, else None"},
	{"reason", FIELD_STRING, offsetof(BvApplyItem, reason), "of a conflict or failure, or what could not be kept; or None"},
	{"link_to", FIELD_STRING, offsetof(BvApplyItem, link_to), "the file that it becomes another name of, or None"},
	{0},
};
static Record apply_record = {"bvisor.Applied", "What became of one change on the host.", apply_record_fields, NULL};

static const Field info_record_fields[] = {
	{"name", FIELD_STRING, offsetof(BvSandboxInfo, name), "of the sandbox"},
	{"dir", FIELD_STRING, offsetof(BvSandboxInfo, dir), "its directory in the store"},
	{"backend", FIELD_STRING, offsetof(BvSandboxInfo, backend), "as it was given"},
	{"created", FIELD_TIME, offsetof(BvSandboxInfo, created_sec), "seconds since 1970"},
	{"running", FIELD_BOOL, offsetof(BvSandboxInfo, running), "whether a supervisor serves it now"},
	{"unnamed", FIELD_BOOL, offsetof(BvSandboxInfo, unnamed), "whether the name was made up: only the newest ten of these are kept"},
	{"command", FIELD_STRINGS, offsetof(BvSandboxInfo, command), "what it was made for"},
	{"cwd", FIELD_STRING, offsetof(BvSandboxInfo, cwd), "and where, or None"},
	{"env", FIELD_STRINGS, offsetof(BvSandboxInfo, env), "variables of its commands, NAME=value"},
	{"damage", FIELD_STRING, offsetof(BvSandboxInfo, damage), "None, or why it cannot be opened"},
	{0},
};
static Record info_record = {"bvisor.SandboxInfo", "A sandbox of a store.", info_record_fields, NULL};

static const Field denied_record_fields[] = {
	{"to", FIELD_STRING, offsetof(BvDenied, to), "'ADDRESS:PORT', a name, or 'NAME (ADDRESS)'"},
	{"protocol", FIELD_STRING, offsetof(BvDenied, protocol), "'tcp', 'udp', 'icmp', 'dns' or 'other'"},
	{"why", FIELD_STRING, offsetof(BvDenied, why), "for people"},
	{"attempts", FIELD_U64, offsetof(BvDenied, count), "how often"},
	{"time", FIELD_I64, offsetof(BvDenied, time), "of the last one, seconds since 1970"},
	{"pid", FIELD_INT, offsetof(BvDenied, pid), "who tried; 0: not known"},
	{"comm", FIELD_STRING, offsetof(BvDenied, comm), "name of that program"},
	{0},
};
static Record denied_record = {"bvisor.Denied", "What a command tried to reach and was refused.", denied_record_fields, NULL};

static const Field limit_record_fields[] = {
	{"name", FIELD_STRING, offsetof(BvLimitInfo, name), "'memory', 'cpus', 'pids', 'io-read', 'io-write', 'disk', 'disk-files' or 'nofile'"},
	{"limit", FIELD_DOUBLE, offsetof(BvLimitInfo, limit), "its value"},
	{"peak", FIELD_U64, offsetof(BvLimitInfo, peak), "the most that was used; 0: not known"},
	{"hits", FIELD_U64, offsetof(BvLimitInfo, hits), "how often it was reached"},
	{"by", FIELD_STRING, offsetof(BvLimitInfo, by), "what enforces it: 'cgroup v2', 'cgroup v1', 'supervisor', 'affinity', 'rlimit'; 'nothing' (best effort)"},
	{0},
};
Record limit_record = {"bvisor.LimitInfo", "A limit, and what was used of it.", limit_record_fields, NULL};

static const Field feature_record_fields[] = {
	{"name", FIELD_STRING, offsetof(BvFeature, name), "of the feature of the kernel"},
	{"works", FIELD_BOOL, offsetof(BvFeature, works), "whether it was seen to work"},
	{"required", FIELD_BOOL, offsetof(BvFeature, required), "whether bvisor cannot run without it"},
	{"reason", FIELD_STRING, offsetof(BvFeature, reason), "what was tried, and what it said"},
	{"consequence", FIELD_STRING, offsetof(BvFeature, consequence), "of its absence"},
	{0},
};
static Record feature_record = {"bvisor.Feature", "A feature of this machine that bvisor can use.", feature_record_fields, NULL};

Record *const sandbox_records[] = {&change_record, &apply_record, &info_record, &denied_record, &limit_record, &feature_record, NULL};

DEFINE_VISIT(BvChange);
DEFINE_VISIT(BvApplyItem);
DEFINE_VISIT(BvSandboxInfo);
DEFINE_VISIT(BvLimitInfo);
DEFINE_VISIT(BvFeature);

/* ---- handles ---- */

static PyObject *sandbox_create(PyObject *module, PyObject *dict)
{
	BvCreateOptions options = BV_CREATE_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	BvSandbox *sandbox = NULL;
	BvError *err = NULL;
	int r;

	(void)module;
	if (!keep || fields_fill(&options, create_fields, dict, keep) < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_create(&options, &sandbox, &err);
	Py_END_ALLOW_THREADS
	return r < 0 ? raise_error("create", r, err) : handle_new(HANDLE_SANDBOX, sandbox, NULL);
}

/* Of a path or name that may be None: what PyArg_ParseTuple's O& wants. */
static int optional_string(PyObject *value, void *out)
{
	PyObject **bytes = out;

	if (value && value != Py_None)
		return string_converter(value, out);
	Py_CLEAR(*bytes); /* NULL: the end of a failed parse */
	return 1;
}

static const char *string_or_null(PyObject *bytes)
{
	return bytes ? PyBytes_AsString(bytes) : NULL;
}

static PyObject *sandbox_open(PyObject *module, PyObject *args)
{
	CLEAN_OBJECT PyObject *store = NULL, *name = NULL;
	BvSandbox *sandbox = NULL;
	BvError *err = NULL;
	int r;

	(void)module;
	if (!PyArg_ParseTuple(args, "O&O&", optional_string, &store, optional_string, &name))
		return NULL;
	const char *store_text = string_or_null(store), *name_text = string_or_null(name);
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_open(store_text, name_text, &sandbox, &err);
	Py_END_ALLOW_THREADS
	return r < 0 ? raise_error("open", r, err) : handle_new(HANDLE_SANDBOX, sandbox, NULL);
}

static PyObject *sandbox_list(PyObject *module, PyObject *args)
{
	CLEAN_OBJECT PyObject *store = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, "O&", optional_string, &store))
		return NULL;
	const char *path = string_or_null(store);
	return VISIT_LIST((Handle *)NULL, &info_record, "list", bv_sandbox_list(path, append_BvSandboxInfo, &visit, &err));
}

static PyObject *doctor(PyObject *module, PyObject *args)
{
	CLEAN_OBJECT PyObject *store = NULL;

	(void)module;
	if (!PyArg_ParseTuple(args, "O&", optional_string, &store))
		return NULL;
	const char *path = string_or_null(store);
	return VISIT_LIST((Handle *)NULL, &feature_record, "doctor", bv_doctor(path, append_BvFeature, &visit, &err));
}

/* (name, dir, place, warning, continuous, pidns, env) */
static PyObject *sandbox_about(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);
	Py_ssize_t i = 0;

	(void)module;
	if (!sb)
		return NULL;
	const char *const texts[] = {bv_sandbox_name(sb), bv_sandbox_dir(sb), bv_sandbox_place(sb), bv_sandbox_warning(sb)};
	const char *const *env = bv_sandbox_environment(sb);
	CLEAN_OBJECT PyObject *list = PyList_New(0);
	PyObject *about = Py_BuildValue("(O&O&O&O&NNN)", PyUnicode_DecodeFSDefault, texts[0], PyUnicode_DecodeFSDefault, texts[1], PyUnicode_DecodeFSDefault,
					texts[2] ? texts[2] : "", PyUnicode_DecodeFSDefault, texts[3] ? texts[3] : "", PyBool_FromLong(bv_sandbox_continuous(sb)), PyBool_FromLong(bv_sandbox_pidns(sb)), list ? object_ref(list) : NULL);
	for (; about && env && env[i]; i++) {
		CLEAN_OBJECT PyObject *entry = PyUnicode_DecodeFSDefault(env[i]);
		if (!entry || PyList_Append(list, entry) < 0)
			Py_CLEAR(about);
	}
	handle_leave(handle);
	return about;
}

/* ---- calls that say nothing but that they worked ---- */

typedef int SandboxCall(BvSandbox *sb, int argument, BvError **err);

static PyObject *call_simple(const char *op, PyObject *arg, SandboxCall *call, int argument)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);
	BvError *err = NULL;
	int r;

	if (!sb)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = call(sb, argument, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	return r < 0 ? raise_error(op, r, err) : object_ref(Py_None);
}

static int call_stop(BvSandbox *sb, int argument, BvError **err)
{
	(void)argument;
	return bv_sandbox_stop(sb, err);
}

static PyObject *sandbox_stop(PyObject *module, PyObject *arg)
{
	(void)module;
	return call_simple("stop", arg, call_stop, 0);
}

static PyObject *sandbox_remove(PyObject *module, PyObject *args)
{
	PyObject *handle;
	int force;

	(void)module;
	return PyArg_ParseTuple(args, "Op", &handle, &force) ? call_simple("remove", handle, bv_sandbox_remove, force) : NULL;
}

static PyObject *sandbox_kill(PyObject *module, PyObject *args)
{
	PyObject *handle;
	int signal;

	(void)module;
	return PyArg_ParseTuple(args, "Oi", &handle, &signal) ? call_simple("kill", handle, bv_sandbox_kill, signal) : NULL;
}

/* ---- network, limits, counters ---- */

static PyObject *set_network(PyObject *module, PyObject *args)
{
	BvNetworkChange change = BV_NETWORK_CHANGE_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;
	int r;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&change, network_change_fields, dict, keep) < 0 ||
	    !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_set_network(sb, &change, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	return r < 0 ? raise_error("network", r, err) : object_ref(Py_None);
}

static int call_set_limits(BvSandbox *sb, PyObject *dict, PyObject *keep, BvError **err)
{
	BvLimits chosen = BV_LIMITS_INIT;
	int r;

	if (fields_fill(&chosen, limits_option.fields, dict, keep) < 0)
		return -ECANCELED;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_set_limits(sb, &chosen, err);
	Py_END_ALLOW_THREADS
	return r;
}

static PyObject *set_limits(PyObject *module, PyObject *args)
{
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	int r = call_set_limits(sb, dict, keep, &err);
	handle_leave(handle);
	if (PyErr_Occurred())
		return NULL;
	return r < 0 ? raise_error("set_limits", r, err) : object_ref(Py_None);
}

/* As set_limits takes them. */
static PyObject *given_limits(PyObject *module, PyObject *arg)
{
	BvLimits l = BV_LIMITS_INIT;
	BvError *err = NULL;
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);
	int r;

	(void)module;
	if (!sb)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_given_limits(sb, &l, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	if (r < 0)
		return raise_error("given_limits", r, err);
	return Py_BuildValue("{s:O,s:d,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "best_effort", l.flags & BV_LIMITS_BEST_EFFORT ? Py_True : Py_False, "cpus", l.cpus, "memory", (unsigned long long)l.memory, "pids",
			     (unsigned long long)l.pids, "io_read", (unsigned long long)l.io_read, "io_write", (unsigned long long)l.io_write, "disk", (unsigned long long)l.disk, "disk_files",
			     (unsigned long long)l.disk_files, "nofile", (unsigned long long)l.nofile);
}

static PyObject *strings_list(const char *const *strings)
{
	CLEAN_OBJECT PyObject *list = PyList_New(0);

	for (; list && strings && *strings; strings++) {
		CLEAN_OBJECT PyObject *text = PyUnicode_DecodeFSDefault(*strings);
		if (!text || PyList_Append(list, text) < 0)
			return NULL;
	}
	return object_take(&list);
}

static int visit_network(void *ctx, const BvNetwork *network)
{
	Visit *visit = ctx;

	PyEval_RestoreThread(visit->thread);
	CLEAN_OBJECT PyObject *denied = PyList_New(0);
	for (size_t i = 0; denied && i < network->n_last; i++) {
		CLEAN_OBJECT PyObject *record = record_new(&denied_record, &network->last[i]);
		if (!record || PyList_Append(denied, record) < 0)
			break;
	}
	CLEAN_OBJECT PyObject *all = PyErr_Occurred() ? NULL : Py_BuildValue("(sNNOK)", network->mode, strings_list(network->allow), strings_list(network->publish), denied, (unsigned long long)network->denied);
	int r = !all || PyList_Append(visit->list, all) < 0 ? -ECANCELED : 0;
	object_release(&all);
	object_release(&denied);
	all = denied = NULL; /* before the GIL is given away */
	visit->thread = PyEval_SaveThread();
	return r;
}

/* [(mode, rules, publish, denied, how many)] */
static PyObject *network(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);

	(void)module;
	return sb ? VISIT_LIST(handle, NULL, "network", bv_sandbox_network(sb, visit_network, &visit, &err)) : NULL;
}

static PyObject *limits(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);

	(void)module;
	return sb ? VISIT_LIST(handle, &limit_record, "limits", bv_sandbox_limits(sb, append_BvLimitInfo, &visit, &err)) : NULL;
}

static PyObject *stats(PyObject *module, PyObject *arg)
{
	Handle *handle;
	BvSandbox *sb = handle_enter(arg, HANDLE_SANDBOX, &handle);
	BvError *err = NULL;
	char *json = NULL;
	int r;

	(void)module;
	if (!sb)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = bv_sandbox_stats(sb, &json, &err);
	Py_END_ALLOW_THREADS
	handle_leave(handle);
	if (r < 0)
		return raise_error("stats", r, err);
	PyObject *text = PyUnicode_FromString(json);
	bv_free(json);
	return text;
}

/* ---- what changed ---- */

static PyObject *diff(PyObject *module, PyObject *args)
{
	BvDiffOptions options = BV_DIFF_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	Handle *handle;
	BvSandbox *sb;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&options, diff_fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	return VISIT_LIST(handle, &change_record, "diff", bv_sandbox_diff(sb, &options, append_BvChange, &visit, &err));
}

static PyObject *apply(PyObject *module, PyObject *args)
{
	BvApplyOptions options = BV_APPLY_OPTIONS_INIT;
	CLEAN_OBJECT PyObject *keep = PyList_New(0);
	PyObject *arg, *dict;
	Handle *handle;
	BvSandbox *sb;

	(void)module;
	if (!keep || !PyArg_ParseTuple(args, "OO", &arg, &dict) || fields_fill(&options, apply_fields, dict, keep) < 0 || !(sb = handle_enter(arg, HANDLE_SANDBOX, &handle)))
		return NULL;
	return VISIT_LIST(handle, &apply_record, "apply", bv_sandbox_apply(sb, &options, append_BvApplyItem, &visit, &err));
}

PyMethodDef sandbox_methods[] = {
	{"create", sandbox_create, METH_O, NULL},
	{"open_sandbox", sandbox_open, METH_VARARGS, NULL},
	{"list_sandboxes", sandbox_list, METH_VARARGS, NULL},
	{"doctor", doctor, METH_VARARGS, NULL},
	{"about", sandbox_about, METH_O, NULL},
	{"stop", sandbox_stop, METH_O, NULL},
	{"remove", sandbox_remove, METH_VARARGS, NULL},
	{"kill", sandbox_kill, METH_VARARGS, NULL},
	{"set_network", set_network, METH_VARARGS, NULL},
	{"network", network, METH_O, NULL},
	{"limits", limits, METH_O, NULL},
	{"set_limits", set_limits, METH_VARARGS, NULL},
	{"given_limits", given_limits, METH_O, NULL},
	{"stats", stats, METH_O, NULL},
	{"diff", diff, METH_VARARGS, NULL},
	{"apply", apply, METH_VARARGS, NULL},
	{0},
};
