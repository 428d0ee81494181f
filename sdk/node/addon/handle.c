/* handle.c - sandboxes, commands and watches with several users: JavaScript objects, which the collector may take at any time, and jobs. */
#include "addon.h"

#include <signal.h>
#include <sys/eventfd.h>

/* ---- sandboxes ---- */

SandboxRef *sandbox_new(BvSandbox *handle)
{
	SandboxRef *s = calloc(1, sizeof(*s));

	if (!s) {
		bv_sandbox_close(handle);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->left, NULL);
	s->handle = handle;
	return s;
}

SandboxRef *sandbox_get(SandboxRef *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void sandbox_put(SandboxRef *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	bv_sandbox_close(s->handle);
	pthread_cond_destroy(&s->left);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

bool sandbox_enter(SandboxRef *s)
{
	pthread_mutex_lock(&s->mu);
	bool open = !s->closing;
	s->inside += open;
	pthread_mutex_unlock(&s->mu);
	return open;
}

void sandbox_leave(SandboxRef *s)
{
	pthread_mutex_lock(&s->mu);
	s->inside--;
	pthread_cond_broadcast(&s->left);
	pthread_mutex_unlock(&s->mu);
}

/* ---- commands and watches ---- */

static void child_destroy(Child *c)
{
	child_close(c);
	pthread_mutex_destroy(&c->use);
	free(c);
}

Child *child_new(SandboxRef *s, BvProcess *process, BvWatch *watch, int wake, int terminal)
{
	Child *c = calloc(1, sizeof(*c));

	if (!c) {
		bv_process_close(process);
		bv_watch_close(watch);
		bv_close_fd(&wake);
		bv_close_fd(&terminal);
		return NULL;
	}
	*c = (Child){.refs = 1, .process = process, .watch = watch, .wake = wake, .terminal = terminal};
	pthread_mutex_init(&c->use, NULL);
	pthread_mutex_lock(&s->mu);
	bool open = !s->closing;
	if (open) {
		c->sandbox = sandbox_get(s);
		c->next = s->children;
		s->children = c;
	}
	pthread_mutex_unlock(&s->mu);
	if (open)
		return c;
	if (process)
		IGNORE_RESULT(bv_process_kill(process, SIGKILL, NULL)); /* sandbox_shut has not seen it */
	child_destroy(c);
	return NULL;
}

void child_get(Child *c)
{
	pthread_mutex_lock(&c->sandbox->mu);
	c->refs++;
	pthread_mutex_unlock(&c->sandbox->mu);
}

void child_put(Child *c)
{
	SandboxRef *s = c ? c->sandbox : NULL;

	if (!c)
		return;
	pthread_mutex_lock(&s->mu);
	bool last = --c->refs == 0;
	for (Child **p = &s->children; last && *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	pthread_mutex_unlock(&s->mu);
	if (!last)
		return;
	child_destroy(c);
	sandbox_put(s);
}

void child_close(Child *c)
{
	pthread_mutex_lock(&c->use);
	bv_process_close(TAKE_PTR(c->process));
	bv_watch_close(TAKE_PTR(c->watch));
	bv_close_fd(&c->wake);
	bv_close_fd(&c->terminal);
	pthread_mutex_unlock(&c->use);
}

/* Whoever waits for its end or its events goes on at once. */
static void child_stop(Child *c)
{
	pthread_mutex_lock(&c->use);
	if (c->process)
		IGNORE_RESULT(bv_process_kill(c->process, SIGKILL, NULL));
	if (c->wake >= 0)
		IGNORE_RESULT(eventfd_write(c->wake, 1));
	pthread_mutex_unlock(&c->use);
}

/* ---- the end ---- */

/* No child comes any more. The lock is not held over a question to the supervisor, which may be slow: the event loop's thread takes it, too. */
static void stop_children(SandboxRef *s)
{
	size_t n = 0, at = 0;

	pthread_mutex_lock(&s->mu);
	for (Child *c = s->children; c; c = c->next)
		n++;
	CLEAN_FREE Child **all = calloc(n + 1, sizeof(Child *)); /* without memory the commands end when the connection closes */
	for (Child *c = s->children; all && c; c = c->next) {
		c->refs++;
		all[at++] = c;
	}
	pthread_mutex_unlock(&s->mu);
	for (size_t i = 0; i < at; i++) {
		child_stop(all[i]);
		child_put(all[i]);
	}
}

/* Nobody is in it, so the objects of the library have no users left; JavaScript may hold the children for long. */
static void close_children(SandboxRef *s)
{
	for (Child *c = s->children; c; c = c->next)
		child_close(c);
}

void sandbox_shut(SandboxRef *s)
{
	pthread_mutex_lock(&s->mu);
	bool first = !s->closing;
	s->closing = true;
	pthread_mutex_unlock(&s->mu);
	if (first)
		stop_children(s);
	pthread_mutex_lock(&s->mu);
	while (s->inside > 0)
		pthread_cond_wait(&s->left, &s->mu);
	close_children(s);
	bv_sandbox_close(TAKE_PTR(s->handle));
	pthread_mutex_unlock(&s->mu);
}
