/* tests/guest/exec.c - running programs: of the host, written, copied and renamed inside; errors; scripts; descriptors; threads.
 * COVERS: execve execveat vfork clone memfd_create prctl */
#include "guest.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>

static char self_path[PATH_MAX];
static char *const plain_env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LC_ALL=C", (char *)"MARK=marked", NULL};

/* Forks, executes, prints how it ended: exit 100 + errno when the exec itself failed. */
static void run(const char *path, char *const argv[], char *const envp[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execve(path, argv, envp);
		printf("   execve: %s\n", errname(errno));
		fflush(stdout);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	printf("%s", path);
	print_status("", status);
}

static void run1(const char *path, const char *arg)
{
	char *argv[] = {(char *)path, (char *)arg, NULL};

	run(path, argv, plain_env);
}

/* What this program prints when it is run as "report". */
static int report(int argc, char **argv)
{
	char buf[PATH_MAX], comm[32] = "";
	ssize_t n = readlink("/proc/self/exe", buf, sizeof(buf));

	prctl(PR_GET_NAME, comm);
	printf("   report: argc %d argv0 %s comm %s exe ", argc, strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], comm);
	print_path(buf, n < 0 ? 0 : (size_t)n);
	printf(" mark %s", getenv("MARK") ? getenv("MARK") : "none");
	for (int i = 2; i < argc; i++)
		printf(" [%s]", argv[i]);
	printf("\n");
	return 7;
}

static bool copy(const char *from, const char *to, mode_t mode)
{
	static char buf[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode);
	ssize_t n = 0;

	while (in >= 0 && out >= 0 && (n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			n = -1;
	bool good = in >= 0 && out >= 0 && n == 0;
	close_quiet(in);
	close_quiet(out);
	return good;
}

static void script(const char *path, const char *text)
{
	put(path, text);
	chmod(path, 0755);
}

static void programs(void)
{
	char *many[] = {(char *)"renamed-argv0", (char *)"report", (char *)"a b", (char *)"", (char *)"\xff", NULL}, *none[] = {NULL};

	run(self_path, many, plain_env);
	run(self_path, many, none);
	run1("/bin/true", NULL);
	run1("/bin/echo", "echoed");
	TRUTH(copy(self_path, "own-copy", 0755));
	run("own-copy", many, plain_env);
	run1("./own-copy", "report");
	ERR(rename("own-copy", "dir/moved-copy"));
	run1("dir/moved-copy", "report");
	ERR(symlink("dir/moved-copy", "copy-link"));
	run1("copy-link", "report");
	ERR(chdir("dir"));
	run1("./moved-copy", "report");
	run1("../copy-link", "report");
	ERR(chdir(".."));
	TRUTH(copy("/bin/echo", "dir/my-echo", 0700));
	run1("dir/my-echo", "from the copy");
	ERR(rename("dir", "dir2"));
	run1("dir2/my-echo", "after the rename");
	ERR(link("dir2/my-echo", "linked-echo"));
	run1("linked-echo", "hard link");
	run("/bin/true", none, plain_env);
}

static void errors(void)
{
	const char *const paths[] = {"file", "noexec.sh", "nothing", "nothing/x", "file/x", "dir2", "", "garbage", "nointerp", "noshebang", "loop1", "dangling", "fifo", "closed/x", "empty", "/dev/null", "sock",
		"/proc/self/status"};
	static char big[200000];

	for (size_t i = 0; i < COUNT(paths); i++)
		run1(paths[i], "x");
	memset(big, 'x', sizeof(big) - 1);
	char *huge[] = {(char *)"x", big, NULL};
	run("/bin/true", huge, plain_env);
	ERR(put("empty-x", ""));
	ERR(chmod("empty-x", 0755));
	run1("empty-x", NULL);
	int writer = FD(open("linked-echo", O_WRONLY));
	run1("linked-echo", "busy");
	close(writer);
	run1("linked-echo", "free again");
	ERR(chmod("linked-echo", 0644));
	run1("linked-echo", "no x");
	ERR(chmod("linked-echo", 0755));
	ERR(chmod("noexec.sh", 0755));
	run1("noexec.sh", "x");
	TRUTH(copy("/bin/echo", "cut-echo", 0755));
	ERR(truncate("cut-echo", 100));
	run1("cut-echo", "cut");
}

static void scripts(void)
{
	char *argv[] = {(char *)"other-argv0", (char *)"one", (char *)"two three", NULL};

	run1("script.sh", "lower");
	run("./script.sh", argv, plain_env);
	script("upper.sh", "#!/bin/sh\necho \"upper $0 $# $*\"\nexit 5\n");
	run("./upper.sh", argv, plain_env);
	run1("upper.sh", "x");
	ERR(chdir("dir2"));
	run1("../upper.sh", "x");
	script("here.sh", "#!/bin/sh -e\ndirname \"$0\"\nfalse\necho not reached\n");
	run1("./here.sh", NULL);
	ERR(chdir(".."));
	run1("dir2/here.sh", NULL);
	script("arg.sh", "#! \t/bin/echo   one argument with spaces  \t\nrest\n");
	run("./arg.sh", argv, plain_env);
	script("none.sh", "#!\n");
	run1("./none.sh", NULL);
	script("cut.sh", "#!/bin/echo");
	run1("./cut.sh", NULL);
	script("dirint.sh", "#!/bin\n");
	run1("./dirint.sh", NULL);
	script("lacking.sh", "#!/no/such/interpreter -x\n");
	run1("./lacking.sh", NULL);
	script("relative.sh", "#!dir2/my-echo relative\n");
	run1("./relative.sh", "x");
	script("env.sh", "#!/usr/bin/env sh\necho by env $0 $MARK\n");
	run1("./env.sh", NULL);
	script("nl.sh", "#!/bin/sh\r\necho dos\n");
	run1("./nl.sh", NULL);
}

/* Interpreters that are scripts, up to the kernel's limit. */
static void chains(void)
{
	char name[32], text[PATH_MAX + 64];

	script("level0", "#!/bin/echo level0-arg\n");
	for (int i = 1; i <= 6; i++) {
		snprintf(name, sizeof(name), "level%d", i);
		snprintf(text, sizeof(text), "#!level%d arg%d\n", i - 1, i);
		script(name, text);
	}
	for (int i = 0; i <= 6; i++) {
		snprintf(name, sizeof(name), "./level%d", i);
		run1(name, "last");
	}
	script("selfish", "#!./selfish\n");
	run1("./selfish", NULL);
	memset(text, 'a', 300);
	memcpy(text, "#!/bin/echo ", 12);
	strcpy(text + 300, "\n");
	script("long.sh", text);
	run1("./long.sh", NULL);
	memcpy(text, "#!/", 3);
	text[12] = 'a';
	memset(text + 3, 'a', 290);
	script("long2.sh", text);
	run1("./long2.sh", NULL);
}

static void by_descriptor(void)
{
	char *argv[] = {(char *)"by-fd", (char *)"report", NULL};
	int fds[5], status;

	TRUTH(copy(self_path, "fd-copy", 0755));
	fds[0] = open(self_path, O_RDONLY);
	fds[1] = open("fd-copy", O_RDONLY | O_CLOEXEC);
	fds[2] = open("fd-copy", O_PATH);
	fds[3] = open("upper.sh", O_RDONLY);
	fds[4] = open("upper.sh", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < COUNT(fds); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			/* fds differ in number from run to run of nothing: they are the lowest ones in both */
			syscall(__NR_execveat, fds[i], "", argv, plain_env, AT_EMPTY_PATH);
			printf("   execveat #%zu: %s\n", i, errname(errno));
			_exit(99);
		}
		waitpid(pid, &status, 0);
		print_status("execveat AT_EMPTY_PATH", status);
	}
	int dir = FD(open("dir2", O_RDONLY));
	pid_t pid = fork();
	if (pid == 0) {
		syscall(__NR_execveat, dir, "moved-copy", argv, plain_env, 0);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_status("execveat dir", status);
	ERR(syscall(__NR_execveat, dir, "nothing", argv, plain_env, 0));
	ERR(syscall(__NR_execveat, dir, "", argv, plain_env, 0));
	ERR(syscall(__NR_execveat, dir, "", argv, plain_env, AT_EMPTY_PATH));
	ERR(syscall(__NR_execveat, 999, "x", argv, plain_env, 0));
	ERR(syscall(__NR_execveat, AT_FDCWD, "copy-link", argv, plain_env, AT_SYMLINK_NOFOLLOW));
	ERR(syscall(__NR_execveat, dir, "moved-copy", argv, plain_env, 0x8000));
	ERR(unlink("fd-copy"));
	pid = fork();
	if (pid == 0) {
		fexecve(fds[1], argv, plain_env);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_status("fexecve of an unlinked file", status);
}

static void memory_file(void)
{
	char path[64], *argv[] = {(char *)"mem", (char *)"hello from memory", NULL};
	int fd = FD(memfd_create("memprog", 0)), status;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	TRUTH(copy("/bin/echo", path, 0755));
	pid_t pid = fork();
	if (pid == 0) {
		fexecve(fd, argv, plain_env);
		printf("   fexecve: %s\n", errname(errno));
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_status("memfd", status);
	run(path, argv, plain_env);
}

static void spawned(void)
{
	char *argv[] = {(char *)"spawned", (char *)"report", NULL};
	pid_t pid;
	int status;

	int r = posix_spawn(&pid, "dir2/moved-copy", NULL, NULL, argv, plain_env);
	waitpid(pid, &status, 0);
	VAL(r); /* not before: the child prints too */
	print_status("posix_spawn", status);
	VAL(posix_spawn(&pid, "nothing", NULL, NULL, argv, plain_env));
	r = posix_spawn(&pid, "./upper.sh", NULL, NULL, argv, plain_env);
	waitpid(pid, &status, 0);
	VAL(r);
	print_status("posix_spawn of a script", status);
	pid = vfork();
	if (pid == 0) {
		execve("./upper.sh", argv, plain_env);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	print_status("vfork", status);
	print_bytes(argv[0], strlen(argv[0])); /* the parent's memory is as it was */
	printf("\n");
	VAL(system("./upper.sh from system; echo status $?"));
}

static void *exec_from_thread(void *arg)
{
	char *argv[] = {(char *)"thread", (char *)"report", NULL};

	execve(arg, argv, plain_env);
	_exit(98);
}

static void *wait_forever(void *arg)
{
	pause();
	return arg;
}

static void thread_child(void)
{
	pthread_t t[3];

	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, wait_forever, NULL);
	pthread_create(&t[2], NULL, exec_from_thread, (void *)"dir2/moved-copy");
	pause();
}

static void thread_lower(void)
{
	pthread_t t;

	pthread_create(&t, NULL, exec_from_thread, self_path);
	pause();
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "report") == 0)
		return report(argc, argv);
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	if (n < 0)
		return 1;
	programs();
	errors();
	scripts();
	chains();
	by_descriptor();
	memory_file();
	spawned();
	in_child("exec from a thread", thread_child);
	in_child("exec of a host file from a thread", thread_lower);
	return 0;
}
