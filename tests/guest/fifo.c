/* tests/guest/fifo.c - FIFOs of the host and of the sandbox: blocking opens, and opens interrupted by signals.
 * COVERS: openat mknodat rt_sigaction setitimer */
#include "guest.h"

#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void alarm_in(long ms, int flags)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = flags};
	struct itimerval t = {.it_value = {ms / 1000, ms % 1000 * 1000}};

	alarms = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static pid_t child_opens(const char *path, int flags, long after_ms)
{
	pid_t pid = fork();

	if (pid == 0) {
		nap_ms(after_ms);
		int fd = open(path, flags);
		if (fd >= 0 && (flags & O_ACCMODE) == O_WRONLY && write(fd, "from child", 10) != 10)
			_exit(2);
		char buf[32];
		if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && read(fd, buf, sizeof(buf)) < 1)
			_exit(3);
		_exit(fd < 0);
	}
	return pid;
}

static void reap(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	print_status("child", status);
}

static void meeting(const char *path)
{
	char buf[32] = "";

	printf("%s\n", path);
	pid_t pid = child_opens(path, O_WRONLY, 100);
	int fd = FD(open(path, O_RDONLY));
	VAL(read(fd, buf, sizeof(buf)));
	print_bytes(buf, 10);
	printf("\n");
	reap(pid);
	VAL(read(fd, buf, sizeof(buf)));
	close(fd);
	pid = child_opens(path, O_RDONLY, 100);
	fd = FD(open(path, O_WRONLY));
	VAL(write(fd, "to child", 8));
	reap(pid);
	VAL(write(fd, "x", 1));
	close(fd);
	ERR(open(path, O_WRONLY | O_NONBLOCK));
	fd = FD(open(path, O_RDONLY | O_NONBLOCK));
	VAL(read(fd, buf, 1));
	int w = FD(open(path, O_WRONLY | O_NONBLOCK));
	VAL(read(fd, buf, 1));
	VAL(write(w, "now", 3));
	VAL(read(fd, buf, 10));
	close(w);
	close(fd);
	fd = FD(open(path, O_RDWR));
	VAL(write(fd, "self", 4));
	VAL(read(fd, buf, 10));
	close(fd);
	ERR(open(path, O_RDONLY | O_DIRECTORY));
	fd = FD(open(path, O_RDONLY | O_PATH));
	VAL(read(fd, buf, 1));
	close(fd);
}

static void interrupted(const char *path)
{
	alarm_in(100, 0);
	ERR(open(path, O_RDONLY));
	VAL(alarms);
	alarm_in(100, 0);
	ERR(open(path, O_WRONLY));
	VAL(alarms);
	alarm_in(100, SA_RESTART);
	pid_t pid = child_opens(path, O_WRONLY, 300);
	int fd = FD(open(path, O_RDONLY));
	VAL(alarms);
	reap(pid); /* before the close, or its write has no reader */
	close(fd);
}

/* A guest killed while it waits in an open leaves nothing behind. */
static void killed(const char *path)
{
	pid_t pid = child_opens(path, O_RDONLY, 0);

	nap_ms(100);
	ERR(kill(pid, SIGKILL));
	reap(pid);
	nap_ms(200); /* the supervisor's own wait in its place ends a little later */
	ERR(open(path, O_WRONLY | O_NONBLOCK));
	pid = child_opens(path, O_RDONLY, 0);
	nap_ms(100);
	ERR(kill(pid, SIGTERM));
	reap(pid);
}

/* Others go on while many wait. */
static void many_waiting(const char *path)
{
	enum { WAITERS = 12 };
	pid_t pids[WAITERS];

	for (int i = 0; i < WAITERS; i++)
		pids[i] = child_opens(path, O_RDONLY, 0);
	nap_ms(100);
	ERR(put("meanwhile", "others work\n"));
	show("meanwhile");
	int status, good = 0, fd = FD(open(path, O_WRONLY));
	nap_ms(100);
	for (int i = 0; i < WAITERS; i++)
		good += write(fd, "0123456789012345678901234567890123456789", 32) == 32;
	for (int i = 0; i < WAITERS; i++)
		waitpid(pids[i], &status, 0);
	VAL(good);
	close(fd);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	ERR(mkfifo("new-fifo", 0644));
	ERR(mkfifo("new-fifo", 0644));
	meeting("new-fifo");
	meeting("fifo");
	interrupted("new-fifo");
	interrupted("fifo");
	killed("new-fifo");
	many_waiting("new-fifo");
	ERR(rename("fifo", "renamed-fifo"));
	meeting("renamed-fifo");
	ERR(unlink("renamed-fifo"));
	look("renamed-fifo");
	return 0;
}
