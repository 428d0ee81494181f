/* cli/pager.c - see pager.h. The pager quits by itself when everything fits on one screen (LESS=FRX unless set), as git does it. */
#include "cli/pager.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *choose_pager(void)
{
	const char *own = getenv("BVISOR_PAGER"), *common = getenv("PAGER");
	const char *pager = own ? own : common ? common : "less";

	return pager[0] == '\0' || strcmp(pager, "cat") == 0 ? NULL : pager;
}

/* Can the shell start it? What is more than a word and its arguments is the shell's to find out. */
static bool can_start(const char *command)
{
	const char *path = getenv("PATH"), *word = command + strspn(command, " \t"), *next;
	const int len = (int)strcspn(word, " \t");
	bool found = false;

	if ((len == 4 && strncmp(word, "exec", 4) == 0) || word[strcspn(word, "|&;<>()$`\\\"'\n*?[#~=%!{")])
		return true;
	if (memchr(word, '/', (size_t)len) || !path) {
		char *file = xasprintf("%.*s", len, word);
		found = access(file, X_OK) == 0 || !path;
		free(file);
		return found;
	}
	for (; len && !found; path = next + 1) {
		next = strchrnul(path, ':');
		char *file = xasprintf("%.*s/%.*s", next > path ? (int)(next - path) : 1, next > path ? path : ".", len, word);
		found = access(file, X_OK) == 0;
		free(file);
		if (!*next)
			break;
	}
	return found;
}

/* ^C is for the pager: who ended before it would leave two that read the terminal. */
static volatile pid_t waited_for;

static void wait_and_end(int signal)
{
	close(STDOUT_FILENO);
	while (waitpid(waited_for, NULL, 0) < 0 && errno == EINTR)
		;
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigaction(signal, &action, NULL);
	raise(signal);
}

static void catch_signals(pid_t pid)
{
	static const int keys[] = {SIGINT, SIGQUIT};
	struct sigaction action = {.sa_handler = wait_and_end}, now;

	waited_for = pid;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (sigaction(keys[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaction(keys[i], &action, NULL);
}

static void leave_signals(void)
{
	static const int keys[] = {SIGINT, SIGQUIT};
	struct sigaction action = {.sa_handler = SIG_DFL}, now;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (sigaction(keys[i], NULL, &now) == 0 && now.sa_handler == wait_and_end)
			sigaction(keys[i], &action, NULL);
}

/* $PAGER may hold arguments, so a shell reads it. */
static pid_t spawn_pager(const char *command, int input)
{
	char *const argv[] = {(char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, input, STDIN_FILENO);
	r = posix_spawn(&pid, "/bin/sh", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return r == 0 ? pid : -1;
}

void pager_start(Pager *pager)
{
	const char *command = choose_pager();
	int ends[2];
	pid_t pid;

	if (!command || !*(command + strspn(command, " \t")))
		return;
	if (!can_start(command)) {
		if (getenv("BVISOR_PAGER") || getenv("PAGER"))
			cli_fail("there is no pager '%s': $BVISOR_PAGER or $PAGER names one, --no-pager needs none", command);
		return;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	setenv("LESS", "FRX", 0);
	pid = spawn_pager(command, ends[0]);
	close(ends[0]);
	if (pid > 0) {
		fflush(stdout);
		signal(SIGPIPE, SIG_IGN); /* the user may leave early */
		pager->stdout_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		dup2(ends[1], STDOUT_FILENO);
		pager->pid = pid;
		catch_signals(pid);
	}
	close(ends[1]);
}

void pager_finish(Pager *pager)
{
	if (pager->pid == 0)
		return;
	(void)fflush(stdout);
	clearerr(stdout);
	dup2(pager->stdout_fd, STDOUT_FILENO);
	close(pager->stdout_fd);
	while (waitpid(pager->pid, NULL, 0) < 0 && errno == EINTR)
		;
	leave_signals();
	pager->pid = 0;
}
