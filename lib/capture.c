/* lib/capture.c - run a command to its end with its output collected: bv_sandbox_exec.
 *
 * One thread moves all three streams with poll, so neither side can block the other. SIGPIPE of our write is kept from the host
 * program: it is blocked in this thread, and taken back if it came from us. */
#include "lib/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#define GRACE_NS 2000000000ULL

typedef struct Sink {
	char *bytes;
	size_t len, room;
} Sink;

typedef struct Pump {
	BvProcess *process;
	const char *input;
	size_t input_len, sent;
	Sink sinks[3];	   /* 1 and 2 */
	uint64_t deadline; /* UINT64_MAX: none */
	uint64_t room;	   /* for output that may still come */
} Pump;

static ssize_t write_no_sigpipe(int fd, const void *bytes, size_t len)
{
	sigset_t pipe_set, before, pending;
	bool was_pending;
	ssize_t n;
	int saved;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
	n = write(fd, bytes, len);
	saved = errno;
	if (n < 0 && saved == EPIPE && !was_pending)
		while (sigtimedwait(&pipe_set, NULL, &(struct timespec){0, 0}) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return n;
}

static void feed(Pump *p)
{
	ssize_t n = write_no_sigpipe(bv_process_fd(p->process, 0), p->input + p->sent, p->input_len - p->sent);

	if (n > 0)
		p->sent += (size_t)n;
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || p->sent == p->input_len)
		bv_process_close_fd(p->process, 0);
}

static int drain(Pump *p, int stream)
{
	Sink *s = &p->sinks[stream];
	ssize_t n;

	if (s->room - s->len < 4096) {
		size_t room = s->room ? s->room * 2 : 16384;
		char *bigger = realloc(s->bytes, room);
		if (!bigger)
			return -ENOMEM;
		s->bytes = bigger;
		s->room = room;
	}
	n = read(bv_process_fd(p->process, stream), s->bytes + s->len, s->room - s->len - 1);
	if (n > 0) {
		size_t kept = (size_t)MIN((uint64_t)n, p->room);
		s->len += kept;
		p->room -= kept;
		if (kept < (size_t)n)
			return -EFBIG;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		bv_process_close_fd(p->process, stream);
	}
	return 0;
}

static int remaining(uint64_t deadline)
{
	uint64_t now = bv_now_ns();

	if (deadline == UINT64_MAX)
		return -1;
	return now >= deadline ? 0 : (int)MIN((deadline - now) / 1000000 + 1, (uint64_t)1000000000);
}

/* Moves bytes until every stream is closed: 0; -ETIMEDOUT at the deadline, -EFBIG: there was no room for more. */
static int pump(Pump *p)
{
	for (;;) {
		struct pollfd polls[3];
		bool open = false;
		for (int i = 0; i < 3; i++) {
			polls[i] = (struct pollfd){.fd = bv_process_fd(p->process, i), .events = i == 0 ? POLLOUT : POLLIN};
			open = open || polls[i].fd >= 0;
		}
		if (!open)
			return 0;
		int n = poll(polls, 3, remaining(p->deadline));
		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return bv_neg_errno();
		if (n > 0 && polls[0].revents)
			feed(p);
		for (int i = 1; i < 3 && n > 0; i++) {
			int r = polls[i].revents ? drain(p, i) : 0;
			if (r < 0)
				return r;
		}
	}
}

/* A limit has been passed: end the command, and take what it wrote until it was gone. Its own children may keep the pipes open, so this
 * does not wait for the end of the streams. */
static int kill_and_collect(Pump *p, BvStatus *status, BvError **err)
{
	int r;

	(void)bv_process_kill(p->process, SIGKILL, NULL);
	p->deadline = bv_now_ns() + GRACE_NS / 10;
	bv_process_close_fd(p->process, 0);
	r = pump(p);
	if (r < 0 && r != -ETIMEDOUT && r != -EFBIG)
		return lib_fail(err, r, "cannot read the command's output: %s", strerror(-r));
	return bv_process_wait(p->process, (int)(GRACE_NS / 1000000), status, err);
}

static int run_to_end(Pump *p, BvOutput *out, BvError **err)
{
	int r = pump(p);

	if (r == 0)
		r = bv_process_wait(p->process, remaining(p->deadline), &out->status, err);
	else if (r != -ETIMEDOUT && r != -EFBIG)
		return lib_fail(err, r, "cannot read the command's output: %s", strerror(-r));
	if (r != -ETIMEDOUT && r != -EFBIG)
		return r;
	out->timed_out = r == -EFBIG ? BV_KILLED_OUTPUT : BV_KILLED_TIMEOUT;
	return kill_and_collect(p, &out->status, err);
}

static void hand_over(Sink *s, char **bytes, size_t *len)
{
	if (!s->bytes)
		return;
	s->bytes[s->len] = '\0';
	*len = s->len;
	*bytes = TAKE_PTR(s->bytes);
}

int bv_sandbox_exec(BvSandbox *sb, const BvSpawnOptions *options, const void *input, size_t input_len, int timeout_ms, BvOutput *out, BvError **err)
{
	BvSpawnOptions o = BV_SPAWN_OPTIONS_INIT;
	Pump p = {.input = input, .input_len = input_len, .deadline = UINT64_MAX};
	BvOutput result = {0};
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	p.room = o.output_limit ? o.output_limit : UINT64_MAX;
	if (timeout_ms >= 0)
		p.deadline = bv_now_ns() + (uint64_t)timeout_ms * 1000000;
	if (input)
		o.fds[0] = BV_FD_PIPE;
	for (int i = 1; i < 3; i++)
		if (o.fds[i] == BV_FD_INHERIT)
			o.fds[i] = BV_FD_PIPE;
	r = bv_sandbox_spawn(sb, &o, &p.process, err);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		if (bv_process_fd(p.process, i) >= 0)
			(void)fcntl(bv_process_fd(p.process, i), F_SETFL, O_NONBLOCK);
	if (input && input_len == 0)
		bv_process_close_fd(p.process, 0);
	r = run_to_end(&p, &result, err);
	if (r == 0) {
		hand_over(&p.sinks[1], &result.out, &result.out_len);
		hand_over(&p.sinks[2], &result.err, &result.err_len);
		*out = result;
	}
	free(p.sinks[1].bytes);
	free(p.sinks[2].bytes);
	bv_process_close(p.process);
	return r;
}
