/* tests/jobs/cycles.c - many sandboxes, one after the other, in one process: cycles STORE COUNT NAME
 *
 * Each is made, runs a command that writes, listens and forks, perhaps under limits (then named NAME-N), and goes: by its end, by kill -9 of its supervisor's
 * command, or by being removed while it runs. After a tenth and at the end it prints `descriptors N threads N resident N` (KiB) of itself. */
#include <bvisor/bvisor.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(int r, const char *what, BvError *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, err ? bv_error_message(err) : "failed");
	exit(1);
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = -3; /* ".", ".." and, of the descriptors, this one */

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void report(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (f && fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	printf("descriptors %d threads %d resident %ld\n", entries("/proc/self/fd"), entries("/proc/self/task") + 1, pages * (sysconf(_SC_PAGESIZE) / 1024));
	fflush(stdout);
}

static const char script[] = "echo x >written; sleep 100 & true";

static void cycle(const char *store, const char *prefix, int n)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	const BvLimits limits = { sizeof(limits), BV_LIMITS_BEST_EFFORT, 0, 256 << 20, 64, 0, 0, 0, 64 << 20, 0 };
	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
	BvSandbox *sb = NULL;
	BvProcess *process = NULL;
	BvStatus status;
	BvError *err = NULL;
	char name[64];

	snprintf(name, sizeof(name), "%s-%d", prefix, n);
	create.store = store;
	create.flags = n % 2 ? BV_CREATE_EPHEMERAL : 0;
	create.backend = n % 4 == 3 ? "tmpfs" : NULL;
	create.limits = n % 3 == 0 ? &limits : NULL;
	create.name = create.limits ? name : NULL;
	create.net = n % 5 == 0 ? "host" : NULL;
	spawn.argv = argv;
	spawn.cwd = "/tmp";
	spawn.fds[0] = BV_FD_NULL;
	spawn.fds[1] = BV_FD_PIPE;
	must(bv_sandbox_create(&create, &sb, &err), "create", err);
	must(bv_sandbox_spawn(sb, &spawn, &process, &err), "spawn", err);
	if (n % 7 == 6)
		kill(bv_process_pid(process), SIGKILL);
	if (n % 7 != 5)
		must(bv_process_wait(process, 60000, &status, &err), "wait", err);
	bv_process_close(process);
	must(bv_sandbox_remove(sb, 1, &err), "remove", err);
	bv_sandbox_close(sb);
}

int main(int argc, char **argv)
{
	int count = argc == 4 ? atoi(argv[2]) : 0;

	if (count < 10) {
		fprintf(stderr, "usage: cycles STORE COUNT NAME\n");
		return 2;
	}
	for (int n = 0; n < count; n++) {
		if (n == count / 10)
			report();
		cycle(argv[1], argv[3], n);
	}
	report();
	return 0;
}
