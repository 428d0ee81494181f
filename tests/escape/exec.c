/* tests/escape/exec.c - programs started in unusual ways: each then writes to a host file, as it is no longer guarded or so it hopes. And what runs with
 * more rights than its caller has. */
#include "escape.h"

#include <elf.h>
#include <linux/memfd.h>
#include <sys/prctl.h>

static char *const *writes(void)
{
	static char *argv[4];

	argv[0] = (char *)"escape";
	argv[1] = (char *)"write";
	argv[2] = (char *)(uintptr_t)in("host/file");
	return argv;
}

static void copy_self(int to)
{
	char buf[65536];
	int from = open("/proc/self/exe", O_RDONLY);
	ssize_t n;

	NEED(from >= 0 && to >= 0);
	while ((n = read(from, buf, sizeof buf)) > 0)
		NEED(write(to, buf, (size_t)n) == n);
}

ATTEMPT(exec_self, "/proc/self/exe", HARMS, "")
{
	execv("/proc/self/exe", writes());
}

ATTEMPT(exec_memfd, "a program in memory, by its descriptor", HARMS, "")
{
	int fd = memfd_create("program", MFD_CLOEXEC);

	copy_self(fd);
	fexecve(fd, writes(), environ);
}

ATTEMPT(exec_memfd_path, "a program in memory, by /proc/self/fd/N", HARMS, "")
{
	int fd = memfd_create("program", 0);

	copy_self(fd);
	execve(fmt_path("/proc/self/fd/%d", fd), writes(), environ);
}

ATTEMPT(exec_memfd_script, "a script in memory", HARMS, "")
{
	int fd = memfd_create("script", 0);
	const char *script = fmt_path("#!/bin/sh\necho owned > %s\n", in("host/file"));

	NEED(write(fd, script, strlen(script)) == (ssize_t)strlen(script));
	fexecve(fd, (char *const[]){(char *)"script", NULL}, environ);
}

ATTEMPT(exec_tmpfile, "an unnamed file (O_TMPFILE), by its descriptor", HARMS, "")
{
	int fd = open(in("host"), O_TMPFILE | O_RDWR, 0700);

	copy_self(fd);
	int again = open(fmt_path("/proc/self/fd/%d", fd), O_RDONLY);
	close(fd);
	fexecve(again, writes(), environ);
}

ATTEMPT(exec_unlinked, "a program that was unlinked, by its descriptor", HARMS, "")
{
	int fd = open(in("host/program"), O_WRONLY | O_CREAT, 0700);

	copy_self(fd);
	close(fd);
	fd = open(in("host/program"), O_RDONLY);
	NEED(unlink(in("host/program")) == 0);
	fexecve(fd, writes(), environ);
}

ATTEMPT(exec_own_copy, "a copy of a program made in the sandbox, by name", HARMS, "")
{
	int fd = open(in("host/program"), O_WRONLY | O_CREAT, 0700);

	copy_self(fd);
	close(fd);
	execv(in("host/program"), writes());
}

ATTEMPT(exec_at, "execveat from a directory's descriptor, and of an O_PATH descriptor", HARMS, "")
{
	int fd = open("/proc/self/exe", O_PATH);

	syscall(SYS_execveat, fd, "", writes(), environ, AT_EMPTY_PATH);
	syscall(SYS_execveat, open("/proc/self", O_PATH | O_DIRECTORY), "exe", writes(), environ, 0);
}

ATTEMPT(exec_loader, "the dynamic loader run as the program", HARMS, "")
{
	const char *file = in("host/file");
	char *loader[] = {(char *)"ld", (char *)"/proc/self/fd/9", (char *)"write", (char *)(uintptr_t)file, NULL};

	NEED(dup2(open("/proc/self/exe", O_RDONLY), 9) == 9);
	execv("/lib64/ld-linux-x86-64.so.2", loader);
	cannot("no loader at its place");
}

/* The kernel opens the interpreter by itself: its path is put at the end of the file, and its program header points there. */
ATTEMPT(exec_hidden_loader, "a program of its own whose interpreter is hidden", GAINS, "loader")
{
	int fd = open(in("host/program"), O_RDWR | O_CREAT, 0700);
	const char *path = in("hidden/ld.so");
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	copy_self(fd);
	off_t end = lseek(fd, 0, SEEK_END);
	NEED(write(fd, path, strlen(path) + 1) > 0 && pread(fd, &header, sizeof header, 0) == sizeof header);
	for (int i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)header.e_phoff + i * (off_t)sizeof segment;
		NEED(pread(fd, &segment, sizeof segment, at) == sizeof segment);
		segment.p_offset = (Elf64_Off)end;
		segment.p_filesz = segment.p_memsz = strlen(path) + 1;
		if (segment.p_type == PT_INTERP)
			NEED(pwrite(fd, &segment, sizeof segment, at) == sizeof segment);
	}
	close(fd);
	pid_t pid = fork();
	if (pid == 0) {
		execl(in("host/program"), "escape", "ran", NULL);
		_exit(1);
	}
	NEED(waitpid(pid, NULL, 0) == pid);
}

ATTEMPT(exec_own_loader, "a program whose interpreter is a file of the sandbox's own", FAILS("natively every user can do that"), "")
{
	int fd = open(in("host/interp"), O_WRONLY | O_CREAT, 0700);
	char *const argv[] = {(char *)"x", (char *)"x", NULL};

	NEED(fd >= 0 && write(fd, "#!/proc/self/exe\n", 17) == 17 && close(fd) == 0);
	pid_t pid = fork();
	int status;
	if (pid == 0) {
		execv(in("host/interp"), argv);
		_exit(0);
	}
	NEED(ends_within(pid, 20, &status));
	if (!still_served())
		got("the supervisor no longer answers");
}

ATTEMPT(exec_script_loop, "scripts that are their own and each other's interpreter, and lines without an end", FAILS("there is no supervisor"), "")
{
	const char *const lines[] = {fmt_path("#!%s\n", in("host/a")), fmt_path("#!%s x\n", in("host/b")), "#!", "#!\n", "#! \t \n", fmt_path("#!/%0300d\n", 7)};

	for (size_t i = 0; i < 6; i++) {
		int status;
		int fd = open(in(i % 2 ? "host/b" : "host/a"), O_WRONLY | O_CREAT | O_TRUNC, 0700);
		NEED(fd >= 0 && write(fd, lines[i], strlen(lines[i])) > 0 && close(fd) == 0);
		pid_t pid = fork();
		if (pid == 0) {
			execl(in("host/a"), "a", NULL);
			_exit(0);
		}
		NEED(ends_within(pid, 20, &status));
	}
	if (!still_served())
		got("the supervisor no longer answers");
}

ATTEMPT(exec_broken, "programs whose headers lie", FAILS("there is no supervisor"), "")
{
	Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = 1,
			     .e_phoff = sizeof header, .e_ehsize = sizeof header, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1};
	Elf64_Phdr interp = {.p_type = PT_INTERP};
	static const uint64_t sizes[] = {0, 1, 4096, 1 << 20, 1ULL << 40, ~0ULL};

	for (size_t i = 0; i < 36; i++) {
		int status;
		int fd = open(in("host/elf"), O_WRONLY | O_CREAT | O_TRUNC, 0700);
		interp.p_offset = sizes[i / 6];
		interp.p_filesz = sizes[i % 6];
		NEED(fd >= 0 && write(fd, &header, sizeof header) > 0 && write(fd, &interp, sizeof interp) > 0 && close(fd) == 0);
		pid_t pid = fork();
		if (pid == 0) {
			execl(in("host/elf"), "elf", NULL);
			_exit(0);
		}
		NEED(ends_within(pid, 20, &status));
	}
	if (!still_served())
		got("the supervisor no longer answers");
}

static void run_privileged(const char *name)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(in(name), "escape", "whoami", NULL);
		_exit(9);
	}
	NEED(waitpid(pid, &status, 0) == pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 9));
}

ATTEMPT(exec_setuid, "a set-user-ID program of root's", GAINS, "user")
{
	run_privileged("host/setuid");
}

ATTEMPT(exec_file_capabilities, "a program with capabilities of its own", GAINS, "user")
{
	run_privileged("host/capable");
}

ATTEMPT(exec_own_setuid, "a copy of a program made set-user-ID and given to root", FAILS("the kernel refuses it to an ordinary user"), "user")
{
	int fd = open(in("rw/program"), O_WRONLY | O_CREAT, 0700);

	copy_self(fd);
	chown(in("rw/program"), 0, 0);
	fchmod(fd, 06755);
	close(fd);
	run_privileged("rw/program");
}

ATTEMPT(exec_core, "a core file in the working directory, which the kernel writes by itself", HARMS, "core mask=landlock")
{
	struct rlimit lim;
	int status;

	NEED(chdir(in("host/sub")) == 0 && getrlimit(RLIMIT_CORE, &lim) == 0);
	lim.rlim_cur = lim.rlim_max = RLIM_INFINITY;
	if (setrlimit(RLIMIT_CORE, &lim) < 0) {
		getrlimit(RLIMIT_CORE, &lim);
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_CORE, &lim);
	}
	if (lim.rlim_max == 0 && strcmp(given("NATIVE"), "1") == 0)
		cannot("core files are off for this user");
	pid_t pid = fork();
	if (pid == 0)
		abort();
	NEED(waitpid(pid, &status, 0) == pid);
	if (WCOREDUMP(status))
		got("a core file");
}

static bool limit_is_one(void)
{
	char text[4096] = "", *at;
	int fd = open("/proc/self/limits", O_RDONLY);

	NEED(read(fd, text, sizeof text - 1) > 0 && (at = strstr(text, "Max core file size")));
	close(fd);
	return strtoul(at + 18, &at, 10) == 1 && strtoul(at, NULL, 10) == 1;
}

/* With a limit of 0 the kernel still starts the program that core_pattern names, as root, outside; with 1 it does not. */
ATTEMPT(exec_core_program, "the host's program that takes core dumps", FAILS("core_pattern is for the whole machine"), "")
{
	static const rlim_t values[] = {0, 1, 2, 4096, RLIM_INFINITY};

	if (strtoul(given("CORE_MAX"), NULL, 10) == 0)
		cannot("core files are off for this user");
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct rlimit lim = {values[i] / 2, values[i]};
		setrlimit(RLIMIT_CORE, &lim);
		syscall(SYS_prlimit64, 0, RLIMIT_CORE, &lim, NULL);
		syscall(SYS_prlimit64, getpid(), RLIMIT_CORE, &lim, NULL);
		syscall(SYS_prlimit64, 1L << 32, RLIMIT_CORE | 1L << 32, &lim, NULL);
		syscall(SYS_setrlimit, RLIMIT_CORE | 1L << 32, &lim);
		if (!limit_is_one())
			got("a limit of its own, by %llu", (unsigned long long)values[i]);
	}
}
