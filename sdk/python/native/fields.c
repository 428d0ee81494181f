/* fields.c - dicts to option structs, structs to records, by tables (native.h). */
#include "native.h"

#include <errno.h>

#include <string.h>
#include <sys/stat.h>

/* ---- options ---- */

/* Memory for as long as `keep` lives. */
static void *keep_memory(PyObject *keep, size_t size)
{
	PyObject *memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
	void *at = memory ? PyByteArray_AsString(memory) : NULL;

	if (at && PyList_Append(keep, memory) < 0)
		at = NULL;
	Py_XDECREF(memory);
	return at ? memset(at, 0, size) : NULL;
}

int string_converter(PyObject *value, void *out)
{
	int r = PyUnicode_FSConverter(value, out);

	if (r != 0 || !PyErr_ExceptionMatches(PyExc_ValueError))
		return r;
	PyErr_Clear();
	CLEAN_OBJECT PyObject *shown = PyObject_ASCII(value);
	CLEAN_OBJECT PyObject *message = shown ? PyUnicode_FromFormat("%.200U: there is a NUL in it, or something that is no text", shown) : NULL;
	if (message)
		raise_text("argument", -EINVAL, message);
	return 0;
}

static int fill_string(PyObject *value, PyObject *keep, const char **out)
{
	CLEAN_OBJECT PyObject *bytes = NULL;

	if (value == Py_None) {
		*out = NULL;
		return 0;
	}
	if (!string_converter(value, &bytes) || PyList_Append(keep, bytes) < 0)
		return -1;
	*out = PyBytes_AsString(bytes);
	return 0;
}

int fields_strings(PyObject *value, PyObject *keep, const char *const **out)
{
	if (value == Py_None) {
		*out = NULL;
		return 0;
	}
	if (PyUnicode_Check(value) || PyBytes_Check(value)) {
		PyErr_SetString(PyExc_TypeError, "a list of strings is wanted, not one string");
		return -1;
	}
	CLEAN_OBJECT PyObject *list = PySequence_List(value);
	Py_ssize_t n = list ? PyList_Size(list) : 0;
	const char **strings = list ? keep_memory(keep, ((size_t)n + 1) * sizeof(*strings)) : NULL;
	if (!strings)
		return -1;
	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *item = PyList_GetItem(list, i);
		if (item == Py_None) {
			PyErr_SetString(PyExc_TypeError, "a string is wanted, not None");
			return -1;
		}
		if (fill_string(item, keep, &strings[i]) < 0)
			return -1;
	}
	*out = strings;
	return 0;
}

static int fill_nested(PyObject *value, PyObject *keep, const Nested *nested, void **out)
{
	if (value == Py_None) {
		*out = NULL;
		return 0;
	}
	void *at = keep_memory(keep, nested->size);
	if (!at)
		return -1;
	memcpy(at, &nested->size, sizeof(nested->size));
	*out = at;
	return fields_fill(at, nested->fields, value, keep);
}

static int fill_number(char *at, const Field *f, PyObject *value)
{
	if (f->type == FIELD_DOUBLE) {
		double number = PyFloat_AsDouble(value);
		memcpy(at, &number, sizeof(number));
	} else if (f->type == FIELD_U64) {
		uint64_t number = PyLong_AsUnsignedLongLong(value);
		memcpy(at, &number, sizeof(number));
	} else if (f->type == FIELD_I64) {
		int64_t number = PyLong_AsLongLong(value);
		memcpy(at, &number, sizeof(number));
	} else {
		unsigned long number = PyLong_AsUnsignedLong(value);
		unsigned word = (unsigned)number;
		if (!PyErr_Occurred() && number > UINT32_MAX)
			PyErr_Format(PyExc_OverflowError, "%s is too large", f->name);
		memcpy(at, &word, sizeof(word));
	}
	return PyErr_Occurred() ? -1 : 0;
}

static int fill_flag(char *at, const Field *f, PyObject *value)
{
	int set = PyObject_IsTrue(value);
	unsigned flags;

	if (set < 0)
		return -1;
	memcpy(&flags, at, sizeof(flags));
	flags |= set ? f->value : 0;
	memcpy(at, &flags, sizeof(flags));
	return 0;
}

static int fill_field(char *at, const Field *f, PyObject *value, PyObject *keep)
{
	switch (f->type) {
	case FIELD_STRING: return fill_string(value, keep, (const char **)(void *)at);
	case FIELD_STRINGS: return fields_strings(value, keep, (const char *const **)(void *)at);
	case FIELD_NESTED: return fill_nested(value, keep, f->nested, (void **)(void *)at);
	case FIELD_FLAG: return fill_flag(at, f, value);
	default: return fill_number(at, f, value);
	}
}

int fields_fill(void *out, const Field *fields, PyObject *dict, PyObject *keep)
{
	PyObject *key, *value;
	Py_ssize_t pos = 0;

	if (!dict || dict == Py_None)
		return 0;
	if (!PyDict_Check(dict)) {
		PyErr_SetString(PyExc_TypeError, "options are a dict");
		return -1;
	}
	while (PyDict_Next(dict, &pos, &key, &value)) {
		const Field *f = fields;
		while (f->name && (!PyUnicode_Check(key) || PyUnicode_CompareWithASCIIString(key, f->name) != 0))
			f++;
		if (!f->name) {
			PyErr_Format(PyExc_TypeError, "unknown option %R", key);
			return -1;
		}
		if (fill_field((char *)out + f->offset, f, value, keep) < 0)
			return -1;
	}
	return 0;
}

static const Field limits_fields[] = {
	{"best_effort", FIELD_FLAG, offsetof(BvLimits, flags), .value = BV_LIMITS_BEST_EFFORT},
	{"cpus", FIELD_DOUBLE, offsetof(BvLimits, cpus)},
	{"memory", FIELD_U64, offsetof(BvLimits, memory)},
	{"pids", FIELD_U64, offsetof(BvLimits, pids)},
	{"io_read", FIELD_U64, offsetof(BvLimits, io_read)},
	{"io_write", FIELD_U64, offsetof(BvLimits, io_write)},
	{"nofile", FIELD_U64, offsetof(BvLimits, nofile)},
	{"disk", FIELD_U64, offsetof(BvLimits, disk)},
	{"disk_files", FIELD_U64, offsetof(BvLimits, disk_files)},
	{0},
};
const Nested limits_option = {limits_fields, sizeof(BvLimits)};

static const Field key_fields[] = {
	{"key_file", FIELD_STRING, offsetof(BvKeyOptions, key_file)},
	{"passphrase_file", FIELD_STRING, offsetof(BvKeyOptions, passphrase_file)},
	{0},
};
const Nested key_option = {key_fields, sizeof(BvKeyOptions)};

/* ---- records ---- */

static PyObject *string_object(const char *text)
{
	return text ? PyUnicode_DecodeFSDefault(text) : object_ref(Py_None);
}

static PyObject *strings_object(const char *const *list)
{
	Py_ssize_t n = 0;

	while (list && list[n])
		n++;
	CLEAN_OBJECT PyObject *tuple = PyTuple_New(n);
	for (Py_ssize_t i = 0; tuple && i < n; i++) {
		PyObject *item = string_object(list[i]);
		if (!item || PyTuple_SetItem(tuple, i, item) < 0)
			return NULL;
	}
	return object_take(&tuple);
}

static PyObject *name_object(unsigned value, const FieldName *names)
{
	for (; names->name; names++)
		if (names->value == value)
			return PyUnicode_FromString(names->name);
	return PyUnicode_FromFormat("%u", value); /* of a newer library */
}

static PyObject *names_object(unsigned bits, const FieldName *names)
{
	CLEAN_OBJECT PyObject *list = PyList_New(0);

	for (; list && names->name; names++) {
		CLEAN_OBJECT PyObject *name = bits & names->value ? PyUnicode_FromString(names->name) : NULL;
		if (bits & names->value && (!name || PyList_Append(list, name) < 0))
			return NULL;
	}
	return list ? PyList_AsTuple(list) : NULL;
}

static PyObject *file_type_object(unsigned mode)
{
	static const FieldName types[] = {{S_IFREG, "file"}, {S_IFDIR, "directory"}, {S_IFLNK, "symlink"}, {S_IFIFO, "fifo"}, {S_IFSOCK, "socket"},
					  {S_IFCHR, "character device"}, {S_IFBLK, "block device"}, {0, NULL}};

	return mode == 0 ? object_ref(Py_None) : name_object(mode & S_IFMT, types);
}

static PyObject *time_object(const char *at)
{
	int64_t seconds;
	long nanoseconds;

	memcpy(&seconds, at, sizeof(seconds));
	memcpy(&nanoseconds, at + sizeof(seconds), sizeof(nanoseconds));
	return PyFloat_FromDouble((double)seconds + (double)nanoseconds / 1e9);
}

static PyObject *field_object(const char *at, const Field *f)
{
	const void *pointer = at;

	switch (f->type) {
	case FIELD_STRING: return string_object(*(const char *const *)pointer);
	case FIELD_STRINGS: return strings_object(*(const char *const *const *)pointer);
	case FIELD_TEXT: return string_object(at);
	case FIELD_INT: return PyLong_FromLong(*(const int *)pointer);
	case FIELD_UINT: return PyLong_FromUnsignedLong(*(const unsigned *)pointer);
	case FIELD_U64: return PyLong_FromUnsignedLongLong(*(const uint64_t *)pointer);
	case FIELD_I64: return PyLong_FromLongLong(*(const int64_t *)pointer);
	case FIELD_DOUBLE: return PyFloat_FromDouble(*(const double *)pointer);
	case FIELD_BOOL: return PyBool_FromLong(*(const int *)pointer);
	case FIELD_FLAG: return PyBool_FromLong((*(const unsigned *)pointer & f->value) != 0);
	case FIELD_NAMES: return names_object(*(const unsigned *)pointer, f->names);
	case FIELD_NAME: return name_object(*(const unsigned *)pointer, f->names);
	case FIELD_LETTER: return PyUnicode_FromStringAndSize(at, 1);
	case FIELD_TIME: return time_object(at);
	case FIELD_FILE_TYPE: return file_type_object(*(const unsigned *)pointer);
	case FIELD_NESTED: break;
	}
	PyErr_SetString(PyExc_SystemError, "a table of fields is wrong");
	return NULL;
}

static size_t count_fields(const Field *fields)
{
	size_t n = 0;

	while (fields[n].name)
		n++;
	return n;
}

int record_register(PyObject *module, Record *record)
{
	size_t n = count_fields(record->fields);
	PyStructSequence_Field *fields = PyMem_Calloc(n + 1, sizeof(*fields));

	if (!fields) {
		PyErr_NoMemory();
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		fields[i] = (PyStructSequence_Field){record->fields[i].name, record->fields[i].doc};
	PyStructSequence_Desc desc = {.name = record->name, .doc = record->doc, .fields = fields, .n_in_sequence = (int)n};
	record->type = PyStructSequence_NewType(&desc);
	PyMem_Free(fields);
	return record->type && PyModule_AddObject(module, record->name + strlen("bvisor."), object_ref((PyObject *)record->type)) == 0 ? 0 : -1;
}

PyObject *record_new(const Record *record, const void *from)
{
	CLEAN_OBJECT PyObject *object = PyStructSequence_New(record->type);

	for (Py_ssize_t i = 0; object && record->fields[i].name; i++) {
		PyObject *value = field_object((const char *)from + record->fields[i].offset, &record->fields[i]);
		if (!value)
			return NULL;
		PyStructSequence_SetItem(object, i, value);
	}
	return object_take(&object);
}

/* ---- visits ---- */

int visit_append(Visit *visit, const void *item)
{
	PyEval_RestoreThread(visit->thread);
	PyObject *record = record_new(visit->record, item);
	int r = !record || PyList_Append(visit->list, record) < 0 || PyErr_CheckSignals() < 0 ? -ECANCELED : 0;
	Py_XDECREF(record);
	visit->thread = PyEval_SaveThread();
	return r;
}

PyObject *visit_end(Visit *visit, const char *op, int result, BvError *err)
{
	CLEAN_OBJECT PyObject *list = visit->list;

	if (PyErr_Occurred() || !list) {
		bv_error_free(err);
		return NULL;
	}
	if (result < 0)
		return raise_error(op, result, err);
	bv_error_free(err);
	return object_take(&list);
}
