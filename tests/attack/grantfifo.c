/* A FIFO below a directory that was granted for writing: whoever opens it must not stall the supervisor. RW: rw */
#include "attack.h"

static const char *dir;

static void fifo(void)
{
	int status;
	const char *path = in_dir(dir, "rw/fifo");

	NEED(mkfifo(path, 0600) == 0);
	pid_t reader = fork();
	if (reader == 0)
		_exit(open(path, O_RDONLY) < 0);
	usleep(100000);
	pid_t looker = fork();
	if (looker == 0) {
		struct stat st;
		_exit(stat("/etc/passwd", &st) < 0 || stat(dir, &st) < 0);
	}
	if (!ends_within(looker, 5, &status))
		won("a FIFO below a grant stalls every call of others");
	pid_t writer = fork();
	if (writer == 0)
		_exit(open(path, O_WRONLY) < 0);
	if (!ends_within(writer, 5, &status) || !ends_within(reader, 5, &status))
		won("the two ends of a FIFO below a grant do not meet");
	kill(reader, SIGKILL);
	kill(writer, SIGKILL);
	unlink(path);
}

int main(int argc, char **argv)
{
	dir = argc > 1 ? argv[1] : ".";
	fifo();
	return verdict();
}
