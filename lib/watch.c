/* lib/watch.c - bv_sandbox_watch: a process of bvisor's own in the sandbox sends what happens (supervisor/builtin_watch.c), one packet an event.
 *
 * The packets come from the sandbox: their lengths are checked. */
#include "lib/files.h"
#include "lib/process.h"
#include "supervisor/control.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#define BATCH 1024 /* events of one call, whatever comes meanwhile */

_Static_assert(FILE_CREATED == (int)BV_WATCH_CREATED && FILE_MODIFIED == (int)BV_WATCH_MODIFIED && FILE_REMOVED == (int)BV_WATCH_REMOVED && FILE_RENAMED == (int)BV_WATCH_RENAMED && FILE_ATTRIB == (int)BV_WATCH_ATTRIB &&
		       FILE_OVERFLOW == (int)BV_WATCH_OVERFLOW,
	       "what happened goes through as it is");

typedef struct Event {
	FileEvent head;
	char text[2 * UINT16_MAX]; /* as received: path and old path, without NULs */
	char path[UINT16_MAX + 1], old[UINT16_MAX + 1];
} Event;

struct BvWatch {
	BvSandbox *sb;
	BvProcess *process;
	int fd;
	char *path;
	Event event; /* the last one received */
};

void bv_watch_close(BvWatch *w)
{
	if (!w)
		return;
	bv_close_fd(&w->fd); /* the process there ends, too */
	bv_process_close(w->process);
	free(w->path);
	free(w);
}

static void watch_cleanup(BvWatch **w)
{
	bv_watch_close(*w);
}

/* 1: w->event is the next one; 0: there is none now; -ENOTCONN: nor will there be; -EPROTO. */
static int receive(BvWatch *w)
{
	Event *e = &w->event;
	ssize_t n = recv(w->fd, e, sizeof(e->head) + sizeof(e->text), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ENOTCONN;
	if (n < (ssize_t)sizeof(e->head) || (size_t)n - sizeof(e->head) != (size_t)e->head.path_len + e->head.old_len)
		return -EPROTO;
	memcpy(e->path, e->text, e->head.path_len);
	e->path[e->head.path_len] = '\0';
	memcpy(e->old, e->text + e->head.path_len, e->head.old_len);
	e->old[e->head.old_len] = '\0';
	return 1;
}

/* Why there is no event any more. */
static int reason(BvWatch *w, BvError **err)
{
	const FileCall c = {.path = w->path};
	int r = file_end(w->sb, &c, w->process, err);

	return r < 0 ? r : lib_fail(err, -ENOENT, "%s in sandbox '%s' has been removed or moved: nothing is watched any more", w->path, bv_sandbox_name(w->sb));
}

static int wait_for_event(const BvWatch *w, int timeout_ms)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	uint64_t deadline = bv_now_ns() + (uint64_t)MAX(timeout_ms, 0) * 1000000;
	int n;

	while ((n = poll(&p, 1, timeout_ms)) < 0 && errno == EINTR) {
		uint64_t now = bv_now_ns();
		if (timeout_ms >= 0)
			timeout_ms = now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;
	}
	return n < 0 ? bv_neg_errno() : n;
}

/* Until all that is to be watched is. */
static int wait_until_watched(BvWatch *w, BvError **err)
{
	int r = wait_for_event(w, -1);

	if (r > 0)
		r = receive(w);
	if (r == 1 && w->event.head.what == 0)
		return 0;
	return r == -ENOTCONN ? reason(w, err) : lib_fail(err, r < 0 ? r : -EPROTO, "%s: the answer from the sandbox makes no sense", w->path);
}

int bv_sandbox_watch(BvSandbox *sb, const char *path, int recursive, BvWatch **out, BvError **err)
{
	__attribute__((cleanup(watch_cleanup))) BvWatch *w = calloc(1, sizeof(*w));
	int pair[2];

	if (!w)
		return lib_fail(err, -ENOMEM, "out of memory");
	w->fd = -1;
	w->sb = sb;
	w->path = strdup(path);
	if (!w->path)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return lib_fail(err, bv_neg_errno(), "cannot make a socket: %s", strerror(errno));
	CLEAN_FD int theirs = pair[1];
	w->fd = lib_own_fd(pair[0]);
	if (w->fd < 0)
		return lib_fail(err, bv_neg_errno(), "cannot keep a socket: %s", strerror(errno));
	const FileCall c = {.call = "watch", .path = path, .flags = recursive ? BV_FILE_RECURSIVE : 0, .allowed = BV_FILE_RECURSIVE, .fd = theirs};
	int r = file_begin(sb, &c, &w->process, err);
	bv_close_fd(&theirs); /* or the end would never be seen */
	if (r == 0 && (r = process_ask_end(w->process)) < 0)
		r = lib_fail(err, r, "cannot watch %s: %s", path, strerror(-r));
	if (r == 0)
		r = wait_until_watched(w, err);
	if (r == 0)
		*out = TAKE_PTR(w);
	return r;
}

int bv_watch_fd(const BvWatch *w)
{
	return w->fd;
}

static int show(BvWatch *w, int (*visit)(void *, const BvWatchEvent *), void *ctx)
{
	const Event *e = &w->event;
	const BvWatchEvent event = {.path = e->path, .what = e->head.what, .old_path = e->head.old_len ? e->old : NULL};

	return visit(ctx, &event);
}

int bv_watch_read(BvWatch *w, int timeout_ms, int (*visit)(void *, const BvWatchEvent *), void *ctx, BvError **err)
{
	int count = 0, r = wait_for_event(w, timeout_ms);

	if (r <= 0)
		return r < 0 ? lib_fail(err, r, "cannot wait for events of %s: %s", w->path, strerror(-r)) : 0;
	while (count < BATCH && (r = receive(w)) == 1) {
		count++;
		r = show(w, visit, ctx);
		if (r != 0)
			return r;
	}
	if (count > 0 || r >= 0)
		return count; /* an error is there the next time, too */
	return r == -ENOTCONN ? reason(w, err) : lib_fail(err, r, "%s: what comes from the sandbox makes no sense", w->path);
}
