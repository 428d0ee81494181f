/* A process of the host waits until somebody reads a FIFO. A guest's open must not be that somebody. HOSTFIFO */
#include "attack.h"

int main(int argc, char **argv)
{
	static const int flags[] = {O_RDONLY | O_NONBLOCK, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, O_RDWR | O_NONBLOCK, O_RDONLY, O_PATH};
	const char *path = in_dir(argc > 1 ? argv[1] : ".", "host/fifo");
	int status;

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			char buf[16];
			int fd = open(path, flags[i]);
			_exit(fd >= 0 && read(fd, buf, sizeof buf) > 0 ? 7 : 0);
		}
		if (!ends_within(pid, 0.3, &status)) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 7)
			won("read from the host's process");
	}
	return verdict();
}
