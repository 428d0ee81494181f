/* workers.c - threads for calls that may wait: opening a FIFO, connecting, large copy-ups, fsync. Grown by need, because each may wait for as long as
 * the guest wants to; a thread that finds nothing to do for a while ends.
 *
 * A guest that waits in such a call stays interruptible: workers_tick() looks whether it was killed or has a deliverable signal, and
 * interrupts the thread; the call is then answered with ERESTARTSYS, which the kernel turns into EINTR or a restart when it
 * delivers the signal (SA_RESTART), just as for a call of its own. The end of a guest makes workers_event() readable, so that a tick comes at once. */
#include "supervisor/handlers.h"
#include "supervisor/kernel.h"
#include "supervisor/notify_internal.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define MAX_WORKERS 2048
#define RESERVED_WORKERS 16 /* for calls that end by themselves, when guests keep the others waiting */
#define IDLE_SECONDS 2
#define GONE_ROUNDS 500 /* of 100 us */
#define MAX_WATCHED 512 /* so many more descriptors */

typedef struct Job {
	struct Job *next;
	Call call;
	pthread_t thread;
	uint64_t number; /* of submission */
	bool interrupted; /* because of a signal of the guest */
	atomic_bool past; /* the handler has returned */
	int life;	  /* a pidfd of its thread or process, or -1: see watch_locked */
} Job;

struct WorkerPool {
	Supervisor *sup;
	pthread_mutex_t lock;
	pthread_cond_t wake, gone;
	Job *queue, **queue_end; /* waiting */
	Job *running;
	size_t threads, idle, queued;
	size_t waiting; /* queued and running, of those that may wait for guests */
	size_t watched; /* that have a pidfd */
	uint64_t submitted;
	int event;  /* an eventfd: waiting has become more than none */
	int events; /* an epoll of that and of the pidfds */
	bool stop;
};

int workers_new(Supervisor *sup, WorkerPool **out)
{
	WorkerPool *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->sup = sup;
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->events = epoll_create1(EPOLL_CLOEXEC);
	if (p->event < 0 || p->events < 0 || epoll_ctl(p->events, EPOLL_CTL_ADD, p->event, &(struct epoll_event){.events = EPOLLIN}) < 0) {
		int r = bv_neg_errno();
		bv_close_fd(&p->event);
		bv_close_fd(&p->events);
		free(p);
		return r;
	}
	p->queue_end = &p->queue;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->gone, NULL);
	*out = p;
	return 0;
}

/* Commits end by themselves; all others may wait for what another guest does, which may itself need a thread. */
static bool may_wait_for_guests(const Call *call)
{
	int (*h)(Call *) = call->row->handler;

	return h != sys_fsync && h != sys_sync && h != sys_syncfs && h != sys_msync;
}

static Job *take_locked(WorkerPool *p)
{
	struct timespec until;

	while (!p->queue && !p->stop) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += IDLE_SECONDS;
		p->idle++;
		int r = pthread_cond_timedwait(&p->wake, &p->lock, &until);
		p->idle--;
		if (r == ETIMEDOUT && !p->queue)
			return NULL;
	}
	Job *job = p->queue;
	if (!job)
		return NULL;
	p->queue = job->next;
	p->queued--;
	if (!p->queue)
		p->queue_end = &p->queue;
	job->thread = pthread_self();
	job->next = p->running;
	p->running = job;
	return job;
}

static void drop_locked(WorkerPool *p, Job *job)
{
	for (Job **at = &p->running; *at; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			break;
		}
	}
	if (may_wait_for_guests(&job->call))
		p->waiting--;
	if (job->life >= 0) {
		epoll_ctl(p->events, EPOLL_CTL_DEL, job->life, NULL); /* a process that was forked meanwhile may have it, too */
		bv_close_fd(&job->life);
		p->watched--;
	}
}

static Job *stale_locked(WorkerPool *p, pid_t tid, uint64_t before)
{
	for (Job *job = p->running; job; job = job->next)
		if (job->call.tid == tid && job->number < before && !atomic_load(&job->call.seized))
			return job;
	return NULL;
}

bool workers_has_stale(WorkerPool *p, const Call *call)
{
	if (p->sup->features.killable || call->req.may_block || atomic_load(&call->listener->in_flight) == 0)
		return false;
	pthread_mutex_lock(&p->lock);
	bool found = stale_locked(p, call->tid, UINT64_MAX);
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* A signal that arrives just before the other's wait is lost, so it is sent until it has ended. */
static void end_stale(WorkerPool *p, const Job *job)
{
	Job *stale;

	pthread_mutex_lock(&p->lock);
	while (!p->stop && (stale = stale_locked(p, job->call.tid, job->number))) {
		pthread_kill(stale->thread, SIGUSR1);
		pthread_mutex_unlock(&p->lock);
		usleep(500);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

static bool opens(const Call *call)
{
	int (*h)(Call *) = call->row->handler;

	return h == sys_open || h == sys_openat || h == sys_openat2 || h == sys_creat;
}

static Job *gone_open_locked(WorkerPool *p, uint64_t before)
{
	for (Job *job = p->running; job; job = job->next)
		if (job->number < before && opens(&job->call) && !atomic_load(&job->past) && !atomic_load(&job->call.seized) && !call_valid(&job->call))
			return job;
	return NULL;
}

/* A worker that still opens a FIFO for a guest that was killed is an end of it that is not there for those who know of the kill, such as this call's guest: it
 * would find a reader that reads nothing (SIGPIPE). The tick that is on its way may be late. Not for long: another may copy a large file, which no signal interrupts. */
static void end_gone_opens(WorkerPool *p, const Job *job)
{
	Job *gone;

	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < GONE_ROUNDS && !p->stop && (gone = gone_open_locked(p, job->number)); i++) {
		pthread_kill(gone->thread, SIGUSR1);
		pthread_mutex_unlock(&p->lock);
		usleep(100);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

static int run_handler(Call *call)
{
	int value = call->row->handler(call);

	if (!limits_retry(call->sup, value))
		return value;
	cowfs_quota_settle(call->sup->fs);
	value = call->row->handler(call);
	if (limits_retry(call->sup, value))
		limits_note_full(call->sup);
	return value;
}

/* A call that was interrupted for a signal comes back with EINTR; everything else is its own result. */
static void run_job(WorkerPool *p, Job *job)
{
	Call *call = &job->call;

	if (!p->sup->features.killable)
		end_stale(p, job);
	if (opens(call))
		end_gone_opens(p, job);
	if (!call_valid(call))
		return;
	int64_t late;
	call->detail[0] = 0;
	bool known = !p->sup->features.killable && call->content && task_take_late(call, &late);
	int value = known ? (int)late : run_handler(call);
	atomic_store(&job->past, true);

	if (value == -EINTR) {
		pthread_mutex_lock(&p->lock);
		if (job->interrupted)
			value = -ERESTARTSYS;
		pthread_mutex_unlock(&p->lock);
	}
	if (value == -ERESTARTSYS && !call->held && call_valid(call) && call_restart(call) == CALL_REPLIED)
		value = CALL_REPLIED;
	if (value != CALL_REPLIED)
		call_answer(call, value);
	call_trace(call, value);
}

static void *worker(void *arg)
{
	WorkerPool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		Job *job = take_locked(p);
		if (!job)
			break;
		pthread_mutex_unlock(&p->lock);
		run_job(p, job);
		pthread_mutex_lock(&p->lock);
		drop_locked(p, job);
		atomic_fetch_sub(&job->call.listener->in_flight, 1);
		free(job);
	}
	p->threads--;
	pthread_cond_broadcast(&p->gone);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int add_thread_locked(WorkerPool *p, size_t limit)
{
	pthread_attr_t attr;
	pthread_t t;

	if (p->threads >= limit)
		return -EAGAIN;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	if (p->sup->cpus_known) /* the receiver, which makes it, may be bound (keep_on_this_cpu) */
		pthread_attr_setaffinity_np(&attr, sizeof p->sup->cpus, &p->sup->cpus);
	int r = pthread_create(&t, &attr, worker, p);
	pthread_attr_destroy(&attr);
	if (r == 0)
		p->threads++;
	return -r;
}

static void tell_limit(void)
{
	static atomic_bool told;

	if (!atomic_exchange(&told, true))
		fprintf(stderr, "bvisor-supervisor: more than %d calls of guests wait at once (FIFOs, sockets): further ones fail with ENFILE\n", MAX_WORKERS);
}

int workers_submit(WorkerPool *p, const Call *call)
{
	bool waits = may_wait_for_guests(call);
	Job *job = calloc(1, sizeof *job);
	int r = 0;

	if (!job)
		return -ENOMEM;
	job->call = *call;
	job->life = -1;
	job->call.req.may_block = true;
	job->call.req.caller = &job->call.caller;
	pthread_mutex_lock(&p->lock);
	if (p->queued >= p->idle) /* each idle thread is spoken for */
		r = add_thread_locked(p, waits ? MAX_WORKERS : MAX_WORKERS + RESERVED_WORKERS);
	if (r < 0 && (waits || p->threads == 0)) { /* queued behind those that wait for it, it might never run */
		pthread_mutex_unlock(&p->lock);
		free(job);
		tell_limit();
		return -ENFILE;
	}
	atomic_fetch_add(&job->call.listener->in_flight, 1);
	*p->queue_end = job;
	p->queue_end = &job->next;
	p->queued++;
	job->number = p->submitted++;
	if (waits && p->waiting++ == 0)
		IGNORE_RESULT(eventfd_write(p->event, 1)); /* it is read long before it is full */
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

typedef struct Signals {
	pid_t tgid;
	bool ended; /* a leader that its threads outlive */
	uint64_t own, shared, blocked, ignored;
} Signals;

static uint64_t mask_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 16) : 0;
}

static bool read_signals(Supervisor *sup, pid_t tid, Signals *out)
{
	char path[32];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "%d/status", tid);
	if (bv_read_file_at(sup->proc_fd, path, 65536, &text) < 0)
		return false;
	const char *tgid = strstr(text, "\nTgid:");
	*out = (Signals){.tgid = tgid ? (pid_t)strtol(tgid + 6, NULL, 10) : 0,
			 .ended = strstr(text, "\nState:\tZ") != NULL,
			 .own = mask_after(text, "\nSigPnd:"),
			 .shared = mask_after(text, "\nShdPnd:"),
			 .blocked = mask_after(text, "\nSigBlk:"),
			 .ignored = mask_after(text, "\nSigIgn:")};
	return true;
}

/* Has the thread a signal that would interrupt a system call: pending, not blocked, not ignored? One for the process goes to the leader
 * if that takes it (complete_signal()): other threads stay where they are. */
static bool signal_pending(Supervisor *sup, pid_t tid)
{
	Signals s, leader;

	if (!read_signals(sup, tid, &s) || s.ended)
		return true; /* gone */
	uint64_t wanted = ~s.blocked & ~s.ignored, shared = s.shared & wanted;
	if (s.own & wanted)
		return true;
	if (shared && s.tgid != tid && read_signals(sup, s.tgid, &leader) && !leader.ended)
		shared &= leader.blocked;
	return shared;
}

bool workers_has_thread(WorkerPool *p, pid_t tid)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	for (const Job *job = p->running; job && !found; job = job->next)
		found = job->call.tid == tid;
	for (const Job *job = p->queue; job && !found; job = job->next)
		found = job->call.tid == tid;
	pthread_mutex_unlock(&p->lock);
	return found;
}

int workers_event(const WorkerPool *p)
{
	return p->events;
}

/* A guest that is killed while it waits is gone at once for those who waited for that; what a worker does in its place (as the reader of a FIFO, say) must not be
 * there much longer. So its end causes a tick. Only for calls that are found waiting by a tick, as most do not wait. */
static void watch_locked(WorkerPool *p, Job *job)
{
	if (job->life >= 0 || p->watched == MAX_WATCHED)
		return;
	job->life = (int)syscall(SYS_pidfd_open, job->call.tid, PIDFD_THREAD);
	if (job->life < 0 && errno == EINVAL) /* before 6.9 only the leader can be named */
		job->life = (int)syscall(SYS_pidfd_open, task_tgid(p->sup, job->call.tid), 0);
	if (job->life < 0)
		return;
	if (epoll_ctl(p->events, EPOLL_CTL_ADD, job->life, &(struct epoll_event){.events = EPOLLIN | EPOLLONESHOT}) < 0)
		bv_close_fd(&job->life);
	else
		p->watched++;
}

/* What workers_event has told is taken note of: that calls wait, that guests have ended. */
static void take_events(const WorkerPool *p)
{
	struct epoll_event some[16];
	eventfd_t n;

	IGNORE_RESULT(eventfd_read(p->event, &n)); /* EAGAIN: nothing new */
	while (epoll_wait(p->events, some, ARRAY_LEN(some), 0) == (int)ARRAY_LEN(some))
		;
}

size_t workers_tick(WorkerPool *p)
{
	take_events(p);
	pthread_mutex_lock(&p->lock);
	for (Job *job = p->queue; job; job = job->next)
		if (may_wait_for_guests(&job->call))
			watch_locked(p, job);
	for (Job *job = p->running; job; job = job->next) {
		if (!may_wait_for_guests(&job->call))
			continue; /* no signal interrupts an fsync */
		watch_locked(p, job);
		bool seized = atomic_load(&job->call.seized); /* its notification has been answered, and it is still here */
		if (p->stop || atomic_load(&job->call.listener->stop) || (!seized && !call_valid(&job->call))) {
			pthread_kill(job->thread, SIGUSR1);
		} else if (signal_pending(p->sup, job->call.tid)) {
			job->interrupted = true;
			pthread_kill(job->thread, SIGUSR1);
		}
	}
	size_t waiting = p->waiting;
	pthread_mutex_unlock(&p->lock);
	return waiting;
}

void workers_free(WorkerPool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	while (p->threads) {
		struct timespec until;
		for (Job *job = p->running; job; job = job->next)
			pthread_kill(job->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&p->gone, &p->lock, &until);
	}
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	pthread_cond_destroy(&p->gone);
	close(p->events);
	close(p->event);
	free(p);
}
