/* Guests that are stopped and continued, and get signals all the time, during every kind of call: the calls must have their effect once. */
#include "attack.h"

static void on_signal(int sig)
{
	(void)sig;
}

/* Before Linux 5.19 the kernel loses an answer now and then, when a signal comes in the same moment: then a call is made twice. */
static int spared = 0;

static bool did(int result)
{
	return result == 0 || (spared > 0 && (errno == EEXIST || errno == ENOENT) && spared--);
}

static int work(void)
{
	char *const argv[] = {(char *)"x", (char *)"quit", NULL};
	char path[64];

	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "/tmp/attack.s/%d", i);
		if (!did(mkdir(path, 0755)))
			return 10;
		if (chdir(path) < 0)
			return 11;
		int fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			return 12;
		if (write(fd, "x", 1) != 1 || fsync(fd) < 0 || close(fd) < 0)
			return 13;
		if (!did(rename("f", "g")) || !did(unlink("g")))
			return 14;
		if (i % 10 == 0) {
			pid_t pid = fork();
			if (pid == 0) {
				execv("/tmp/attack.s/self", argv);
				_exit(20);
			}
			int status;
			while (waitpid(pid, &status, 0) < 0)
				if (errno != EINTR)
					return 15;
			if (status != 0)
				return 16;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	char cmd[200];
	int status;

	if (argc > 1 && strcmp(argv[1], "quit") == 0)
		return 0;
	if (getenv("BVISOR_MASK") && strstr(getenv("BVISOR_MASK"), "killable"))
		spared = 10;
	NEED(mkdir("/tmp/attack.s", 0755) == 0);
	snprintf(cmd, sizeof cmd, "cp /proc/%d/exe /tmp/attack.s/self", getpid());
	NEED(system(cmd) == 0);
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, NULL); /* before there is anybody to get one */
	pid_t pid = fork();
	if (pid == 0)
		_exit(work());
	double end = now() + 60;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		static const int signals[] = {SIGSTOP, SIGCONT, SIGUSR1, SIGCONT, SIGUSR1};
		if (now() > end) {
			won("a process with signals never ends");
			kill(pid, SIGCONT);
			kill(pid, SIGKILL);
			return verdict();
		}
		kill(pid, signals[rand() % 5]);
		usleep((useconds_t)(rand() % 3000));
		kill(pid, SIGCONT);
	}
	if (status != 0)
		won("step %d of the work failed under signals (signal %d)", WEXITSTATUS(status), WTERMSIG(status));
	return verdict();
}
