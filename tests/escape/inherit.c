/* tests/escape/inherit.c - descriptors that the caller has: as standard input (needs: stdin=...), or above. What they are for stays possible, nothing else. */
#include "escape.h"

#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <termios.h>

ATTEMPT(given_dir, "changes relative to a directory given as standard input", HARMS, "stdin=dir")
{
	write_to(openat(0, "file", O_WRONLY));
	unlinkat(0, "other", 0);
	mkdirat(0, "made", 0755);
	fchmod(0, 0700);
	symlinkat("x", 0, "newlink");
	renameat(0, "sub", 0, "sub2");
}

ATTEMPT(given_dir_hidden, "what is hidden, from a directory given as standard input", GAINS, "stdin=dir")
{
	look(openat(0, "../hidden/key", O_RDONLY), "openat");
	look_at("/proc/self/fd/0/../hidden/key", "fd/0");
	look_at("/dev/stdin/../hidden/key", "/dev/stdin");
	NEED(fchdir(0) == 0);
	look_at("../hidden/key", "fchdir");
	look_at("/proc/self/cwd/../hidden/key", "cwd");
}

ATTEMPT(given_opath, "changes relative to an O_PATH descriptor of a directory", HARMS, "stdin=opath")
{
	write_to(openat(0, "file", O_WRONLY));
	unlinkat(0, "other", 0);
	linkat(0, "other", 0, "linked", 0);
	fchmodat(0, ".", 0700, 0);
}

ATTEMPT(given_opath_hidden, "the hidden directory itself given as an O_PATH descriptor", GAINS, "stdin=hidden")
{
	look(openat(0, "key", O_RDONLY), "openat");
	look_at("/proc/self/fd/0/key", "fd/0");
	if (fchdir(0) == 0)
		look_at("key", "fchdir");
}

ATTEMPT(given_reader, "a file given for reading, opened for writing and changed", HARMS, "stdin=read")
{
	write_at("/proc/self/fd/0", O_WRONLY);
	write_at("/dev/stdin", O_RDWR);
	fchmod(0, 0777);
	futimens(0, NULL);
	fsetxattr(0, "user.owned", "x", 1, 0);
	linkat(0, "", AT_FDCWD, in("host/linked"), AT_EMPTY_PATH);
	linkat(AT_FDCWD, "/proc/self/fd/0", AT_FDCWD, in("host/linked2"), AT_SYMLINK_FOLLOW);
}

ATTEMPT(given_writer, "mode, owner, times and names of a file given for writing", HARMS, "stdin=write")
{
	fchmod(0, 04777);
	fchown(0, getuid() ? getuid() : 12345, getgid());
	fsetxattr(0, "user.owned", "x", 1, 0);
	linkat(AT_FDCWD, "/proc/self/fd/0", AT_FDCWD, in("host/linked"), AT_SYMLINK_FOLLOW);
	rename("/proc/self/fd/0", in("host/moved"));
	unlink(in("host/file"));
}

ATTEMPT(given_proc, "/proc of the host given as standard input", GAINS, "stdin=proc")
{
	char buf[256], list[32768];

	look(openat(0, fmt_path("%d/environ", victim()), O_RDONLY), "environ");
	look(openat(0, fmt_path("%d/fd/100", victim()), O_RDONLY), "fd/100");
	look(openat(0, fmt_path("%d/cwd/key", victim()), O_RDONLY), "cwd");
	look(openat(0, fmt_path("%d/root%s", victim(), in("hidden/key")), O_RDONLY), "root");
	if (readlinkat(0, fmt_path("%d/exe", victim()), buf, sizeof buf) > 0)
		got("exe");
	long n = syscall(SYS_getdents64, 0, list, sizeof list);
	for (long at = 0; at < n; at += *(unsigned short *)(void *)(list + at + 16))
		if (strcmp(list + at + 19, fmt_path("%d", victim())) == 0)
			got("listed");
	if (fchdir(0) == 0)
		look_at(fmt_path("%d/environ", victim()), "the working directory");
}

ATTEMPT(given_proc_pid, "/proc/PID of the victim given as standard input", GAINS, "stdin=victim")
{
	look(openat(0, "environ", O_RDONLY), "environ");
	look(openat(0, "cwd/key", O_RDONLY), "cwd");
	look(openat(0, "fd/100", O_RDONLY), "fd/100");
	int mem = openat(0, "mem", O_RDWR);
	if (mem >= 0)
		got("mem");
	look(openat(0, "task/../environ", O_RDONLY), "task/..");
	if (syscall(SYS_pidfd_send_signal, 0, SIGUSR1, NULL, 0) == 0)
		got("it is a pidfd");
}

ATTEMPT(given_proc_pid_harm, "... to change it", HARMS, "stdin=victim")
{
	int fd = openat(0, "oom_score_adj", O_WRONLY);

	if (fd >= 0 && write(fd, "777", 3) != 3)
		puts("not written");
	write_to(openat(0, "cwd/../host/file", O_WRONLY));
	unlinkat(0, "cwd/../host/other", 0);
}

ATTEMPT(given_root, "/proc/PID/root given as an O_PATH descriptor", GAINS, "stdin=root")
{
	look(openat(0, in("hidden/key") + 1, O_RDONLY), "openat");
	if (fchdir(0) == 0)
		look_at(in("hidden/key") + 1, "fchdir");
	look_at(fmt_path("/proc/self/fd/0%s", in("hidden/key")), "fd/0");
}

ATTEMPT(given_pidfd, "a pidfd of the victim given as standard input", HARMS, "stdin=pidfd")
{
	syscall(SYS_pidfd_send_signal, 0, SIGUSR1, NULL, 0);
	int fd = (int)syscall(SYS_pidfd_getfd, 0, 100, 0);
	look(fd, "pidfd_getfd");
}

ATTEMPT(given_namespace, "a namespace of the host given as standard input", GAINS, "stdin=ns")
{
	if (setns(0, 0) == 0)
		got("entered it");
	else
		cannot("setns: %s", strerror(errno));
}

ATTEMPT(given_above, "descriptors above 2 that the caller has open", GAINS, "descriptors")
{
	for (int fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			look(fd, "an inherited descriptor");
}

static void take_terminal(void)
{
	setsid();
	if (ioctl(0, TIOCSCTTY, 1) < 0)
		puts("it is no terminal of ours");
}

ATTEMPT(terminal_input, "TIOCSTI: input for the shell that started it", HARMS, "stdin=tty")
{
	take_terminal();
	for (const char *p = "echo owned\n"; *p; p++)
		if (ioctl(0, TIOCSTI, p) < 0 && errno == EIO)
			cannot("this kernel has it turned off");
}

ATTEMPT(terminal_input_high_bits, "TIOCSTI with bits above the low 32", HARMS, "stdin=tty")
{
	take_terminal();
	for (const char *p = "echo owned\n"; *p; p++)
		if (syscall(SYS_ioctl, 0, TIOCSTI | 1L << 32, p) < 0 && errno == EIO)
			cannot("this kernel has it turned off");
}

ATTEMPT(terminal_rest, "TIOCLINUX, TIOCCONS, TIOCSETD, TIOCVHANGUP, KDSETMODE", GAINS, "stdin=tty")
{
	int line = 2, zero = 0;
	char sub = 2;

	take_terminal();
	if (ioctl(0, TIOCLINUX, &sub) >= 0 || ioctl(0, TIOCCONS, &zero) >= 0 || ioctl(0, 0x4B3A /* KDSETMODE */, 0) >= 0)
		got("the console");
	if (ioctl(0, TIOCSETD, &line) == 0)
		got("a line discipline");
	else
		cannot("TIOCSETD: %s", strerror(errno));
}

ATTEMPT(terminal_reopen, "the terminal opened again by its name and by /proc/self/fd/0, then TIOCSTI", HARMS, "stdin=tty")
{
	int fd = open("/proc/self/fd/0", O_RDWR | O_NOCTTY);

	take_terminal();
	for (const char *p = "owned\n"; fd >= 0 && *p; p++)
		if (ioctl(fd, TIOCSTI, p) < 0 && errno == EIO)
			cannot("this kernel has it turned off");
}

ATTEMPT(terminal_of_others, "terminals of the host by their names", HARMS, "othertty")
{
	write_at(given("TTY"), O_WRONLY | O_NOCTTY);
	write_at(fmt_path("/proc/self/root%s", given("TTY")), O_WRONLY | O_NOCTTY);
	chmod(given("TTY"), 0666);
}
