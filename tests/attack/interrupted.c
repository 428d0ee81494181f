/* A signal for the process, taken by one thread, while another one waits in an emulated call: that one must not see a value that is meant
 * for the kernel (ERESTARTSYS), nor be interrupted for good. */
#include "attack.h"

static char fifo_a[] = "/tmp/attack.fa", fifo_b[] = "/tmp/attack.fb";
static volatile int hits;

static void on_signal(int sig)
{
	(void)sig;
	hits++;
}

static void *second(void *arg)
{
	(void)arg;
	int fd = open(fifo_b, O_RDONLY);
	if (fd < 0 && errno != EINTR)
		won("open() of a thread without a signal says errno %d", errno);
	else if (fd < 0)
		won("open() of a thread without a signal was interrupted");
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	pthread_t t;

	sigaction(SIGUSR1, &sa, NULL);
	unlink(fifo_a);
	unlink(fifo_b);
	NEED(mkfifo(fifo_a, 0600) == 0 && mkfifo(fifo_b, 0600) == 0);
	for (int i = 0; i < 10 && !wins; i++) {
		pid_t parent = getpid();
		pthread_create(&t, NULL, second, NULL);
		pid_t pid = fork();
		if (pid == 0) {
			usleep(150000);
			kill(parent, SIGUSR1);
			usleep(150000);
			int fd = open(fifo_b, O_WRONLY | O_NONBLOCK);
			_exit(fd < 0 ? 9 : 0);
		}
		int fd = open(fifo_a, O_RDONLY);
		if (fd >= 0 || errno != EINTR)
			won("the interrupted open() says %d, errno %d", fd, errno);
		int status;
		if (!ends_within(pid, 10, &status) || (status != 0 && !wins))
			won("the second thread no longer waits");
		pthread_join(t, NULL);
	}
	return verdict();
}
