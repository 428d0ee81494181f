/* A long chain of processes, each the parent of the next, and many brothers; all must die with the supervisor. MODE: kill */
#include "attack.h"

int main(int argc, char **argv)
{
	int depth = argc > 2 ? atoi(argv[2]) : 300;
	pid_t last;

	for (int i = 0; i < depth; i++) {
		last = fork();
		if (last < 0)
			break;
		if (last > 0) {
			for (;;)
				pause();
		}
	}
	for (int i = 0; i < 100; i++)
		if (fork() == 0)
			for (;;)
				pause();
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
