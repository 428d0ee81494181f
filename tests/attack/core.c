/* The kernel writes a core file into the working directory by itself; the floor forbids it, where there is one. MASK: landlock */
#include "attack.h"

int main(int argc, char **argv)
{
	struct rlimit lim = {RLIM_INFINITY, RLIM_INFINITY};
	int status;

	NEED(argc > 1 && chdir(in_dir(argv[1], "host/sub")) == 0);
	if (setrlimit(RLIMIT_CORE, &lim) < 0 && getrlimit(RLIMIT_CORE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_CORE, &lim);
	}
	pid_t pid = fork();
	if (pid == 0)
		abort();
	NEED(waitpid(pid, &status, 0) == pid);
	if (WCOREDUMP(status))
		won("the kernel wrote a core file");
	return verdict();
}
