/* base/maps.c - see maps.h. */
#include "base/maps.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define TEXT_MAX ((size_t)256 << 20) /* 65530 mappings (vm.max_map_count) of the longest names */

/* "FROM-TO PERMS OFFSET MAJOR:MINOR INODE   PATH"; other lines have no path that begins with a slash. */
static void visit_line(char *line, MapsVisit visit, void *ctx)
{
	char *columns[5], *path = line;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		columns[i] = path;
		path += strcspn(path, " ");
		path += strspn(path, " ");
	}
	if (*path == '/')
		visit(ctx, path, strtoull(columns[4], NULL, 10), columns[1][3] == 's');
}

/* 1: it has memory. 0: it has none. */
static int read_maps(const char *path, MapsVisit visit, void *ctx)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, path, TEXT_MAX, &text);

	if (n <= 0)
		return n == -ENOENT || n == -ESRCH ? 0 : (int)n;
	for (char *line, *rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			visit_line(line, visit, ctx);
	return 1;
}

/* The first thread has ended: then only the others show the memory. */
static int maps_of_threads(const char *proc, pid_t pid, MapsVisit visit, void *ctx)
{
	char path[350];
	struct dirent *e;
	int r = 0;

	snprintf(path, sizeof path, "%s/%d/task", proc, pid);
	DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT || errno == ESRCH ? 0 : bv_neg_errno();
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%d/task/%s/maps", proc, pid, e->d_name) < (int)sizeof path)
			r = read_maps(path, visit, ctx);
	closedir(d);
	return MIN(r, 0);
}

static int maps_of_process_in(const char *proc, pid_t pid, MapsVisit visit, void *ctx)
{
	char path[64];

	snprintf(path, sizeof path, "%s/%d/maps", proc, pid);
	int r = read_maps(path, visit, ctx);
	return r == 0 ? maps_of_threads(proc, pid, visit, ctx) : MIN(r, 0);
}

int maps_of_process(pid_t pid, MapsVisit visit, void *ctx)
{
	return maps_of_process_in("/proc", pid, visit, ctx);
}

int maps_of_all(const char *proc, bool (*matters)(void *ctx, pid_t pid), void *matters_ctx, MapsVisit visit, void *ctx)
{
	DIR *d = opendir(proc);
	struct dirent *e;
	int r = 0;

	if (!d)
		return bv_neg_errno();
	while (r == 0 && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		r = pid > 0 ? maps_of_process_in(proc, pid, visit, ctx) : 0;
		if (r == -EACCES || r == -EPERM)
			r = matters && matters(matters_ctx, pid) ? -EACCES : 0;
	}
	closedir(d);
	return r;
}
