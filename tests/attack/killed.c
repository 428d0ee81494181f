/* Guests are killed at random moments of rewritten calls (chdir into the sandbox's own directories, exec of the sandbox's own files), from
 * outside and by a sibling's exec; their parent must always be able to reap them, and the supervisor must go on answering. */
#include "attack.h"

static volatile bool go = true;

static void *change(void *arg)
{
	(void)arg;
	while (go)
		if (chdir("/tmp/attack.d/a") < 0 || chdir("/tmp/attack.d/b") < 0)
			break;
	return NULL;
}

static void child(int kind)
{
	char *const argv[] = {(char *)"x", (char *)"quit", NULL};
	pthread_t t;

	if (kind == 1) { /* another thread's rewriting, met by our exec */
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, change, NULL);
		usleep((useconds_t)(rand() % 2000));
		execv("/tmp/attack.d/self", argv);
		_exit(4);
	}
	change(NULL);
	_exit(5);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 400, status;
	char cmd[4400];

	if (argc > 1 && strcmp(argv[1], "quit") == 0)
		return 0;
	mkdir("/tmp/attack.d", 0755);
	NEED(mkdir("/tmp/attack.d/a", 0755) == 0 && mkdir("/tmp/attack.d/b", 0755) == 0);
	snprintf(cmd, sizeof cmd, "cp /proc/%d/exe /tmp/attack.d/self", getpid());
	NEED(system(cmd) == 0);
	srand(4711);
	for (int i = 0; i < rounds && !wins; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			srand((unsigned)i);
			child(i & 1);
		}
		if (!(i & 1)) {
			usleep((useconds_t)(rand() % 3000));
			kill(pid, SIGKILL);
		}
		if (!ends_within(pid, 10, &status)) {
			won("round %d: a process cannot be reaped", i);
			kill(pid, SIGKILL);
		}
	}
	return verdict();
}
