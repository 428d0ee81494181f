/* cli/key.c - the options of a place's key, and asking for a passphrase on the terminal.
 *
 * A passphrase goes from the terminal into the library's memory and is nowhere else: no stdio, no buffer of our own. The terminal gets its echo back also when a signal ends the wait. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int signal)
{
	caught = signal;
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* One line, without its end. The length, or a negative errno: -ECANCELED for a signal or end of file. */
static int read_line(int fd, char *out, size_t room)
{
	size_t n = 0;

	while (!caught) {
		char c = 0;
		ssize_t got = read(fd, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ECANCELED;
		if (c == '\n') {
			out[n] = '\0';
			return (int)n;
		}
		if (n + 1 == room)
			return -EMSGSIZE;
		out[n++] = c;
	}
	return -ECANCELED;
}

static int ask_quietly(int fd, const char *place, int attempt, char *out, size_t room)
{
	struct sigaction old[ARRAY_LEN(signals)];
	struct sigaction ours = {.sa_handler = on_signal}; /* not SA_RESTART */
	struct termios before, quiet;

	if (tcgetattr(fd, &before) < 0)
		return -ENOTTY;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], &ours, &old[i]);
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	dprintf(fd, "%sPassphrase of %s: ", attempt ? "That is not it. " : "", place);
	int r = read_line(fd, out, room);
	tcsetattr(fd, TCSAFLUSH, &before);
	dprintf(fd, "\n");
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], &old[i], NULL);
	return r;
}

/* While OpenSSL makes a key of a passphrase it has a copy of that on the heap: so no core dump at all, and no look into this process. */
static void keep_out_of_dumps(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

static int ask(void *ctx, const char *place, int attempt, char *passphrase, size_t room)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	(void)ctx;
	if (fd < 0)
		return -ENOTTY;
	keep_out_of_dumps();
	progress_end();
	int r;
	do {
		caught = 0;
		r = ask_quietly(fd, place, attempt, passphrase, room);
		if (caught)
			raise(caught); /* returns after a stop, and where it is ignored */
	} while (caught == SIGTSTP);
	close(fd);
	return r;
}

void key_begin(BvKeyOptions *key)
{
	*key = (BvKeyOptions)BV_KEY_OPTIONS_INIT;
	key->ask = ask;
	if (getenv("BVISOR_KEY_FILE") || getenv("BVISOR_PASSPHRASE_FILE"))
		keep_out_of_dumps();
}

BvKeyOptions *key_of_command(void)
{
	static BvKeyOptions key;

	if (!key.size)
		key_begin(&key);
	return &key;
}

bool key_option(BvKeyOptions *key, int option)
{
	if (option == OPT_KEY_FILE)
		key->key_file = optarg;
	else if (option == OPT_PASSPHRASE_FILE)
		key->passphrase_file = optarg;
	else
		return false;
	keep_out_of_dumps();
	return true;
}

int open_sandbox(const char *name, BvSandbox **out, BvError **err)
{
	int r = bv_sandbox_open(NULL, name, out, err);

	if (r == 0 && (r = bv_sandbox_set_key(*out, key_of_command(), err)) < 0) {
		bv_sandbox_close(*out);
		*out = NULL;
	}
	return r;
}
