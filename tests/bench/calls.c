/* tests/bench/calls.c - what one system call costs: calls DIR [THREADS [NAME...]]
 *
 * DIR is a fixture that tests/bench/run made (f: 4 KiB file, l: symlink, d: directory, many: 1,000 entries, big: 1 MiB file). Every
 * operation runs in batches; each batch is timed as a whole by CLOCK_MONOTONIC, and the median batch divided by its calls is printed as
 * `NAME NANOSECONDS`. With two threads each works on names of its own and the slower thread's median is printed.
 * The same binary runs natively and in the sandbox, so that loop overhead is on both sides of a ratio. */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 15, MAX_THREADS = 8, BLOCK = 4096 };

extern char **environ;

/* What one thread works on: paths are made once, so that the loops hold nothing but calls. */
typedef struct Work {
	char file[PATH_MAX], missing[PATH_MAX], link[PATH_MAX], dir[PATH_MAX], top[PATH_MAX], many[PATH_MAX];
	char mine[PATH_MAX], other[PATH_MAX], sub[PATH_MAX];
	int fd; /* `big` of this thread, open for reading and writing */
	char buf[BLOCK];
} Work;

typedef struct Op {
	const char *name;
	int calls; /* in one batch */
	void (*once)(Work *w);
} Op;

static void must(int ok, const char *what)
{
	if (!ok)
		err(1, "%s", what);
}

static void op_stat(Work *w)
{
	struct stat st;
	must(stat(w->file, &st) == 0, "stat");
}

static void op_stat_enoent(Work *w)
{
	struct stat st;
	must(stat(w->missing, &st) < 0, "stat of a missing name");
}

static void op_open_close(Work *w)
{
	int fd = open(w->file, O_RDONLY);
	must(fd >= 0, "open");
	close(fd);
}

static void op_open_fstat_read_close(Work *w)
{
	struct stat st;
	int fd = open(w->file, O_RDONLY);
	must(fd >= 0 && fstat(fd, &st) == 0 && read(fd, w->buf, BLOCK) == BLOCK, "open+fstat+read");
	close(fd);
}

static void op_create_write_unlink(Work *w)
{
	int fd = open(w->mine, O_WRONLY | O_CREAT | O_EXCL, 0644);
	must(fd >= 0 && write(fd, w->buf, BLOCK) == BLOCK, "create+write");
	close(fd);
	must(unlink(w->mine) == 0, "unlink");
}

static void op_rename(Work *w)
{
	char swap[PATH_MAX];
	must(rename(w->mine, w->other) == 0, "rename");
	memcpy(swap, w->mine, sizeof(swap));
	memcpy(w->mine, w->other, sizeof(swap));
	memcpy(w->other, swap, sizeof(swap));
}

static void op_mkdir_rmdir(Work *w)
{
	must(mkdir(w->sub, 0755) == 0 && rmdir(w->sub) == 0, "mkdir+rmdir");
}

static void op_readdir_1000(Work *w)
{
	DIR *dir = opendir(w->many);
	int n = 0;
	must(dir != NULL, "opendir");
	while (readdir(dir))
		n++;
	closedir(dir);
	must(n == 1002, "readdir of 1,000");
}

static void op_readlink(Work *w)
{
	must(readlink(w->link, w->buf, BLOCK) > 0, "readlink");
}

static void op_chdir(Work *w)
{
	must(chdir(w->dir) == 0 && chdir(w->top) == 0, "chdir");
}

static void op_fork_exec(Work *w)
{
	char *argv[] = { (char *)"true", NULL };
	pid_t pid;
	int status;
	(void)w;
	must(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0, "posix_spawn");
	must(waitpid(pid, &status, 0) == pid && status == 0, "waitpid");
}

static void op_read(Work *w)
{
	must(pread(w->fd, w->buf, BLOCK, 8192) == BLOCK, "pread");
}

static void op_write(Work *w)
{
	must(pwrite(w->fd, w->buf, BLOCK, 8192) == BLOCK, "pwrite");
}

static void op_mmap(Work *w)
{
	char *map = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, w->fd, 0);
	must(map != MAP_FAILED, "mmap");
	w->buf[0] = *(volatile char *)map;
	munmap(map, BLOCK);
}

static void op_lseek(Work *w)
{
	must(lseek(w->fd, 4096, SEEK_SET) == 4096, "lseek");
}

static const Op ops[] = {
	{ "stat", 500, op_stat },
	{ "stat_enoent", 500, op_stat_enoent },
	{ "open_close", 500, op_open_close },
	{ "open_fstat_read_close", 300, op_open_fstat_read_close },
	{ "create_write_unlink", 100, op_create_write_unlink },
	{ "rename", 200, op_rename },
	{ "mkdir_rmdir", 100, op_mkdir_rmdir },
	{ "readdir_1000", 10, op_readdir_1000 },
	{ "readlink", 500, op_readlink },
	{ "chdir_twice", 200, op_chdir },
	{ "fork_exec", 15, op_fork_exec },
	{ "read_4k", 5000, op_read },
	{ "write_4k", 3000, op_write },
	{ "mmap_touch_munmap", 2000, op_mmap },
	{ "lseek", 10000, op_lseek },
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void make_path(char *out, const char *dir, const char *name, int thread)
{
	int n = thread < 0 ? snprintf(out, PATH_MAX, "%s/%s", dir, name) : snprintf(out, PATH_MAX, "%s/%s%d", dir, name, thread);
	must(n > 0 && n < PATH_MAX, "a path too long");
}

static void work_init(Work *w, const char *dir, int thread)
{
	char big[PATH_MAX];
	make_path(w->file, dir, "f", -1);
	make_path(w->missing, dir, "missing", -1);
	make_path(w->link, dir, "l", -1);
	make_path(w->dir, dir, "d", -1);
	make_path(w->top, dir, ".", -1);
	make_path(w->many, dir, "many", -1);
	make_path(w->mine, dir, "mine", thread);
	make_path(w->other, dir, "other", thread);
	make_path(w->sub, dir, "sub", thread);
	make_path(big, dir, "big", -1);
	w->fd = open(big, O_RDWR);
	must(w->fd >= 0, big);
}

typedef struct Task {
	const Op *op;
	Work *work;
	pthread_barrier_t *start;
	uint64_t median;
} Task;

static void *measure(void *arg)
{
	Task *task = arg;
	uint64_t took[BATCHES];
	task->op->once(task->work); /* warm: first copy-up, first path look-up */
	task->op->once(task->work);
	pthread_barrier_wait(task->start);
	for (int b = 0; b < BATCHES; b++) {
		uint64_t begin = now_ns();
		for (int i = 0; i < task->op->calls; i++)
			task->op->once(task->work);
		took[b] = (now_ns() - begin) / (uint64_t)task->op->calls;
	}
	qsort(took, BATCHES, sizeof(took[0]), ascending);
	task->median = took[BATCHES / 2];
	return NULL;
}

static void run_op(const Op *op, Work *works, int threads)
{
	pthread_t ids[MAX_THREADS];
	Task tasks[MAX_THREADS];
	pthread_barrier_t start;
	uint64_t slowest = 0;
	pthread_barrier_init(&start, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++) {
		int fd = op->once == op_rename ? open(works[i].mine, O_WRONLY | O_CREAT, 0644) : -1;
		close(fd);
		tasks[i] = (Task){ op, &works[i], &start, 0 };
		must(pthread_create(&ids[i], NULL, measure, &tasks[i]) == 0, "pthread_create");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		slowest = tasks[i].median > slowest ? tasks[i].median : slowest;
		if (op->once == op_rename)
			unlink(works[i].mine);
	}
	pthread_barrier_destroy(&start);
	printf("%s %llu\n", op->name, (unsigned long long)slowest);
	fflush(stdout);
}

static int chosen(const char *name, int argc, char **argv)
{
	for (int i = 3; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc <= 3;
}

int main(int argc, char **argv)
{
	static Work works[MAX_THREADS];
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	if (argc < 2 || threads < 1 || threads > MAX_THREADS)
		errx(2, "usage: calls DIR [THREADS [NAME...]]");
	for (int i = 0; i < threads; i++)
		work_init(&works[i], argv[1], i);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (chosen(ops[i].name, argc, argv))
			run_op(&ops[i], works, threads);
	return 0;
}
