/* meter.c - see meter.h. */
#include "supervisor/meter.h"
#include "supervisor/proctree.h"
#include "supervisor/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RECENT_NS 2000000
#define SLOTS 8		      /* of time, in RECENT_NS */
#define WAITS 25	      /* each as long */
#define RATE 4000000	      /* bytes a millisecond: faster than memory is filled */
#define LOOK_LEAST_MS 5
#define DYING 64
#define DYING_NS 1000000000
#define LOOK_MOST_MS 100

/* Was killed, and may take a moment to go. */
typedef struct Dying {
	pid_t pid;
	uint64_t since;
} Dying;

struct Meter {
	Supervisor *sup;
	Dying dying[DYING]; /* the watching thread's, as next_dying */
	size_t next_dying;
	uint64_t memory, pids;
	dev_t memfd_dev; /* of memfds; 0: not known */
	pthread_mutex_t lock;
	/* protected by lock: */
	uint64_t estimate;	     /* tasks: not fewer than there are */
	uint64_t allowed[SLOTS];     /* clones in the last slots of time */
	uint64_t slot;		     /* number of the newest */
	MeterCounts counts;
};

int meter_new(Supervisor *sup, uint64_t memory, uint64_t pids, Meter **out)
{
	Meter *m = calloc(1, sizeof *m);
	CLEAN_FD int fd = memfd_create("meter", MFD_CLOEXEC);
	struct stat st;

	if (!m)
		return -ENOMEM;
	*m = (Meter){.sup = sup, .memory = memory, .pids = pids, .estimate = UINT64_MAX, .memfd_dev = fd >= 0 && fstat(fd, &st) == 0 ? st.st_dev : 0};
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

void meter_free(Meter *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static ssize_t read_of(const Meter *m, pid_t pid, const char *file, char **out)
{
	char path[48];

	snprintf(path, sizeof path, "%d/%s", pid, file);
	return bv_read_file_at(m->sup->proc_fd, path, 65536, out);
}

/* ---- tasks ---- */

typedef struct Count {
	const Meter *meter;
	uint64_t tasks;
} Count;

static int count_tasks(void *ctx, pid_t pid)
{
	Count *c = ctx;
	CLEAN_FREE char *text = NULL;
	unsigned long threads = 1;

	if (read_of(c->meter, pid, "stat", &text) < 0)
		return 0;
	const char *end = strrchr(text, ')'); /* then: state ppid pgrp session tty tpgid flags, 10 counters, num_threads */
	if (end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %lu", &threads) != 1)
		threads = 1;
	c->tasks += threads;
	return 0;
}

void meter_counts(Meter *m, MeterCounts *out)
{
	Count c = {.meter = m};

	IGNORE_RESULT(m->pids ? proctree_list(m->sup->tree, count_tasks, &c) : 0);
	pthread_mutex_lock(&m->lock);
	m->counts.pids_peak = MAX(m->counts.pids_peak, c.tasks);
	*out = m->counts;
	pthread_mutex_unlock(&m->lock);
}

/* Clones that were allowed a moment ago, and perhaps have not happened. */
static uint64_t recent_locked(Meter *m)
{
	uint64_t now = bv_now_ns() / (RECENT_NS / SLOTS), sum = 0;

	for (; m->slot < now; m->slot++) {
		if (now - m->slot > SLOTS)
			m->slot = now - SLOTS;
		m->allowed[(m->slot + 1) % SLOTS] = 0;
	}
	for (size_t i = 0; i < SLOTS; i++)
		sum += m->allowed[i];
	return sum;
}

/* 0, -EAGAIN, or -EINPROGRESS: it depends on what was allowed just now. */
static int try_clone_locked(Meter *m)
{
	uint64_t recent = recent_locked(m);

	if (m->estimate >= m->pids) {
		Count c = {.meter = m};
		IGNORE_RESULT(proctree_list(m->sup->tree, count_tasks, &c));
		m->counts.pids_peak = MAX(m->counts.pids_peak, c.tasks);
		if (c.tasks >= m->pids)
			return -EAGAIN;
		if (c.tasks + recent >= m->pids)
			return -EINPROGRESS;
		m->estimate = c.tasks + recent;
	}
	m->estimate++;
	m->allowed[m->slot % SLOTS]++;
	return 0;
}

int meter_may_clone(Meter *m, bool may_block)
{
	int r = 0;

	if (!m || !m->pids)
		return 0;
	for (unsigned i = 0;; i++) {
		pthread_mutex_lock(&m->lock);
		r = try_clone_locked(m);
		if (r == -EINPROGRESS && may_block && i == WAITS)
			r = -EAGAIN; /* others clone all the time */
		m->counts.pids_hits += r == -EAGAIN;
		pthread_mutex_unlock(&m->lock);
		if (r != -EINPROGRESS || !may_block)
			return r;
		usleep(RECENT_NS / 1000);
	}
}

void meter_note_spawn(Meter *m)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->estimate = UINT64_MAX; /* the next clone counts */
	pthread_mutex_unlock(&m->lock);
}

/* ---- memory ---- */

typedef struct Usage {
	pid_t pid;
	uint64_t bytes;
} Usage;

typedef struct Memfd {
	ino_t ino;
	uint64_t bytes;
} Memfd;

typedef struct Look {
	const Meter *meter;
	bool exact;
	Usage *list;
	size_t count, room;
	uint64_t anonymous, shared; /* of all */
	Memfd *memfds;
	size_t n_memfds, memfd_room;
} Look;

static uint64_t kilobytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void note_memfd(Look *l, const struct stat *st)
{
	for (size_t i = 0; i < l->n_memfds; i++)
		if (l->memfds[i].ino == st->st_ino)
			return;
	if (BV_GROW(l->memfds, l->n_memfds, l->memfd_room))
		l->memfds[l->n_memfds++] = (Memfd){st->st_ino, (uint64_t)st->st_blocks * 512};
}

static void look_at_descriptors(Look *l, pid_t pid)
{
	char path[32];
	struct dirent *e;
	struct stat st;

	snprintf(path, sizeof path, "%d/fd", pid);
	int fd = l->meter->memfd_dev ? openat(l->meter->sup->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) == 0 && st.st_dev == l->meter->memfd_dev)
			note_memfd(l, &st);
	if (d)
		closedir(d);
}

/* First roughly and soon, from above: what is resident. Exactly takes some ten times as long. */
static int look_at(void *ctx, pid_t pid)
{
	Look *l = ctx;
	CLEAN_FREE char *text = NULL;
	uint64_t anonymous, shared = 0;

	if (read_of(l->meter, pid, l->exact ? "smaps_rollup" : "status", &text) < 0)
		return 0;
	if (l->exact) {
		anonymous = kilobytes(text, "\nPss_Anon:") + kilobytes(text, "\nSwapPss:");
		shared = kilobytes(text, "\nPss_Shmem:");
	} else {
		anonymous = kilobytes(text, "\nRssAnon:") + kilobytes(text, "\nRssShmem:") + kilobytes(text, "\nVmSwap:");
	}
	look_at_descriptors(l, pid);
	l->anonymous += anonymous;
	l->shared += shared;
	if (BV_GROW(l->list, l->count, l->room))
		l->list[l->count++] = (Usage){pid, anonymous + shared};
	return 0;
}

/* A memfd that is mapped is in `shared`, too: which of them are is not asked, so the larger sum counts. */
static uint64_t total_of(const Look *l)
{
	uint64_t files = 0;

	for (size_t i = 0; i < l->n_memfds; i++)
		files += l->memfds[i].bytes;
	return l->anonymous + (l->exact ? MAX(l->shared, files) : files);
}

static uint64_t look(const Meter *m, bool exact, Look *l)
{
	*l = (Look){.meter = m, .exact = exact};
	IGNORE_RESULT(proctree_list(m->sup->tree, look_at, l));
	return total_of(l);
}

static void look_release(Look *l)
{
	free(l->list);
	free(l->memfds);
}

static int by_size(const void *a, const void *b)
{
	const Usage *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void note_memory(Meter *m, uint64_t bytes, int killed)
{
	pthread_mutex_lock(&m->lock);
	m->counts.memory_peak = MAX(m->counts.memory_peak, bytes);
	m->counts.memory_hits += (uint64_t)killed;
	pthread_mutex_unlock(&m->lock);
}

static bool is_dying(const Meter *m, pid_t pid)
{
	uint64_t now = bv_now_ns();

	for (size_t i = 0; i < DYING; i++)
		if (m->dying[i].pid == pid && now - m->dying[i].since < DYING_NS)
			return true;
	return false;
}

/* The largest go first. Noted before, as its end may be told as soon as one is killed. */
static void kill_down_to(Meter *m, Look *l, uint64_t total)
{
	if (l->count)
		qsort(l->list, l->count, sizeof *l->list, by_size);
	for (size_t i = 0; i < l->count; i++)
		if (is_dying(m, l->list[i].pid))
			total -= MIN(total, l->list[i].bytes);
	for (size_t i = 0; i < l->count && total > m->memory; i++) {
		pid_t pid = l->list[i].pid;
		if (is_dying(m, pid))
			continue;
		note_memory(m, total, 1);
		if (proctree_kill(m->sup->tree, pid, SIGKILL) < 0) {
			note_memory(m, 0, -1);
			continue;
		}
		m->dying[m->next_dying++ % DYING] = (Dying){pid, bv_now_ns()};
		total -= MIN(total, MAX(l->list[i].bytes, UINT64_C(1)));
	}
}

unsigned meter_look(Meter *m)
{
	Look l;

	if (!m->memory)
		return LOOK_MOST_MS;
	uint64_t total = look(m, false, &l);
	look_release(&l);
	if (total > m->memory) {
		total = look(m, true, &l);
		if (total > m->memory)
			kill_down_to(m, &l, total);
		look_release(&l);
	}
	note_memory(m, total, 0);
	uint64_t left = m->memory - MIN(total, m->memory);
	return (unsigned)MIN(MAX(left / RATE, (uint64_t)LOOK_LEAST_MS), (uint64_t)LOOK_MOST_MS);
}
