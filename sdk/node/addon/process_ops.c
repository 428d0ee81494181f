/* process_ops.c - commands: start, wait, signals, terminals. */
#include "addon.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>

/* ---- starting ---- */

static unsigned short cells(const Job *job, const char *name, double otherwise)
{
	double n = arg_number(job, name, otherwise);

	return n < 1 ? 1 : n > 65535 ? 65535 : (unsigned short)n;
}

static int open_terminal(const Job *job, int *master, int *slave)
{
	struct winsize size = {.ws_row = cells(job, "rows", 24), .ws_col = cells(job, "cols", 80)};

	if (openpty(master, slave, NULL, NULL, &size) < 0)
		return bv_neg_errno();
	return fcntl(*master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(*slave, F_SETFD, FD_CLOEXEC) < 0 ? bv_neg_errno() : 0;
}

/* JavaScript gets descriptors of its own for the pipes: its streams close them when they like. */
static int hand_pipes_over(Job *job, BvProcess *p)
{
	for (int i = 0; i < 3; i++) {
		int fd = bv_process_fd(p, i);
		if (fd < 0)
			continue;
		job->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (job->fds[i] < 0)
			return bv_neg_errno();
		bv_process_close_fd(p, i);
	}
	return 0;
}

static int born(Job *job, BvProcess *p, int terminal)
{
	int r = hand_pipes_over(job, p);
	pid_t pid = bv_process_pid(p);

	if (r == 0 && terminal >= 0) {
		job->fds[0] = fcntl(terminal, F_DUPFD_CLOEXEC, 3);
		r = job->fds[0] < 0 ? bv_neg_errno() : 0;
	}
	if (r < 0) {
		IGNORE_RESULT(bv_process_kill(p, SIGKILL, NULL));
		bv_process_close(p);
		bv_close_fd(&terminal);
		return r;
	}
	job->born = child_new(job->sandbox, p, NULL, -1, terminal);
	if (!job->born)
		return -EBADF;
	add_number(out_object(job), "pid", pid);
	return 0;
}

static int spawn(Job *job)
{
	bool failed = false, on_terminal = arg_flag(job, "terminal");
	CLEAN_LIST const char **argv = arg_list(job, "argv", &failed), **env = arg_list(job, "env", &failed);
	CLEAN_FD int master = -1, slave = -1;
	const char *const streams[] = {"stdin", "stdout", "stderr"};
	BvSpawnOptions o = BV_SPAWN_OPTIONS_INIT;
	BvProcess *p = NULL;
	int r = failed ? -ENOMEM : 0;

	o.argv = argv;
	o.env = env;
	o.cwd = arg_text(job, "cwd");
	o.flags = BV_SPAWN_DEFAULT_SIGNALS | (on_terminal ? BV_SPAWN_TTY : 0U) | (arg_flag(job, "detach") ? BV_SPAWN_DETACH : 0U);
	if (r == 0 && on_terminal)
		r = open_terminal(job, &master, &slave);
	for (int i = 0; i < 3; i++)
		o.fds[i] = on_terminal ? slave : (int)arg_number(job, streams[i], BV_FD_NULL);
	if (r == 0)
		r = bv_sandbox_spawn(job->sandbox->handle, &o, &p, &job->err);
	return r < 0 ? r : born(job, p, TAKE_FD(master));
}

/* ---- its end ---- */

static int visit_limit(void *list, const BvLimitInfo *info)
{
	add_limit(list, info);
	return 0;
}

/* After this the library's object is of no use any more. */
static int wait_for_end(Job *job)
{
	BvProcess *p = job->child->process;
	BvStatus status;
	int r = p ? bv_process_wait(p, -1, &status, &job->err) : -ECHILD;

	if (r == 0) {
		cJSON *o = out_object(job);
		add_number(o, "exitCode", status.exit_code);
		add_number(o, "signal", status.signal);
		add_flag(o, "coreDumped", status.core_dumped);
		add_text(o, "remark", bv_process_remark(p));
		IGNORE_RESULT(bv_process_limits(p, visit_limit, cJSON_AddArrayToObject(o, "limits")));
	}
	child_close(job->child);
	return r;
}

static int send_signal(Job *job)
{
	int r = -ESRCH;

	pthread_mutex_lock(&job->child->use);
	if (job->child->process)
		r = bv_process_kill(job->child->process, (int)arg_number(job, "signal", -1), &job->err);
	pthread_mutex_unlock(&job->child->use);
	return r;
}

static int resize(Job *job)
{
	struct winsize size = {.ws_row = cells(job, "rows", 24), .ws_col = cells(job, "cols", 80)};
	int r = -ESRCH;

	pthread_mutex_lock(&job->child->use);
	if (job->child->terminal >= 0)
		r = ioctl(job->child->terminal, TIOCSWINSZ, &size) < 0 ? bv_neg_errno() : 0;
	pthread_mutex_unlock(&job->child->use);
	return r;
}

const Op process_ops[] = {
	{"spawn", OP_SANDBOX, spawn},
	{"process.wait", OP_CHILD | OP_OWN_THREAD | OP_UNHELD, wait_for_end},
	{"process.kill", OP_CHILD, send_signal},
	{"process.resize", OP_CHILD, resize},
	{NULL, 0, NULL},
};
