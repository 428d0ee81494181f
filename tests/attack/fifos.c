/* More blocked calls than the supervisor has threads for them: readers of many FIFOs wait, then their writers come. All must meet, and other
 * calls must go on meanwhile. */
#include "attack.h"

#define N 700

static void *reader(void *arg)
{
	char path[64];

	snprintf(path, sizeof path, "/tmp/attack.f/%d", (int)(intptr_t)arg);
	int fd = open(path, O_RDONLY);
	if (fd >= 0)
		close(fd);
	return (void *)(intptr_t)(fd >= 0);
}

int main(void)
{
	static pthread_t t[N];
	pthread_attr_t attr;
	char path[64];
	struct stat st;
	int met = 0, status;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	NEED(mkdir("/tmp/attack.f", 0755) == 0);
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof path, "/tmp/attack.f/%d", i);
		NEED(mkfifo(path, 0600) == 0);
		NEED(pthread_create(&t[i], &attr, reader, (void *)(intptr_t)i) == 0);
	}
	sleep(1);
	pid_t pid = fork();
	if (pid == 0) { /* what may wait for other reasons must not queue behind them for ever */
		int fd = open("/tmp/attack.f/file", O_RDWR | O_CREAT, 0600);
		_exit(stat("/etc", &st) < 0 || fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) < 0);
	}
	if (!ends_within(pid, 10, &status) || status != 0)
		won("fsync waits behind the FIFOs");
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < N; i++) {
			snprintf(path, sizeof path, "/tmp/attack.f/%d", N - 1 - i);
			int fd = open(path, O_WRONLY);
			if (fd >= 0)
				close(fd);
		}
		_exit(0);
	}
	if (!ends_within(pid, 30, &status)) {
		won("the writers wait for readers that wait for a thread");
		kill(pid, SIGKILL);
		_exit(verdict());
	}
	for (int i = 0; i < N; i++) {
		void *r;
		pthread_join(t[i], &r);
		met += r != NULL;
	}
	printf("%d of %d met\n", met, N);
	return verdict();
}
