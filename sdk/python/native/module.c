/* module.c - the module bvisor._native: its functions and types, and how errors become exceptions. */
#include "native.h"

#include <errno.h>
#include <string.h>

/* bvisor._errors.from_library(op, errno, message, stage) -> exception. */
static PyObject *error_factory;

PyObject *set_error_factory(PyObject *module, PyObject *factory)
{
	(void)module;
	Py_XDECREF(error_factory);
	error_factory = object_ref(factory);
	return object_ref(Py_None);
}

static PyObject *raise_staged(const char *op, int code, PyObject *message, const char *stage)
{
	CLEAN_OBJECT PyObject *exception = message && error_factory ? PyObject_CallFunction(error_factory, "siOs", op, -code, message, stage) : NULL;

	if (exception)
		PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
	else if (!PyErr_Occurred())
		PyErr_SetString(PyExc_SystemError, op);
	return NULL;
}

PyObject *raise_text(const char *op, int code, PyObject *message)
{
	return raise_staged(op, code, message, "");
}

PyObject *raise_error(const char *op, int code, BvError *err)
{
	const char *message = bv_error_message(err);
	CLEAN_OBJECT PyObject *text = PyUnicode_DecodeFSDefault(message[0] ? message : strerror(-code));

	raise_staged(op, code, text, bv_error_stage(err));
	bv_error_free(err);
	return NULL;
}

static PyObject *version(PyObject *module, PyObject *none)
{
	(void)module, (void)none;
	return PyUnicode_FromString(bv_version());
}

static PyMethodDef own_methods[] = {
	{"version", version, METH_NOARGS, NULL},
	{"set_error_factory", set_error_factory, METH_O, NULL},
	{"close", handle_close, METH_O, NULL},
	{"tie", handle_tie, METH_VARARGS, NULL},
	{"after_fork", handle_after_fork, METH_NOARGS, NULL},
	{0},
};

static int add_records(PyObject *module, Record *const *records)
{
	int r = 0;

	for (; *records && r == 0; records++)
		r = record_register(module, *records);
	return r;
}

static int fill_module(PyObject *module)
{
	PyMethodDef *const methods[] = {own_methods, sandbox_methods, process_methods, snapshot_methods, file_methods};
	Record *const *const records[] = {sandbox_records, process_records, snapshot_records, file_records};
	int r = handle_register(module);

	for (size_t i = 0; i < ARRAY_LEN(methods) && r == 0; i++)
		r = PyModule_AddFunctions(module, methods[i]);
	for (size_t i = 0; i < ARRAY_LEN(records) && r == 0; i++)
		r = add_records(module, records[i]);
	return r;
}

PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void)
{
	static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "bvisor._native", .m_doc = "bvisor.h for Python.", .m_size = -1};
	CLEAN_OBJECT PyObject *module = PyModule_Create(&definition);

	return module && fill_module(module) == 0 ? object_take(&module) : NULL;
}
