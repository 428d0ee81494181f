/* tests/guest/threads.c - one to eight threads make path calls at once; and descriptors are closed by another thread meanwhile.
 * COVERS: clone futex openat newfstatat rename unlink mkdir rmdir getdents64 close dup2 set_robust_list */
#include "guest.h"

#include <pthread.h>
#include <sys/uio.h>

enum { ROUNDS = 150, MAX_THREADS = 8 };

struct Work {
	int id, wrong;
};

static void expect(struct Work *w, bool good, const char *what)
{
	if (!good && w->wrong++ < 3)
		printf("thread %d: %s: %s\n", w->id, what, errname(errno));
}

/* A life in a directory of one's own: nothing that others do may disturb it. */
static void *private_work(void *arg)
{
	struct Work *w = arg;
	char dir[32], a[64], b[64];
	struct stat st;

	snprintf(dir, sizeof(dir), "thread-%d", w->id);
	expect(w, mkdir(dir, 0755) == 0, "mkdir");
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	for (int i = 0; i < ROUNDS; i++) {
		expect(w, put(a, "some text"), "put");
		expect(w, stat(a, &st) == 0 && st.st_size == 9, "stat");
		expect(w, rename(a, b) == 0, "rename");
		expect(w, access(a, F_OK) < 0 && errno == ENOENT, "access");
		expect(w, stat("dir/a", &st) == 0 && st.st_size == 2, "stat of a host file");
		expect(w, unlink(b) == 0, "unlink");
	}
	expect(w, rmdir(dir) == 0, "rmdir");
	return NULL;
}

/* All want the same names: exactly one may win each. */
static int winners[ROUNDS];
static pthread_barrier_t barrier;

static void *shared_work(void *arg)
{
	struct Work *w = arg;

	for (int i = 0; i < ROUNDS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "contest-%d", i);
		pthread_barrier_wait(&barrier);
		int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
		if (fd >= 0)
			__atomic_add_fetch(&winners[i], 1, __ATOMIC_SEQ_CST);
		else
			expect(w, errno == EEXIST, "O_EXCL");
		close_quiet(fd);
		pthread_barrier_wait(&barrier);
		if (unlink(name) == 0)
			__atomic_add_fetch(&winners[i], 10, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&barrier);
		if (mkdir(name, 0755) == 0)
			__atomic_add_fetch(&winners[i], 100, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&barrier);
		char mine[40];
		snprintf(mine, sizeof(mine), "%s-won", name);
		if (rename(name, mine) == 0)
			__atomic_add_fetch(&winners[i], 1000, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&barrier);
		rmdir(mine);
	}
	return NULL;
}

static void run(int count, void *(*work)(void *), const char *label)
{
	pthread_t threads[MAX_THREADS];
	struct Work works[MAX_THREADS];
	int wrong = 0;

	memset(works, 0, sizeof(works));
	memset(winners, 0, sizeof(winners));
	pthread_barrier_init(&barrier, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		works[i].id = i;
		pthread_create(&threads[i], NULL, work, &works[i]);
	}
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		wrong += works[i].wrong;
	}
	pthread_barrier_destroy(&barrier);
	printf("%s %d threads: %d wrong", label, count, wrong);
	if (work == shared_work) {
		int once = 0;

		for (int i = 0; i < ROUNDS; i++)
			once += winners[i] == 1111;
		printf(", %d of %d contests with one winner", once, ROUNDS);
	}
	printf("\n");
}

/* One thread opens and uses, another closes and replaces every number: any errno, never another file's bytes in ours. */
static volatile bool stop;

static void *closer(void *arg)
{
	for (unsigned i = 0; !stop; i++)
		close(10 + (int)(i % 20));
	return arg;
}

static void *replacer(void *arg)
{
	while (!stop) {
		int fd = open("dir", O_RDONLY);

		for (int n = 10; fd >= 0 && n < 30 && !stop; n++)
			dup2(fd, n);
		close_quiet(fd);
	}
	return arg;
}

static void racing_descriptors(void)
{
	pthread_t a, b;
	struct stat st;
	char buf[16];

	pthread_create(&a, NULL, closer, NULL);
	pthread_create(&b, NULL, replacer, NULL);
	for (int i = 0; i < 600; i++) {
		int n = 10 + i % 20;

		fstat(n, &st);
		close_quiet(openat(n, "a", O_RDONLY));
		fstatat(n, "sub/c", &st, 0);
		fstatat(n, "", &st, AT_EMPTY_PATH);
		if (fchdir(n) == 0 && chdir(guest_fixture) < 0)
			printf("no way back\n");
		syscall(__NR_getdents64, n, buf, sizeof(buf));
		fchmod(n, 0755);
	}
	stop = true;
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	close_range(3, ~0U, 0);
	show("dir/a");
	look("dir");
}

/* A process that ends in the middle of its own calls, in every thread. */
static void *endless(void *arg)
{
	char name[32];

	snprintf(name, sizeof(name), "endless-%d", *(int *)arg);
	for (;;) {
		put(name, "x");
		unlink(name);
	}
	return NULL;
}

static void killed_meanwhile(void)
{
	int status, killed = 0;

	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			static int ids[4] = {0, 1, 2, 3};
			pthread_t t;

			for (int n = 0; n < 4; n++)
				pthread_create(&t, NULL, endless, &ids[n]);
			pause();
		}
		nap_ms(5 + i);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	VAL(killed);
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "endless-%d", i);
		unlink(name);
	}
	ERR(put("after", "still served"));
	show("after");
}

/* Huge vectors of buffers are the kernel's business: counts at and over the limit. */
static void vectors(void)
{
	static char bytes[2048];
	struct iovec *io = calloc(1100, sizeof(*io));
	int fd = FD(open("vector", O_RDWR | O_CREAT, 0644));

	for (int i = 0; i < 1100; i++)
		io[i] = (struct iovec){bytes + i, 1};
	VAL(writev(fd, io, 1024));
	VAL(writev(fd, io, 1025));
	VAL(writev(fd, io, -1));
	VAL(writev(fd, NULL, 1));
	VAL(preadv(fd, io, 1024, 0));
	io[0].iov_len = (size_t)-1;
	VAL(writev(fd, io, 1));
	io[0].iov_base = (void *)8;
	io[0].iov_len = 8;
	VAL(writev(fd, io, 1));
	look("vector");
	free(io);
}

int main(void)
{
	for (int n = 1; n <= MAX_THREADS; n *= 2) {
		run(n, private_work, "own names");
		run(n, shared_work, "same names");
	}
	in_child("racing descriptors", racing_descriptors);
	killed_meanwhile();
	vectors();
	list("dir");
	return 0;
}
