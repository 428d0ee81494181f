/* cli/output.c - output that is counted: the command writes to pipes of ours, and what comes is passed on, up to a limit.
 *
 * Nothing here waits: a piece is read when the one before it was written, so that a slow reader holds up the command and not the signals and timeouts of session.c. Where stdout and
 * stderr are the same file there is one pipe for both, which keeps their order. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Stream {
	int from, to; /* from: -1 once it is over */
	size_t have, sent;
	char bytes[4096]; /* not more than what a pipe takes at once that is ready to be written to (PIPE_BUF) */
} Stream;

struct Output {
	Stream streams[2];
	uint64_t limit, passed;
	bool exceeded;
};

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino && x.st_rdev == y.st_rdev;
}

static bool open_stream(Stream *s, int to, int *writer)
{
	int ends[2];

	*s = (Stream){.from = -1, .to = to};
	if (fcntl(to, F_GETFD) < 0) /* closed here, and in the command */
		return true;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	s->from = ends[0];
	*writer = ends[1];
	return true;
}

Output *output_open(uint64_t limit, int fds[3])
{
	Output *o = xrealloc(NULL, sizeof(*o));
	bool joined = same_file(STDOUT_FILENO, STDERR_FILENO);

	*o = (Output){.limit = limit, .streams = {{.from = -1}, {.from = -1}}};
	if (!open_stream(&o->streams[0], STDOUT_FILENO, &fds[1]) || (!joined && !open_stream(&o->streams[1], STDERR_FILENO, &fds[2]))) {
		output_close(o);
		return NULL;
	}
	if (joined)
		fds[2] = fds[1];
	return o;
}

void output_close(Output *o)
{
	for (int i = 0; o && i < 2; i++)
		if (o->streams[i].from >= 0)
			close(o->streams[i].from);
	free(o);
}

void output_polls(const Output *o, struct pollfd polls[2])
{
	for (int i = 0; i < 2; i++) {
		const Stream *s = &o->streams[i];
		polls[i] = s->have ? (struct pollfd){.fd = s->to, .events = POLLOUT} : (struct pollfd){.fd = s->from, .events = POLLIN};
	}
}

static void end_stream(Stream *s)
{
	if (s->from >= 0)
		close(s->from);
	s->from = -1;
	s->have = 0;
}

static void take(Output *o, Stream *s)
{
	ssize_t n = read(s->from, s->bytes, sizeof(s->bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		end_stream(s);
	if (n <= 0)
		return;
	uint64_t left = o->limit - o->passed;
	o->exceeded = o->exceeded || (uint64_t)n > left;
	s->have = (uint64_t)n > left ? (size_t)left : (size_t)n;
	s->sent = 0;
	o->passed += s->have;
}

static void pass(Stream *s)
{
	ssize_t n = write(s->to, s->bytes + s->sent, s->have);

	if (n < 0 && errno == EAGAIN) {
		struct pollfd p = {.fd = s->to, .events = POLLOUT};
		(void)poll(&p, 1, -1); /* only from output_finish: it was asked before */
		return;
	}
	if (n < 0 && errno != EINTR)
		end_stream(s);
	if (n <= 0)
		return;
	s->sent += (size_t)n;
	s->have -= (size_t)n;
}

bool output_step(Output *o, const struct pollfd polls[2])
{
	for (int i = 0; i < 2; i++) {
		Stream *s = &o->streams[i];
		if (polls[i].fd < 0 || !polls[i].revents)
			continue;
		if (s->have)
			pass(s);
		else if (s->from >= 0)
			take(o, s);
	}
	return !o->exceeded;
}

/* What the command wrote last. Others that it has left may hold the pipes open. */
void output_finish(Output *o)
{
	for (int i = 0; i < 2; i++) {
		Stream *s = &o->streams[i];
		while (s->have || s->from >= 0) {
			while (s->have && s->to >= 0)
				pass(s);
			if (s->from < 0 || o->exceeded)
				break;
			take(o, s);
			if (!s->have)
				break;
		}
	}
}

bool output_exceeded(const Output *o)
{
	return o && o->exceeded;
}
