/* task.c - what is remembered of guest threads. Nothing here is trusted for long: the kernel object is the truth (design section 4).
 *
 * umask: the value of the last trapped umask() or of /proc/<pid>/status, kept per thread group for at most one second, which
 *   is shorter than any process-id reuse; not kept at all once a guest shares its fs struct across processes (CLONE_FS).
 * late: answers that a signal made too late (task_note_late), for a few seconds.
 * expected: a rewritten call that must come in again from the same thread with the same number and first argument. */
#include "supervisor/call.h"
#include "supervisor/proctree.h"

#include "base/hmap.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define UMASK_TTL_NS 1000000000ULL
#define LINK_TTL_NS 2000000000ULL
#define MAX_TASKS 65536
#define LATE_TTL_NS 2000000000ULL
#define MAX_LATE 4 /* a handler's call can be interrupted, too */

typedef struct LateAnswer {
	uint64_t until; /* 0: none */
	int nr;
	uint64_t ip, args[6];
	uint64_t content; /* of what the arguments point to */
	int64_t value;
} LateAnswer;

typedef struct Task {
	HmapNode by_tid;
	pid_t tid;
	pid_t tgid;
	mode_t umask;
	uint64_t umask_until; /* 0: not known */
	long expect_nr;	      /* -1: nothing expected */
	uint64_t expect_args[6];
	uint64_t expect_base;
	void *expect_data; /* owned; NULL: none */
	size_t expect_len;
	LateAnswer *late; /* MAX_LATE of them, owned; NULL: none */
} Task;

typedef struct ExecLink {
	struct ExecLink *next;
	uint64_t born;
	char path[];
} ExecLink;

struct TaskTable {
	pthread_mutex_t lock;
	Hmap tasks;	 /* protected by lock */
	ExecLink *links; /* protected by lock */
	atomic_bool expecting; /* something was ever expected: a short way out for most sandboxes */
	atomic_bool late;      /* the same for late answers */
};

int tasks_new(TaskTable **out)
{
	TaskTable *t = calloc(1, sizeof *t);

	if (!t || hmap_init(&t->tasks) < 0) {
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

static void task_free(Task *task)
{
	free(task->expect_data);
	free(task->late);
	free(task);
}

static void forget_all_locked(TaskTable *t)
{
	HMAP_FOREACH_SAFE (&t->tasks, n, tmp)
		task_free(CONTAINER_OF(n, Task, by_tid));
	hmap_release(&t->tasks);
}

void tasks_free(TaskTable *t)
{
	if (!t)
		return;
	forget_all_locked(t);
	while (t->links) {
		ExecLink *l = t->links;
		t->links = l->next;
		free(l);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static Task *find_locked(TaskTable *t, pid_t tid, bool create)
{
	uint64_t hash = hash_u64((uint64_t)tid, 0);

	for (HmapNode *n = hmap_first(&t->tasks, hash); n; n = hmap_next(n)) {
		Task *task = CONTAINER_OF(n, Task, by_tid);
		if (task->tid == tid)
			return task;
	}
	if (!create)
		return NULL;
	if (t->tasks.count > MAX_TASKS) { /* a cache: start again, except what is in flight */
		HMAP_FOREACH_SAFE (&t->tasks, n, tmp) {
			Task *old = CONTAINER_OF(n, Task, by_tid);
			if (old->expect_nr >= 0)
				continue;
			hmap_remove(&t->tasks, n);
			task_free(old);
		}
	}
	Task *task = calloc(1, sizeof *task);
	if (!task)
		return NULL;
	*task = (Task){.tid = tid, .expect_nr = -1};
	hmap_insert(&t->tasks, &task->by_tid, hash);
	return task;
}

static int status_field(Supervisor *sup, pid_t tid, const char *field, int base, long *out)
{
	char path[32];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "%d/status", tid);
	ssize_t n = bv_read_file_at(sup->proc_fd, path, 65536, &text);
	if (n < 0)
		return (int)n;
	char *at = strstr(text, field);
	if (!at)
		return -ENOENT;
	*out = strtol(at + strlen(field), NULL, base);
	return 0;
}

/* The cached answer is checked with tgkill(2), which needs both to belong together now. */
pid_t task_tgid(Supervisor *sup, pid_t tid)
{
	TaskTable *t = sup->tasks;
	pid_t tgid = tid;

	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, tid, false);
	if (task && task->tgid)
		tgid = task->tgid;
	pthread_mutex_unlock(&t->lock);
	if (syscall(SYS_tgkill, tgid, tid, 0) == 0)
		return tgid;
	pid_t value = proctree_tgid(tid);
	if (value <= 0)
		return 0;
	pthread_mutex_lock(&t->lock);
	task = find_locked(t, tid, true);
	if (task)
		task->tgid = value;
	pthread_mutex_unlock(&t->lock);
	return value;
}

pid_t caller_tgid(SupCaller *caller)
{
	if (caller->tgid == 0)
		caller->tgid = task_tgid(caller->sup, caller->tid);
	return caller->tgid;
}

mode_t task_umask(Call *call)
{
	TaskTable *t = call->sup->tasks;
	pid_t tgid = caller_tgid(&call->caller);
	uint64_t now = bv_now_coarse_ns();
	bool may_cache = !atomic_load(&call->sup->umask_shared);
	long value = 022;

	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, tgid, false);
	bool known = may_cache && task && task->umask_until > now;
	if (known)
		value = (long)task->umask;
	pthread_mutex_unlock(&t->lock);
	if (known || status_field(call->sup, call->tid, "\nUmask:", 8, &value) < 0)
		return (mode_t)value;
	task_set_umask(call, (mode_t)value);
	return (mode_t)value;
}

void task_set_umask(Call *call, mode_t mask)
{
	TaskTable *t = call->sup->tasks;
	pid_t tgid = caller_tgid(&call->caller);

	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, tgid, true);
	if (task) {
		task->umask = mask & 0777;
		task->umask_until = bv_now_coarse_ns() + UMASK_TTL_NS;
	}
	pthread_mutex_unlock(&t->lock);
}

void task_expect(Call *call, long nr, const uint64_t args[6], uint64_t base, const void *data, size_t len)
{
	TaskTable *t = call->sup->tasks;
	CLEAN_FREE void *copy = data ? malloc(len) : NULL; /* without it the call merely may fail */

	if (copy)
		memcpy(copy, data, len);
	atomic_store(&t->expecting, true);
	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, true);
	if (task) {
		task->expect_nr = nr;
		memcpy(task->expect_args, args, sizeof task->expect_args);
		free(task->expect_data);
		task->expect_data = TAKE_PTR(copy);
		task->expect_base = base;
		task->expect_len = len;
	}
	pthread_mutex_unlock(&t->lock);
}

/* The answer may yet find that a signal came first (task_expect_again). */
static void keep_expectation(Call *call, uint64_t base, void *data, size_t len)
{
	TaskTable *t = call->sup->tasks;

	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, false);
	if (task && task->expect_nr < 0 && !task->expect_data && memcmp(task->expect_args, call->args, sizeof call->args) == 0) {
		task->expect_data = TAKE_PTR(data);
		task->expect_base = base;
		task->expect_len = len;
	}
	pthread_mutex_unlock(&t->lock);
	free(data);
}

/* Every argument must be the expected one: a signal handler may run first and make a call of its own. */
bool task_take_expected(Call *call)
{
	TaskTable *t = call->sup->tasks;
	CLEAN_FREE void *data = NULL;
	uint64_t base = 0;
	size_t len = 0;
	bool hit = false;

	if (!atomic_load(&t->expecting))
		return false;
	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, false);
	if (task && task->expect_nr == call->nr && memcmp(task->expect_args, call->args, sizeof call->args) == 0) {
		hit = true;
		task->expect_nr = -1;
		call->expected = true;
		data = TAKE_PTR(task->expect_data);
		base = task->expect_base;
		len = task->expect_len;
	}
	pthread_mutex_unlock(&t->lock);
	if (data)
		IGNORE_RESULT(mem_write(call, base, data, len)); /* the kernel finds out the same way */
	if (hit && !call->sup->features.killable)
		keep_expectation(call, base, TAKE_PTR(data), len);
	return hit;
}

void task_expect_again(const Call *call)
{
	TaskTable *t = call->sup->tasks;

	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, false);
	if (task && memcmp(task->expect_args, call->args, sizeof call->args) == 0)
		task->expect_nr = call->nr;
	pthread_mutex_unlock(&t->lock);
}

int task_note_content(Call *call)
{
	unsigned once = call->row->once;
	char buf[PATH_MAX];
	struct statx st = {0};
	uint64_t sum = 1;

	for (unsigned i = 0; i < 6; i++) {
		if (!(once & ONCE_STRING(i)))
			continue;
		ssize_t n = mem_read_string(call, call->args[i], buf, sizeof buf);
		if (n < 0)
			return (int)n;
		sum = hash_bytes(buf, (size_t)n, sum);
		if (i > 0 && buf[0] != '/' && guest_fd_statx(call, (int)call->args[i - 1], STATX_INO, &st) == 0)
			sum = hash_bytes(&st.stx_ino, sizeof st.stx_ino, sum);
	}
	if (once >= ONCE_STRING(0)) {
		char cwd[32];
		snprintf(cwd, sizeof cwd, "%d/cwd", call->tid);
		if (statx(call->sup->proc_fd, cwd, 0, STATX_INO, &st) == 0)
			sum = hash_bytes(&st.stx_ino, sizeof st.stx_ino, sum);
	}
	if (once & ONCE_ADDRESS) {
		size_t len = (size_t)MIN(call->args[2], (uint64_t)sizeof(struct sockaddr_storage));
		if (mem_read(call, call->args[1], buf, len) < 0)
			return -EFAULT;
		sum = hash_bytes(buf, len, sum);
	}
	call->content = sum;
	return 0;
}

/* The position changes by the call itself, so it is asked for when the call is over, and when it comes again. */
static uint64_t content_now(Call *call)
{
	uint64_t position;
	int flags;

	if (!(call->row->once & ONCE_POSITION) || guest_fd_info(call, (int)call->args[0], &position, &flags) < 0)
		return call->content;
	return hash_bytes(&position, sizeof position, call->content);
}

static bool is_same(const LateAnswer *a, const Call *call)
{
	return a->until && a->nr == call->nr && a->ip == call->ip && memcmp(a->args, call->args, sizeof a->args) == 0;
}

void task_note_late(Call *call, int64_t value)
{
	TaskTable *t = call->sup->tasks;
	uint64_t content = content_now(call);

	atomic_store(&t->late, true);
	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, true);
	if (task && !task->late)
		task->late = calloc(MAX_LATE, sizeof *task->late);
	if (task && task->late) {
		LateAnswer *oldest = task->late;
		for (LateAnswer *a = task->late; a < task->late + MAX_LATE; a++)
			if (a->until < oldest->until)
				oldest = a;
		*oldest = (LateAnswer){.until = bv_now_coarse_ns() + LATE_TTL_NS, .nr = call->nr, .ip = call->ip, .content = content, .value = value};
		memcpy(oldest->args, call->args, sizeof oldest->args);
	}
	pthread_mutex_unlock(&t->lock);
}

bool task_take_late(Call *call, int64_t *value)
{
	TaskTable *t = call->sup->tasks;
	bool hit = false;
	LateAnswer found = {0};

	if (!atomic_load(&t->late))
		return false;
	uint64_t now = bv_now_coarse_ns();
	pthread_mutex_lock(&t->lock);
	Task *task = find_locked(t, call->tid, false);
	for (LateAnswer *a = task ? task->late : NULL; a && a < task->late + MAX_LATE && !hit; a++) {
		if (!is_same(a, call))
			continue;
		hit = a->until > now;
		found = *a;
		a->until = 0; /* also if it turns out to be another call: then the thread has gone on */
	}
	pthread_mutex_unlock(&t->lock);
	if (!hit || content_now(call) != found.content)
		return false;
	*value = found.value;
	return true;
}

void task_link(Supervisor *sup, const char *path)
{
	TaskTable *t = sup->tasks;
	ExecLink *l = malloc(sizeof *l + strlen(path) + 1);

	if (!l)
		return; /* the link stays until the run directory is emptied */
	*l = (ExecLink){.born = bv_now_coarse_ns()};
	memcpy(l->path, path, strlen(path) + 1);
	pthread_mutex_lock(&t->lock);
	l->next = t->links;
	t->links = l;
	pthread_mutex_unlock(&t->lock);
}

/* An exec link may go once the exec has certainly been done: two seconds later. */
void task_drop_links(Supervisor *sup, bool all)
{
	TaskTable *t = sup->tasks;
	uint64_t now = bv_now_coarse_ns();

	pthread_mutex_lock(&t->lock);
	for (ExecLink **at = &t->links; *at;) {
		ExecLink *l = *at;
		if (!all && now - l->born < LINK_TTL_NS) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		unlink(l->path);
		char *slash = strrchr(l->path, '/');
		if (slash) {
			*slash = 0;
			rmdir(l->path);
		}
		free(l);
	}
	pthread_mutex_unlock(&t->lock);
}
