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

	if (!command || pipe2(ends, O_CLOEXEC) < 0)
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
	pager->pid = 0;
}
