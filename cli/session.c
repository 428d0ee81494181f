/* cli/session.c - one command in the foreground: signals, terminal, timeout, end.
 *
 * A second thread waits for the end of the command (the library call blocks) and says so through an eventfd; everything else happens in
 * the poll loop of the main thread. Signals arrive through a signalfd: they are blocked before the thread starts, so neither is interrupted.
 * What was ignored when bvisor was started (nohup) stays ignored: a blocked signal would arrive all the same. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GRACE_MS 2000

typedef struct Session {
	BvSandbox *sb;
	BvProcess *process;
	Tty *tty;
	Output *output; /* NULL: the command has our own descriptors */
	const SessionOptions *o;
	int signals, ended;
	bool input_open;
	unsigned interrupts;
	bool timed_out, flooded; /* a limit has ended it: of time, of output */
	int64_t deadline; /* of the next step of the timeout; -1 */
	BvStatus status;  /* written by the waiter before `ended` fires */
	BvError *error;
	int result;
} Session;

bool session_wants_tty(bool interactive, bool tty)
{
	return tty || (!interactive && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}

static void *waiter(void *arg)
{
	Session *s = arg;
	uint64_t one = 1;

	s->result = bv_process_wait(s->process, -1, &s->status, &s->error);
	while (write(s->ended, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

static void kill_hard(Session *s)
{
	if (s->o->owns_sandbox)
		(void)bv_sandbox_kill(s->sb, SIGKILL, NULL);
	else
		(void)bv_process_kill(s->process, SIGKILL, NULL);
}

static void on_signal(Session *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		if (s->tty)
			tty_resize(s->tty);
	} else if (s->interrupts++ == 0) {
		(void)bv_process_kill(s->process, (int)info.ssi_signo, NULL);
	} else {
		kill_hard(s);
	}
}

/* TERM first, then (2 s later) KILL for all. */
static void on_deadline(Session *s)
{
	if (!s->timed_out) {
		s->timed_out = true;
		s->deadline = now_ms() + GRACE_MS;
		(void)bv_process_kill(s->process, SIGTERM, NULL);
	} else {
		s->deadline = -1;
		kill_hard(s);
	}
}

static void check_output(Session *s)
{
	bool more = output_exceeded(s->output) || (s->tty && s->o->output_limit && tty_written(s->tty) > s->o->output_limit);

	if (more && !s->flooded) {
		s->flooded = true;
		kill_hard(s);
	}
}

static int poll_timeout(const Session *s)
{
	int64_t left = s->deadline - now_ms();

	if (s->deadline < 0)
		return -1;
	return left < 0 ? 0 : (int)left;
}

static void loop(Session *s)
{
	bool output_open = s->tty != NULL;

	for (;;) {
		struct pollfd polls[] = {
			{.fd = s->ended, .events = POLLIN},
			{.fd = s->signals, .events = POLLIN},
			{.fd = output_open ? tty_master(s->tty) : -1, .events = POLLIN},
			{.fd = s->input_open ? STDIN_FILENO : -1, .events = POLLIN},
			{.fd = -1},
			{.fd = -1},
		};
		if (s->output && !s->flooded)
			output_polls(s->output, polls + 4);
		int n = poll(polls, ARRAY_LEN(polls), poll_timeout(s));
		if (n == 0)
			on_deadline(s);
		if (n <= 0)
			continue;
		if (polls[2].revents)
			output_open = tty_output(s->tty);
		if (s->output)
			(void)output_step(s->output, polls + 4);
		check_output(s);
		if (polls[3].revents)
			s->input_open = tty_input(s->tty);
		if (polls[1].revents)
			on_signal(s);
		if (polls[0].revents)
			break;
	}
	while (output_open) /* what the command wrote last; the master does not block */
		output_open = tty_output(s->tty) && !s->flooded;
	if (s->output)
		output_finish(s->output);
	check_output(s);
}

static void tell_end(const Session *s)
{
	char size[32];

	if (s->flooded)
		cli_fail("the command has written more than the output limit of %s, and was ended; --output-limit sets it", human_size(s->o->output_limit, size));
	else if (s->timed_out)
		cli_fail("the command has run longer than the timeout of %g s, and was ended; --timeout sets it", s->o->timeout_ms / 1000.0);
}

static int exit_code(Session *s)
{
	if (s->result < 0)
		return cli_fail_error(s->error);
	if (s->timed_out || s->flooded)
		return EXIT_TIMEOUT;
	return s->status.signal ? EXIT_SIGNAL + s->status.signal : s->status.exit_code;
}

static int supervise(Session *s, const sigset_t *set)
{
	pthread_t thread;
	int r;

	s->signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->ended = eventfd(0, EFD_CLOEXEC);
	if (s->signals < 0 || s->ended < 0)
		return cli_fail("cannot wait for the command: %s", strerror(errno));
	r = pthread_create(&thread, NULL, waiter, s);
	if (r != 0)
		return cli_fail("cannot start a thread: %s", strerror(r));
	s->input_open = s->tty != NULL;
	s->deadline = s->o->timeout_ms < 0 ? -1 : now_ms() + s->o->timeout_ms;
	loop(s);
	pthread_join(thread, NULL);
	tty_close(s->tty);
	s->tty = NULL;
	if ((s->timed_out || s->flooded) && s->o->owns_sandbox) /* and what it has left */
		(void)bv_sandbox_kill(s->sb, SIGKILL, NULL);
	if (bv_process_remark(s->process))
		cli_tell(bv_process_remark(s->process));
	tell_end(s);
	return exit_code(s);
}

static int spawn_failed(BvError *err, const SessionOptions *o)
{
	int code = bv_error_code(err);

	if (strcmp(bv_error_stage(err), "cwd") == 0) {
		cli_fail("cannot start in %s: %s%s", o->cwd ? o->cwd : "the current directory", bv_error_message(err),
			 o->cwd ? "" : "; --cwd DIR starts it elsewhere");
		bv_error_free(err);
		return EXIT_BVISOR;
	}
	if (strcmp(bv_error_stage(err), "exec") != 0)
		return cli_fail_error(err);
	cli_fail("%s: %s", o->argv[0][0] ? o->argv[0] : "''", bv_error_message(err));
	bv_error_free(err);
	return code == -ENOENT || code == -ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int spawn_with_output(Session *s, BvSpawnOptions *spawn, BvError **err)
{
	int fds[3] = {-1, -1, -1}, r;

	s->output = s->o->output_limit && !s->tty ? output_open(s->o->output_limit, fds) : NULL;
	for (int i = 1; i < 3; i++)
		if (fds[i] >= 0)
			spawn->fds[i] = fds[i];
	r = bv_sandbox_spawn(s->sb, spawn, &s->process, err);
	if (fds[2] >= 0 && fds[2] != fds[1])
		close(fds[2]);
	if (fds[1] >= 0)
		close(fds[1]);
	return r;
}

static int start(Session *s, int slave, BvError **err)
{
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;

	spawn.argv = s->o->argv;
	spawn.env = s->o->env;
	spawn.cwd = s->o->cwd;
	spawn.trace_fd = s->o->trace_fd;
	spawn.flags = (s->tty ? BV_SPAWN_TTY : 0) | (s->o->detach ? BV_SPAWN_DETACH : 0);
	for (int i = 0; i < 3 && s->tty; i++)
		spawn.fds[i] = slave;
	for (int i = 0; i < 3 && s->o->detach; i++)
		spawn.fds[i] = BV_FD_NULL;
	return spawn_with_output(s, &spawn, err);
}

static void forwarded_signals(sigset_t *set)
{
	static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action;

	sigemptyset(set);
	sigaddset(set, SIGWINCH); /* is not forwarded */
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (sigaction(forwarded[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(set, forwarded[i]);
}

int session_run(BvSandbox *sb, const SessionOptions *o, bool *started)
{
	Session s = {.sb = sb, .o = o, .signals = -1, .ended = -1, .deadline = -1};
	BvError *err = NULL;
	sigset_t set, before;
	int slave = -1, r;

	forwarded_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &before);
	*started = false;
	if (o->tty && !(s.tty = tty_open(&slave)))
		return cli_fail("cannot make a terminal: %s", strerror(errno));
	r = start(&s, slave, &err);
	if (slave >= 0)
		close(slave);
	if (r < 0) {
		tty_close(s.tty);
		output_close(s.output);
		return spawn_failed(err, o);
	}
	*started = true;
	if (bv_sandbox_warning(sb))
		cli_tell(bv_sandbox_warning(sb));
	r = o->detach ? 0 : supervise(&s, &set);
	bv_process_close(s.process);
	output_close(s.output);
	close(s.signals);
	close(s.ended);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
