/* file_ops.c - files of a sandbox. */
#include "addon.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

static unsigned file_flags(const Job *job)
{
	static const struct {
		const char *name;
		unsigned flag;
	} all[] = {{"append", BV_FILE_APPEND}, {"exclusive", BV_FILE_EXCLUSIVE}, {"parents", BV_FILE_PARENTS}, {"noFollow", BV_FILE_NO_FOLLOW}, {"recursive", BV_FILE_RECURSIVE},
		   {"noReplace", BV_FILE_NO_REPLACE}};
	unsigned flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (arg_flag(job, all[i].name))
			flags |= all[i].flag;
	return flags;
}

/* ---- whole files ---- */

/* A file may be larger than it said, while a command writes to it. */
static int read_all(Job *job, int fd)
{
	struct stat st;
	size_t room = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536;

	for (;;) {
		char *more = realloc(job->bytes, room);
		if (!more)
			return -ENOMEM;
		job->bytes = more;
		ssize_t n = bv_read_full(fd, job->bytes + job->n_bytes, room - job->n_bytes);
		if (n < 0)
			return (int)n;
		job->n_bytes += (size_t)n;
		if (job->n_bytes < room)
			return 0;
		room *= 2;
	}
}

static int read_file(Job *job)
{
	CLEAN_FD int fd = -1;
	int r = bv_sandbox_open_file(job->sandbox->handle, arg_text(job, "path"), &fd, &job->err);

	return r < 0 ? r : read_all(job, fd);
}

static int write_file(Job *job)
{
	return bv_sandbox_write_file(job->sandbox->handle, arg_text(job, "path"), job->data, job->len, file_flags(job), (mode_t)arg_number(job, "mode", 0666), &job->err);
}

/* ---- names ---- */

static int make_dir(Job *job)
{
	return bv_sandbox_make_dir(job->sandbox->handle, arg_text(job, "path"), file_flags(job), (mode_t)arg_number(job, "mode", 0777), &job->err);
}

static int remove_file(Job *job)
{
	return bv_sandbox_remove_file(job->sandbox->handle, arg_text(job, "path"), file_flags(job), &job->err);
}

static int rename_file(Job *job)
{
	return bv_sandbox_rename_file(job->sandbox->handle, arg_text(job, "path"), arg_text(job, "to"), file_flags(job), &job->err);
}

static int stat_file(Job *job)
{
	return bv_sandbox_stat(job->sandbox->handle, arg_text(job, "path"), file_flags(job), add_entry, out_list(job), &job->err);
}

static int list_dir(Job *job)
{
	BvListOptions o = BV_LIST_OPTIONS_INIT;

	o.flags = arg_flag(job, "recursive") ? BV_LIST_RECURSIVE : 0;
	return bv_sandbox_list_dir(job->sandbox->handle, arg_text(job, "path"), &o, add_entry, out_list(job), &job->err);
}

static int read_link(Job *job)
{
	char target[4096];
	ssize_t n = bv_sandbox_readlink(job->sandbox->handle, arg_text(job, "path"), target, sizeof(target), &job->err);

	if (n < 0)
		return (int)n;
	add_text(out_object(job), "target", target);
	return 0;
}

/* ---- watches ---- */

static int start_watch(Job *job)
{
	CLEAN_FD int wake = eventfd(0, EFD_CLOEXEC);
	BvWatch *watch = NULL;
	int r = wake < 0 ? bv_neg_errno() : bv_sandbox_watch(job->sandbox->handle, arg_text(job, "path"), arg_flag(job, "recursive"), &watch, &job->err);

	if (r < 0)
		return r;
	job->born = child_new(job->sandbox, NULL, watch, TAKE_FD(wake), -1);
	return job->born ? 0 : -EBADF;
}

static int add_event(void *list, const BvWatchEvent *event)
{
	static const struct {
		unsigned bit;
		const char *name;
	} all[] = {{BV_WATCH_CREATED, "created"}, {BV_WATCH_MODIFIED, "modified"}, {BV_WATCH_REMOVED, "removed"}, {BV_WATCH_RENAMED, "renamed"}, {BV_WATCH_ATTRIB, "attributes"},
		   {BV_WATCH_OVERFLOW, "overflow"}};
	const char *what[ARRAY_LEN(all) + 1] = {NULL};
	cJSON *o = add_object(list);
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (event->what & all[i].bit)
			what[n++] = all[i].name;
	add_text(o, "path", event->path);
	add_text(o, "oldPath", event->old_path);
	add_texts(o, "what", what);
	return 0;
}

/* An empty list: it was stopped. */
static int next_events(Job *job)
{
	Child *c = job->child;
	cJSON *list = out_list(job);
	int r = 0;

	while (r == 0 && c->watch) {
		struct pollfd polls[] = {{.fd = bv_watch_fd(c->watch), .events = POLLIN}, {.fd = c->wake, .events = POLLIN}};
		if (poll(polls, ARRAY_LEN(polls), -1) < 0 && errno != EINTR)
			return bv_neg_errno();
		if (polls[1].revents)
			break;
		r = bv_watch_read(c->watch, 0, add_event, list, &job->err);
	}
	return MIN(r, 0);
}

static int stop_watch(Job *job)
{
	pthread_mutex_lock(&job->child->use);
	if (job->child->wake >= 0)
		IGNORE_RESULT(eventfd_write(job->child->wake, 1));
	pthread_mutex_unlock(&job->child->use);
	return 0;
}

/* When no next_events is under way. */
static int close_watch(Job *job)
{
	child_close(job->child);
	return 0;
}

const Op file_ops[] = {
	{"file.read", OP_SANDBOX, read_file},
	{"file.write", OP_SANDBOX, write_file},
	{"file.makeDir", OP_SANDBOX, make_dir},
	{"file.remove", OP_SANDBOX, remove_file},
	{"file.rename", OP_SANDBOX, rename_file},
	{"file.stat", OP_SANDBOX, stat_file},
	{"file.list", OP_SANDBOX, list_dir},
	{"file.readlink", OP_SANDBOX, read_link},
	{"watch.start", OP_SANDBOX, start_watch},
	{"watch.next", OP_CHILD | OP_OWN_THREAD, next_events},
	{"watch.stop", OP_CHILD, stop_watch},
	{"watch.close", OP_CHILD, close_watch},
	{NULL, 0, NULL},
};
