/* supervisor/procfs_neutral.c - texts of /proc that programs expect, and that would tell what the host does: the same form, with nothing in it. */
#include "supervisor/procfs_internal.h"

/* Tables whose rows are all the host's: the first line alone. */
int procfs_render_header(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	(void)f, (void)at;
	fprintf(out, "%.*s\n", (int)strcspn(in, "\n"), in);
	return 0;
}

/* "used free max": how many files all of the host has open. */
int procfs_render_file_nr(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	const char *max = strrchr(in, '\t');

	(void)f, (void)at;
	fprintf(out, "0\t0\t%s", max ? max + 1 : "0\n");
	return 0;
}

/* The sandbox shows one group of version 2, which runtimes find by this (see cgroupfs.c). */
int procfs_render_cgroups(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	(void)f, (void)at;
	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		if (line[0] == '#')
			fprintf(out, "%s\n", line);
		else
			fprintf(out, "%.*s\t0\t1\t1\n", (int)strcspn(line, "\t"), line);
	}
	return 0;
}

int procfs_render_cgroup(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	(void)f, (void)at, (void)in;
	fputs("0::/\n", out);
	return 0;
}

int procfs_render_cpuset(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	(void)f, (void)at, (void)in;
	fputs("/\n", out);
	return 0;
}
