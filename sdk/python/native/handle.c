/* handle.c - the Python objects that own what the library handed over (native.h). */
#include "native.h"

#include <errno.h>

static PyTypeObject *handle_type;
static Handle *open_handles;

static void unlink_handle(Handle *h)
{
	if (!h->link)
		return;
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	h->link = NULL;
	h->next = NULL;
}

static void link_handle(Handle *h)
{
	h->next = open_handles;
	h->link = &open_handles;
	if (h->next)
		h->next->link = &h->next;
	open_handles = h;
}

static void close_object(HandleKind kind, void *object, bool end_command)
{
	switch (kind) {
	case HANDLE_SANDBOX: bv_sandbox_close(object); break;
	case HANDLE_PROCESS:
		if (end_command)
			(void)bv_process_kill(object, 9, NULL);
		bv_process_close(object);
		break;
	case HANDLE_WATCH: bv_watch_close(object); break;
	}
}

static void close_now(Handle *h, bool in_dealloc)
{
	void *object = h->object;
	Handle *parent = h->parent;

	h->object = NULL;
	h->parent = NULL;
	unlink_handle(h);
	if (in_dealloc) { /* the GIL must not be released there */
		close_object(h->kind, object, h->tied);
	} else {
		if (parent)
			parent->calls++; /* a fork now must leave the sandbox alone (abandon) */
		Py_BEGIN_ALLOW_THREADS
		close_object(h->kind, object, h->tied);
		Py_END_ALLOW_THREADS
		if (parent)
			parent->calls--;
	}
	if (!parent)
		return;
	parent->children--;
	if (parent->closing && parent->object && parent->children == 0 && parent->calls == 0)
		close_now(parent, in_dealloc);
	Py_DECREF(parent);
}

static void close_handle(Handle *h)
{
	if (h->closing || !h->object)
		return;
	h->closing = true;
	for (Handle *child = open_handles, *next; h->kind == HANDLE_SANDBOX && child; child = next) {
		next = child->next;
		if (child->parent != h || child->closing)
			continue;
		child->closing = true;
		if (child->calls == 0) {
			Py_INCREF(h); /* the child's may be the last reference */
			close_now(child, true);
			Py_DECREF(h);
		}
	}
	if (h->object && h->calls == 0 && h->children == 0)
		close_now(h, false);
}

PyObject *handle_close(PyObject *module, PyObject *arg)
{
	(void)module;
	if (!PyObject_TypeCheck(arg, handle_type)) {
		PyErr_SetString(PyExc_TypeError, "a handle is wanted");
		return NULL;
	}
	close_handle((Handle *)arg);
	return object_ref(Py_None);
}

PyObject *handle_tie(PyObject *module, PyObject *args)
{
	PyObject *arg;
	int tied;

	(void)module;
	if (!PyArg_ParseTuple(args, "O!p", (PyObject *)handle_type, &arg, &tied))
		return NULL;
	((Handle *)arg)->tied = tied;
	return object_ref(Py_None);
}

void *handle_enter(PyObject *arg, HandleKind kind, Handle **out)
{
	static const char *const names[] = {"sandbox", "process", "watch"};
	Handle *h = (Handle *)arg;

	if (!PyObject_TypeCheck(arg, handle_type) || h->kind != kind) {
		PyErr_Format(PyExc_TypeError, "a handle of a %s is wanted", names[kind]);
		return NULL;
	}
	if (!h->object || h->closing) {
		raise_error("closed", -EBADF, NULL);
		return NULL;
	}
	h->calls++;
	Py_INCREF(h);
	*out = h;
	return h->object;
}

void handle_leave(Handle *h)
{
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	h->calls--;
	if (h->closing && h->object && h->calls == 0 && h->children == 0)
		close_now(h, false);
	Py_DECREF(h);
	PyErr_Restore(type, value, traceback);
}

PyObject *handle_new(HandleKind kind, void *object, Handle *parent)
{
	allocfunc alloc = (allocfunc)PyType_GetSlot(handle_type, Py_tp_alloc);
	bool late = parent && parent->closing; /* the sandbox was closed while this was made */
	Handle *h = late ? NULL : (Handle *)alloc(handle_type, 0);

	if (!h) {
		close_object(kind, object, true);
		return late ? raise_error("closed", -EBADF, NULL) : NULL;
	}
	h->kind = kind;
	h->object = object;
	h->parent = parent;
	if (parent) {
		Py_INCREF(parent);
		parent->children++;
	}
	link_handle(h);
	return (PyObject *)h;
}

static void handle_dealloc(PyObject *self)
{
	Handle *h = (Handle *)self;
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	if (h->object)
		close_now(h, true);
	release(self);
	Py_DECREF(type);
}

/* ---- fork ---- */

static bool is_used(const Handle *h)
{
	bool used = h->calls > 0 || (h->parent && h->parent->calls > 0);

	for (const Handle *other = open_handles; other && !used; other = other->next)
		used = other->calls > 0 && (other->parent == h || (h->parent && other->parent == h->parent));
	return used;
}

/* What another thread was in when this process was forked may hold a lock for ever here: it is left as it is, with its descriptors. Else closing takes the child's copies of those
 * away, so that the sandbox ends when the parent closes it. A tied command is the parent's. */
static void abandon(Handle *h)
{
	void *object = h->object;
	Handle *parent = h->parent;

	h->object = NULL;
	h->closing = true;
	h->parent = NULL;
	if (object)
		close_object(h->kind, object, false);
	if (parent) {
		parent->children--;
		Py_DECREF(parent);
	}
}

PyObject *handle_after_fork(PyObject *module, PyObject *none)
{
	(void)module, (void)none;
	for (Handle *h = open_handles; h; h = h->next) {
		Py_INCREF(h); /* none goes while the list is walked */
		h->tied = is_used(h); /* of no other use any more */
	}
	for (Handle *h = open_handles; h; h = h->next)
		if (h->tied)
			h->object = NULL;
	for (int pass = 0; pass < 2; pass++)
		for (Handle *h = open_handles, *next; h; h = next) {
			next = h->next;
			if ((h->kind == HANDLE_SANDBOX) == (pass == 1))
				abandon(h);
		}
	while (open_handles) {
		Handle *h = open_handles;
		unlink_handle(h);
		Py_DECREF(h);
	}
	return object_ref(Py_None);
}

int handle_register(PyObject *module)
{
	static PyType_Slot slots[] = {{Py_tp_dealloc, handle_dealloc}, {Py_tp_doc, (void *)(uintptr_t)"A sandbox, process or watch of the library."}, {0, NULL}};
	static PyType_Spec spec = {.name = "bvisor._native.Handle", .basicsize = sizeof(Handle), .flags = Py_TPFLAGS_DEFAULT, .slots = slots};

	handle_type = (PyTypeObject *)PyType_FromSpec(&spec);
	return handle_type && PyModule_AddObject(module, "Handle", object_ref((PyObject *)handle_type)) == 0 ? 0 : -1;
}
