/* supervisor/freeze.c - see freeze.h. */
#include "supervisor/call.h"
#include "supervisor/freeze.h"
#include "supervisor/notify.h"
#include "supervisor/proctree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define GATE_MS 500  /* how long what is inside may take: much only where there is hardly any processor time, and then nobody runs for long, anyway */
#define STOP_MS 500  /* how long we wait for threads that run */
#define LINGER_MS 50 /* after the moment: how long for those that waited for an answer */

/* ---- the gate ---- */

static _Thread_local unsigned depth;

void gate_enter(Supervisor *sup)
{
	if (depth++)
		return;
	for (;;) {
		atomic_fetch_add(&sup->gate_inside, 1);
		if (!atomic_load(&sup->gate_closed))
			return;
		atomic_fetch_sub(&sup->gate_inside, 1);
		while (atomic_load(&sup->gate_closed))
			usleep(50);
	}
}

void gate_leave(Supervisor *sup)
{
	if (--depth == 0)
		atomic_fetch_sub(&sup->gate_inside, 1);
}

static uint64_t deadline(unsigned ms)
{
	return bv_now_ns() + ms * UINT64_C(1000000);
}

/* False: somebody is inside for longer than is good. */
static bool gate_close(Supervisor *sup)
{
	uint64_t until = deadline(GATE_MS);

	atomic_store(&sup->gate_closed, true);
	while (atomic_load(&sup->gate_inside) && bv_now_ns() < until)
		usleep(20);
	return atomic_load(&sup->gate_inside) == 0;
}

/* ---- threads ---- */

void frozen_release(Frozen *f)
{
	free(f->tids);
	free(f->stops);
	*f = (Frozen){0};
}

static bool is_known(const Frozen *f, pid_t tid)
{
	for (size_t i = f->count; i-- > 0;)
		if (f->tids[i] == tid)
			return true;
	return false;
}

static int add(Frozen *f, pid_t tid)
{
	if (f->count == f->room) {
		size_t room = MAX(64, f->room * 2);
		pid_t *tids = realloc(f->tids, room * sizeof *tids);
		if (tids)
			f->tids = tids;
		int *stops = tids ? realloc(f->stops, room * sizeof *stops) : NULL;
		if (!stops)
			return -ENOMEM;
		f->stops = stops;
		f->room = room;
	}
	f->tids[f->count] = tid;
	f->stops[f->count++] = -1;
	return 0;
}

typedef struct Seizing {
	Supervisor *sup;
	Frozen *f;
	size_t found; /* in this round */
} Seizing;

/* The letter of /proc/TID/stat; 'X': it is gone. */
static char state_of(Supervisor *sup, pid_t tid)
{
	char path[32];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "%d/stat", tid);
	if (bv_read_file_at(sup->proc_fd, path, 4096, &text) < 0)
		return 'X';
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : 'X';
}

/* ptrace says EPERM of those, too. */
static bool has_ended(Supervisor *sup, pid_t tid)
{
	char state = state_of(sup, tid);

	return state == 'X' || state == 'Z';
}

static int seize_thread(Seizing *s, pid_t tid)
{
	if (is_known(s->f, tid) || workers_has_thread(s->sup->workers, tid))
		return 0;
	int rc = add(s->f, tid);
	if (rc == 0 && ptrace(PTRACE_SEIZE, tid, 0, 0) < 0) {
		rc = errno == ESRCH || has_ended(s->sup, tid) ? 0 : -EPERM;
		s->f->count--;
		return rc;
	}
	if (rc == 0 && ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0)
		rc = errno == ESRCH ? 0 : bv_neg_errno();
	s->found++;
	return rc;
}

static int seize_process(void *ctx, pid_t pid)
{
	Seizing *s = ctx;
	char path[32];
	struct dirent *e;
	int rc = 0;

	snprintf(path, sizeof path, "%d/task", pid);
	int fd = openat(s->sup->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		bv_close_fd(&fd);
		return 0; /* it has ended */
	}
	while (rc == 0 && (e = readdir(dir)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			rc = seize_thread(s, (pid_t)strtol(e->d_name, NULL, 10));
	closedir(dir);
	return rc;
}

/* A thread that was about to make another may have: looked for until a round finds none. */
static int seize_all(Supervisor *sup, Frozen *f)
{
	Seizing s = {.sup = sup, .f = f};
	int rc;

	do {
		s.found = 0;
		rc = proctree_list(sup->tree, seize_process, &s);
	} while (rc == 0 && s.found);
	return rc;
}

static bool collect_one(Frozen *f, size_t i)
{
	int status;

	if (f->stops[i] < 0 && waitpid(f->tids[i], &status, __WALL | WNOHANG) == f->tids[i]) /* or it has ended: the detach finds out */
		f->stops[i] = WIFSTOPPED(status) && (status >> 16) == 0 ? WSTOPSIG(status) : 0;
	return f->stops[i] >= 0;
}

/* What does not run stops before it comes to itself again; only what runs has to be waited for. */
static bool all_still(Supervisor *sup, Frozen *f)
{
	bool still = true;

	for (size_t i = 0; i < f->count; i++)
		if (!collect_one(f, i) && state_of(sup, f->tids[i]) == 'R' && !collect_one(f, i))
			still = false;
	return still;
}

bool guests_stop(Supervisor *sup, Frozen *f)
{
	uint64_t until = deadline(STOP_MS);
	bool still = gate_close(sup) && seize_all(sup, f) == 0;

	while (still && !all_still(sup, f)) {
		if (bv_now_ns() > until)
			return false;
		usleep(50);
	}
	return still;
}

size_t guests_collect(Frozen *f)
{
	size_t left = 0;

	for (size_t i = 0; i < f->count; i++) {
		pid_t tid = f->tids[i];
		if (collect_one(f, i)) {
			thread_detach(tid, f->stops[i]);
			continue;
		}
		f->tids[left] = tid;
		f->stops[left++] = -1;
	}
	f->count = left;
	return left;
}

void guests_go(Supervisor *sup, Frozen *f)
{
	uint64_t until = deadline(LINGER_MS);

	atomic_store(&sup->gate_closed, false);
	while (guests_collect(f) && bv_now_ns() < until)
		usleep(100);
}
