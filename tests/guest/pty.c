/* tests/guest/pty.c - pseudo terminals: opened, named, made controlling, with job control.
 * COVERS: ioctl setsid setpgid openat */
#include "guest.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void attributes(void)
{
	struct winsize w = {24, 80, 0, 0}, got;
	struct termios t;
	struct stat st;
	char name[64];

	TRUTH(isatty(slave) && isatty(master));
	ERR(ttyname_r(slave, name, sizeof(name)) == 0 ? 0 : -1);
	TRUTH(strncmp(name, "/dev/pts/", 9) == 0);
	ERR(stat(name, &st));
	TRUTH(S_ISCHR(st.st_mode));
	ERR(ioctl(slave, TIOCSWINSZ, &w));
	ERR(ioctl(master, TIOCGWINSZ, &got));
	VAL(got.ws_col);
	ERR(tcgetattr(slave, &t));
	cfmakeraw(&t);
	ERR(tcsetattr(slave, TCSANOW, &t));
	int again = FD(open(name, O_RDWR | O_NOCTTY));
	VAL(write(again, "by name", 7));
	char buf[64];
	VAL(read(master, buf, sizeof(buf)));
	VAL(write(master, "typed", 5));
	VAL(read(slave, buf, sizeof(buf)));
	close(again);
	ERR(ioctl(open("/dev/null", O_RDWR), TIOCGWINSZ, &got));
}

/* The slave without a name: what openpty(3) tries first. */
static void peer(void)
{
	char mine[64], theirs[64];
	int fd = FD(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));

	TRUTH(isatty(fd));
	ERR(ttyname_r(slave, mine, sizeof(mine)) || ttyname_r(fd, theirs, sizeof(theirs)) ? -1 : 0);
	TRUTH(strcmp(mine, theirs) == 0);
	TRUTH(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	VAL(write(fd, "peer", 4));
	VAL(read(master, mine, sizeof(mine)));
	close(fd);
	fd = FD(ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY));
	TRUTH(fcntl(fd, F_GETFD) == 0);
	ERR(write(fd, "x", 1));
	close(fd);
	ERR(ioctl(slave, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	ERR(ioctl(open("/dev/null", O_RDWR), TIOCGPTPEER, O_RDWR | O_NOCTTY));
	ERR(ioctl(open("file", O_RDONLY), TIOCGPTPEER, O_RDWR | O_NOCTTY));
	ERR(ioctl(-1, TIOCGPTPEER, O_RDWR | O_NOCTTY));
}

static void in_session(void)
{
	char name[64];

	close(master);
	TRUTH(setsid() == getpid());
	ERR(open("/dev/tty", O_RDWR));
	ERR(ioctl(slave, TIOCSCTTY, 0));
	int tty = FD(open("/dev/tty", O_RDWR));
	VAL(write(tty, "T", 1));
	TRUTH(tcgetpgrp(slave) == getpgrp());
	TRUTH(tcgetsid(slave) == getpid());
	ERR(ttyname_r(slave, name, sizeof(name)) == 0 ? 0 : -1);
}

/* A background process that reads from the terminal is stopped; in the foreground it goes on. */
static void job_control(void)
{
	int status;
	char c = 0;

	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	signal(SIGTTOU, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		_exit(read(slave, &c, 1) == 1 && c == 'g' ? 3 : 4);
	}
	setpgid(pid, pid);
	waitpid(pid, &status, WUNTRACED);
	TRUTH(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
	ERR(tcsetpgrp(slave, pid));
	ERR(kill(-pid, SIGCONT));
	VAL(write(master, "g\n", 2));
	waitpid(pid, &status, 0);
	print_status("foreground job", status);
	ERR(tcsetpgrp(slave, getpgrp()));
}

static void interrupt_key(void)
{
	struct termios t;
	int status;

	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	tcgetattr(slave, &t);
	t.c_lflag |= ISIG;
	tcsetattr(slave, TCSANOW, &t);
	signal(SIGINT, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGINT, SIG_DFL);
		tcsetpgrp(slave, getpid());
		if (write(slave, "!", 1) != 1)
			_exit(9);
		pause();
		_exit(1);
	}
	char c;
	TRUTH(read(master, &c, 1) == 1 && c == '!');
	VAL(write(master, "\003", 1));
	waitpid(pid, &status, 0);
	print_status("interrupted", status);
}

static void hangup(void)
{
	signal(SIGHUP, SIG_DFL); /* below nohup it is ignored */
	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	close(master);
	pause(); /* SIGHUP ends it when the last master is closed */
}

int main(void)
{
	int status;

	ERR(openpty(&master, &slave, NULL, NULL, NULL));
	attributes();
	peer();
	in_child("session leader", in_session);
	ERR(openpty(&master, &slave, NULL, NULL, NULL));
	in_child("job control", job_control);
	ERR(openpty(&master, &slave, NULL, NULL, NULL));
	in_child("interrupt key", interrupt_key);
	ERR(openpty(&master, &slave, NULL, NULL, NULL));
	pid_t pid = fork();
	if (pid == 0)
		hangup();
	nap_ms(100);
	close(master);
	waitpid(pid, &status, 0);
	print_status("hangup", status);
	pid = forkpty(&master, NULL, NULL, NULL);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "test -t 0 && tty | sed 's/[0-9]*$/N/'; stty size; exit 6", NULL);
		_exit(99);
	}
	char buf[256];
	size_t n = 0;
	for (ssize_t r; n < sizeof(buf) && (r = read(master, buf + n, sizeof(buf) - n)) > 0;)
		n += (size_t)r;
	print_bytes(buf, n);
	printf("\n");
	waitpid(pid, &status, 0);
	print_status("shell on a pty", status);
	return 0;
}
