/* native.h - the C half of the Python package: bvisor.h as functions of the module bvisor._native, on CPython's limited API.
 *
 * Handles. A BvSandbox, BvProcess or BvWatch is a `Handle`, a Python object. A function takes it between handle_enter and handle_leave; closing one that another
 * thread is in takes effect when that thread leaves. A sandbox is closed when the last handle of its processes and watches is. All counts are protected by the GIL.
 *
 * The GIL is released in every call of the library that may wait, and taken back for each item of a visit (VISIT_BEGIN).
 *
 * Tables. What Python gives as a dict becomes an option struct, and what a visit shows becomes a struct sequence, by the same tables of fields (Field): offsets and types are the
 * compiler's, nothing of the header is written a second time. */
#ifndef NATIVE_H
#define NATIVE_H

#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <bvisor/bvisor.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void object_release(PyObject **object)
{
	Py_XDECREF(*object);
}
static inline PyObject *object_ref(PyObject *object) /* Py_NewRef is of 3.10 */
{
	Py_INCREF(object);
	return object;
}
#define CLEAN_OBJECT __attribute__((cleanup(object_release)))
static inline PyObject *object_take(PyObject **object)
{
	PyObject *taken = *object;

	*object = NULL;
	return taken;
}

/* ---- tables of fields (fields.c) ---- */

typedef enum FieldType {
	FIELD_STRING,	/* const char *: str, bytes or path; None is NULL */
	FIELD_STRINGS,	/* const char *const *: an iterable of these; as a result a tuple, empty for NULL */
	FIELD_TEXT,	/* char[] in the struct itself; result only */
	FIELD_INT,	/* int, pid_t */
	FIELD_UINT,	/* unsigned, uint32_t */
	FIELD_U64,	/* uint64_t, size_t */
	FIELD_I64,
	FIELD_DOUBLE,
	FIELD_BOOL,	/* int as bool; result only */
	FIELD_FLAG,	/* `value` set in an unsigned, as bool */
	FIELD_NAMES,	/* the set bits of an unsigned, each by its name in `names`, as a tuple; result only */
	FIELD_NAME,	/* an enum: that of `names` whose value it is, as str; result only */
	FIELD_LETTER,	/* a char as str; result only */
	FIELD_TIME,	/* int64_t seconds and long nanoseconds after it, as float; result only */
	FIELD_NESTED,	/* pointer to a struct, from a dict; options only */
	FIELD_FILE_TYPE, /* a mode as the name of its file type, None for 0; result only */
} FieldType;

typedef struct FieldName {
	unsigned value;
	const char *name;
} FieldName;

typedef struct Nested {
	const struct Field *fields; /* ends with a name NULL */
	size_t size;
} Nested;

typedef struct Field {
	const char *name;
	FieldType type;
	size_t offset;
	const char *doc;	/* of a result */
	unsigned value;		/* FIELD_FLAG */
	const FieldName *names; /* FIELD_NAME, FIELD_NAMES; ends with a name NULL */
	const Nested *nested;
} Field;

extern const Nested limits_option, key_option;

/* As PyUnicode_FSConverter, but text that the library cannot be given (a NUL, half a character) is an InvalidArgument that shows it. */
int string_converter(PyObject *value, void *out);
/* Fills what is in `dict` (NULL or None: nothing) into a struct that begins with size; `keep` (a list) gets what the struct then points into. -1: an exception is set. */
int fields_fill(void *out, const Field *fields, PyObject *dict, PyObject *keep);
/* A list of strings as in FIELD_STRINGS. NULL with an exception, or for None. */
int fields_strings(PyObject *value, PyObject *keep, const char *const **out);

/* A kind of result. `type` is made with the module (record_register). */
typedef struct Record {
	const char *name; /* "bvisor.NAME" */
	const char *doc;
	const Field *fields; /* ends with a name NULL */
	PyTypeObject *type;
} Record;
int record_register(PyObject *module, Record *record);
PyObject *record_new(const Record *record, const void *from);

/* ---- visits ---- */

typedef struct Visit {
	const Record *record;
	PyObject *list;
	PyThreadState *thread; /* of the caller, while it is in the library */
} Visit;
/* Appends a record of the item. -ECANCELED: an exception is set. */
int visit_append(Visit *visit, const void *item);
/* The callback of visits that are shown a TYPE: append_TYPE, with a Visit as ctx. */
#define DEFINE_VISIT(type) \
	static int append_##type(void *ctx, const type *item) \
	{ \
		return visit_append(ctx, item); \
	} \
	_Static_assert(true, "a semicolon may follow")
/* The end of it: the list, or NULL with an exception. Takes `list` and `err` over. */
PyObject *visit_end(Visit *visit, const char *op, int result, BvError *err);

/* `call` is an expression that calls the library, with `visit` and `err` in it. */
#define VISIT_LIST(handle, of, op, call) \
	__extension__({ \
		Visit visit = {.record = (of), .list = PyList_New(0)}; \
		BvError *err = NULL; \
		int result_ = -ENOMEM; \
		if (visit.list) { \
			visit.thread = PyEval_SaveThread(); \
			result_ = (call); \
			PyEval_RestoreThread(visit.thread); \
		} \
		if (handle) \
			handle_leave(handle); \
		visit_end(&visit, op, result_, err); \
	})

/* Sets the exception that the package has for what went wrong (`op`: which call; see bvisor/_errors.py), and frees err. NULL, always. */
PyObject *raise_error(const char *op, int code, BvError *err);
/* The same with a text of our own. */
PyObject *raise_text(const char *op, int code, PyObject *message);
PyObject *set_error_factory(PyObject *module, PyObject *factory);

/* ---- handles (handle.c) ---- */

typedef enum HandleKind { HANDLE_SANDBOX, HANDLE_PROCESS, HANDLE_WATCH } HandleKind;

typedef struct Handle {
	PyObject_HEAD
	HandleKind kind;
	void *object;		/* NULL: closed */
	struct Handle *parent;	/* the sandbox; a reference */
	struct Handle *next, **link; /* all open ones */
	unsigned calls, children;
	bool closing;
	bool tied; /* a process: closing ends the command */
} Handle;

int handle_register(PyObject *module);
/* Takes `object` over, and closes it on failure. parent is NULL for a sandbox. */
PyObject *handle_new(HandleKind kind, void *object, Handle *parent);
/* The object, for use until handle_leave; NULL with an exception: it is closed, or `arg` is no such handle. */
void *handle_enter(PyObject *arg, HandleKind kind, Handle **out);
void handle_leave(Handle *handle);
PyObject *handle_close(PyObject *module, PyObject *arg);
PyObject *handle_tie(PyObject *module, PyObject *args);
/* In the child of a fork: gives up every handle without a word to the supervisors, which go on serving the parent. */
PyObject *handle_after_fork(PyObject *module, PyObject *none);

/* ---- functions of the module, by the files that they are in ---- */

extern PyMethodDef sandbox_methods[], process_methods[], snapshot_methods[], file_methods[];
extern Record *const sandbox_records[], *const process_records[], *const snapshot_records[], *const file_records[];

#endif
