/* kill.c - killing all descendants of a subreaper: of init, and of the supervisor should init have died.
 *
 * The kernel's lists of children are read, not all of /proc: a machine has hundreds of processes that are none of ours. */
#include "supervisor/init.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

typedef struct Pids {
	pid_t *items;
	size_t count, room;
} Pids;

static void pids_add(Pids *list, pid_t pid)
{
	if (!BV_GROW(list->items, list->count, list->room))
		return; /* those in the list are killed, then the rest is looked for again */
	list->items[list->count++] = pid;
}

static void add_children_of_thread(Pids *list, pid_t pid, const char *tid)
{
	char path[80];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, tid);
	if (bv_read_file_at(AT_FDCWD, path, 1 << 20, &text) < 0)
		return;
	for (char *at = text, *end; *at; at = end) {
		long child = strtol(at, &end, 10);
		if (end == at)
			break;
		pids_add(list, (pid_t)child);
		end += *end == ' ';
	}
}

static void add_children(Pids *list, pid_t pid)
{
	char path[32];
	struct dirent *e;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			add_children_of_thread(list, pid, e->d_name);
	if (d)
		closedir(d);
}

static pid_t parent_of(const char *pid_name)
{
	char path[64], buf[512];

	snprintf(path, sizeof path, "/proc/%s/stat", pid_name);
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	char *end = strrchr(buf, ')');
	return end ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

/* The direct children, on a kernel without lists of children (CONFIG_PROC_CHILDREN); theirs become ours when they are dead. */
static void add_children_by_scan(Pids *list, pid_t self)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && parent_of(e->d_name) == self)
			pids_add(list, (pid_t)strtol(e->d_name, NULL, 10));
	if (d)
		closedir(d);
}

/* Returns how many were sent the signal. A process is killed before its children are looked for: it makes no more of them. */
static size_t kill_round(void)
{
	Pids list = {0};

	add_children(&list, getpid());
	if (list.count == 0)
		add_children_by_scan(&list, getpid());
	for (size_t i = 0; i < list.count; i++) { /* the list grows meanwhile */
		kill(list.items[i], SIGKILL);
		add_children(&list, list.items[i]);
	}
	free(list.items);
	return list.count;
}

/* Orphans come to us (subreaper), so it converges as soon as nobody can fork: clone is notified, and without a listener it fails. */
void kill_descendants(void)
{
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD)
			return;
		if (kill_round() > 0)
			waitpid(-1, NULL, __WALL); /* one of them ends now */
		else
			usleep(200); /* one that just became ours */
	}
}
