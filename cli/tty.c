/* cli/tty.c - a pseudo terminal of our own between the user's terminal and the command.
 *
 * The user's terminal is put into raw mode, so that the line discipline that counts (echo, ^C, ^Z) is the one of the command's pty. It is
 * restored by tty_close, and by an exit handler for the ways out that do not come by there. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct Tty {
	int master;
	uint64_t written;     /* by the command */
	bool raw;	      /* the user's terminal has to be restored */
	struct termios saved; /* of stdin */
};

static Tty *restore_at_exit;

static void restore(void)
{
	if (restore_at_exit && restore_at_exit->raw) {
		restore_at_exit->raw = false;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &restore_at_exit->saved);
	}
	restore_at_exit = NULL;
}

static void make_raw(Tty *tty)
{
	struct termios raw = tty->saved;

	cfmakeraw(&raw);
	restore_at_exit = tty;
	atexit(restore);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
		tty->raw = true;
}

Tty *tty_open(int *slave)
{
	Tty *tty = xrealloc(NULL, sizeof(*tty));
	struct winsize size;
	bool terminal = tcgetattr(STDIN_FILENO, &tty->saved) == 0;
	bool sized = ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

	tty->raw = false;
	if (openpty(&tty->master, slave, NULL, terminal ? &tty->saved : NULL, sized ? &size : NULL) < 0) {
		free(tty);
		return NULL;
	}
	fcntl(tty->master, F_SETFD, FD_CLOEXEC);
	fcntl(*slave, F_SETFD, FD_CLOEXEC);
	fcntl(tty->master, F_SETFL, O_NONBLOCK);
	if (terminal)
		make_raw(tty);
	return tty;
}

void tty_resize(Tty *tty)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(tty->master, TIOCSWINSZ, &size);
}

int tty_master(const Tty *tty)
{
	return tty->master;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};
			if (poll(&p, 1, 1000) == 0)
				return true; /* the command does not read: drop, as a terminal with a full queue does */
			continue;
		}
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

bool tty_input(Tty *tty)
{
	static const char end_of_file = 4; /* ^D: what a terminal's user types */
	char buf[4096];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		(void)write_all(tty->master, &end_of_file, 1);
		return false;
	}
	return write_all(tty->master, buf, (size_t)n);
}

bool tty_output(Tty *tty)
{
	char buf[16384];
	ssize_t n = read(tty->master, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	tty->written += n > 0 ? (uint64_t)n : 0;
	return n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n); /* EIO: nobody has the other side any more */
}

uint64_t tty_written(const Tty *tty)
{
	return tty->written;
}

void tty_close(Tty *tty)
{
	if (!tty)
		return;
	restore();
	close(tty->master);
	free(tty);
}
