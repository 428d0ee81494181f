#include "supervisor/ps.h"
#include "supervisor/net.h"
#include "supervisor/proctree.h"
#include "supervisor/table.h"

typedef struct Listing {
	Supervisor *sup;
	cJSON *list;
} Listing;

/* Walks up to the command's first process to find which command a process belongs to: same session. */
static unsigned command_of(Supervisor *sup, pid_t pid)
{
	pid_t sid = getsid(pid);

	for (Command *c = sup->commands; c; c = c->next)
		if (c->pid == sid)
			return c->id;
	return 0;
}

static void add_args(cJSON *o, Supervisor *sup, pid_t pid)
{
	char path[32];
	CLEAN_FREE char *text = NULL;
	cJSON *args = cJSON_AddArrayToObject(o, "args");

	snprintf(path, sizeof path, "%d/cmdline", pid);
	ssize_t n = bv_read_file_at(sup->proc_fd, path, 4 << 20, &text);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
		cJSON_AddItemToArray(args, cJSON_CreateString(text + at));
}

/* The kernel tells it in ticks since the boot. */
static double start_time(unsigned long long ticks)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9 + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static int add_process(void *ctx, pid_t pid)
{
	Listing *l = ctx;
	char path[32], state = '?';
	CLEAN_FREE char *text = NULL;
	int ppid = 0;
	unsigned long long start = 0;

	snprintf(path, sizeof path, "%d/stat", pid);
	if (bv_read_file_at(l->sup->proc_fd, path, 4096, &text) < 0)
		return 0;
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	if (!open || !close ||
	    sscanf(close + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state, &ppid, &start) != 3)
		return 0;
	*close = 0;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "pid", pid);
	cJSON_AddNumberToObject(o, "ppid", ppid);
	cJSON_AddNumberToObject(o, "id", command_of(l->sup, pid));
	cJSON_AddStringToObject(o, "state", (char[]){state, 0});
	cJSON_AddStringToObject(o, "comm", open + 1);
	cJSON_AddNumberToObject(o, "start", start_time(start));
	add_args(o, l->sup, pid);
	cJSON_AddItemToArray(l->list, o);
	return 0;
}

cJSON *ps_json(Supervisor *sup)
{
	cJSON *o = cJSON_CreateObject();
	Listing l = {sup, cJSON_AddArrayToObject(o, "processes")};

	IGNORE_RESULT(proctree_list(sup->tree, add_process, &l));
	return o;
}

static cJSON *calls_json(Supervisor *sup)
{
	cJSON *o = cJSON_CreateObject();
	char name[32];

	for (size_t i = 0; i < syscall_count; i++)
		if (atomic_load(&sup->counts[i]))
			cJSON_AddNumberToObject(o, syscall_table[i].name, (double)atomic_load(&sup->counts[i]));
	for (size_t nr = 0; nr < ARRAY_LEN(sup->unknown); nr++) {
		if (!atomic_load(&sup->unknown[nr]))
			continue;
		snprintf(name, sizeof name, "syscall_%zu", nr);
		cJSON_AddNumberToObject(o, name, (double)atomic_load(&sup->unknown[nr]));
	}
	return o;
}

cJSON *stats_json(Supervisor *sup)
{
	cJSON *o = cJSON_CreateObject();
	CowfsStats st;

	cJSON_AddItemToObject(o, "calls", calls_json(sup));
	cJSON *f = cJSON_AddObjectToObject(o, "features");
	cJSON_AddBoolToObject(f, "sync_wakeup", sup->features.sync_wakeup);
	cJSON_AddBoolToObject(f, "wait_killable", sup->features.killable);
	cJSON_AddBoolToObject(f, "pidfd_getfd", sup->features.pidfd_getfd);
	cJSON_AddBoolToObject(f, "openat2", sup->features.openat2);
	cJSON_AddBoolToObject(f, "pid_namespace", sup->host_proc >= 0);
	cJSON_AddNumberToObject(f, "landlock_abi", sup->features.landlock_abi);
	cJSON_AddItemToObject(o, "net", net_json(sup->net));
	cowfs_stats(sup->fs, &st);
	cJSON *c = cJSON_AddObjectToObject(o, "cowfs");
	cJSON_AddNumberToObject(c, "nodes", (double)st.nodes);
	cJSON_AddNumberToObject(c, "dentries", (double)st.dentries);
	cJSON_AddNumberToObject(c, "whiteouts", (double)st.whiteouts);
	cJSON_AddNumberToObject(c, "blobs", (double)st.blobs);
	cJSON_AddNumberToObject(c, "blob_bytes", (double)st.blob_bytes);
	cJSON_AddNumberToObject(c, "copy_ups", (double)st.copy_ups);
	cJSON_AddNumberToObject(c, "commits", (double)st.commits);
	cJSON_AddItemToObject(o, "limits", limits_json(sup, NULL));
	return o;
}
