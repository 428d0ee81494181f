/* lib/doctor.c - tries, really, what bvisor needs of this machine.
 *
 * Each probe is one function that returns 0 (it works), 1 (not all of it does, which the remark tells) or a negative errno and may leave a remark; the table gives name, whether bvisor can
 * do without, and what its absence means. Probes that change a process (filters, Landlock, tracing) run in a child of their own
 * (probe.c), so nothing of it stays in the caller. */
#include "lib/probe.h"
#include "lib/store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- probes of the caller's own process ---- */

static int probe_openat2(const ProbeContext *ctx, char **remark)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	long fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	(void)ctx;
	(void)remark;
	if (fd < 0)
		return bv_neg_errno();
	close((int)fd);
	return 0;
}

static int probe_landlock(const ProbeContext *ctx, char **remark)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	(void)ctx;
	if (abi < 0)
		return bv_neg_errno();
	*remark = bv_asprintf("ABI %ld%s", abi, abi < 6 ? " (scopes for signals and abstract sockets need 6)" : "");
	return 0;
}

static int probe_yama(const ProbeContext *ctx, char **remark)
{
	CLEAN_FREE char *text = NULL;
	ssize_t n = bv_read_file_at(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", 64, &text);

	(void)ctx;
	if (n < 0) {
		*remark = bv_asprintf("no Yama");
		return 0;
	}
	*remark = bv_asprintf("kernel.yama.ptrace_scope = %.*s", (int)strcspn(text, "\n"), text);
	return text[0] == '0' || text[0] == '1' || (text[0] == '2' && geteuid() == 0) ? 0 : -EPERM;
}

static int probe_store(const ProbeContext *ctx, char **remark)
{
	int r = bv_mkdir_all(ctx->store);
	CLEAN_FREE char *path = bv_asprintf("%s/.doctor-XXXXXX", ctx->store);
	CLEAN_FD int fd = -1;

	*remark = bv_asprintf("%s", ctx->store);
	if (r < 0 || !path)
		return r < 0 ? r : -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return bv_neg_errno();
	r = bv_write_full(fd, "x", 1);
	unlink(path);
	return r;
}

static int probe_ficlone(const ProbeContext *ctx, char **remark)
{
	CLEAN_FREE char *from = bv_asprintf("%s/.doctor-XXXXXX", ctx->store);
	CLEAN_FREE char *to = bv_asprintf("%s/.doctor-XXXXXX", ctx->store);
	CLEAN_FD int a = from ? mkostemp(from, O_CLOEXEC) : -1;
	CLEAN_FD int b = to ? mkostemp(to, O_CLOEXEC) : -1;
	int r = a < 0 || b < 0 ? bv_neg_errno() : bv_write_full(a, "clone me", 8);

	(void)remark;
	if (r == 0 && ioctl(b, FICLONE, a) < 0)
		r = bv_neg_errno();
	if (a >= 0)
		unlink(from);
	if (b >= 0)
		unlink(to);
	return r;
}

static int probe_memory(const ProbeContext *ctx, char **remark)
{
	char *root = backend_memory_root();

	(void)ctx;
	*remark = root;
	return root ? 0 : -ENODEV;
}

static int probe_user(const ProbeContext *ctx, char **remark)
{
	(void)ctx;
	*remark = geteuid() == 0 ? bv_asprintf("root; commands lose every capability") : bv_asprintf("uid %u", (unsigned)geteuid());
	return geteuid() == getuid() && getegid() == getgid() ? 0 : -EPERM;
}

/* ---- limits ---- */

typedef struct Enforced {
	FILE *out;
	bool any, all;
} Enforced;

static int add_enforced(void *ctx, const BvLimitInfo *info)
{
	Enforced *e = ctx;
	bool nothing = strcmp(info->by, "nothing") == 0;

	fprintf(e->out, "%s%s: %s", e->any ? ", " : "", info->name, nothing && strcmp(info->name, "cpus") == 0 ? "affinity (whole ones only)" : info->by);
	e->any = true;
	e->all &= !nothing;
	return 0;
}

/* A command in a sandbox that has every limit. */
static int spawn_limited(const char *store, BvSandbox **sb, BvProcess **process, BvError **err)
{
	const BvLimits limits = {.size = sizeof limits, .flags = BV_LIMITS_BEST_EFFORT, .cpus = 0.5, .memory = 64 << 20, .pids = 64, .io_read = 1 << 30, .io_write = 1 << 30, .nofile = 64, .disk = 1 << 30, .disk_files = 1 << 20};
	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
	BvStatus status;

	create.flags = BV_CREATE_EPHEMERAL;
	create.store = store;
	create.limits = &limits;
	spawn.argv = (const char *const[]){"true", NULL};
	spawn.cwd = "/";
	for (int i = 0; i < 3; i++)
		spawn.fds[i] = BV_FD_NULL;
	int r = bv_sandbox_create(&create, sb, err);
	if (r == 0)
		r = bv_sandbox_spawn(*sb, &spawn, process, err);
	return r < 0 ? r : bv_process_wait(*process, -1, &status, err);
}

static int probe_limits(const ProbeContext *ctx, char **remark)
{
	BvSandbox *sb = NULL;
	BvProcess *process = NULL;
	BvError *err = NULL;
	size_t size;
	Enforced e = {.all = true};
	int r = spawn_limited(ctx->store, &sb, &process, &err);

	if (r < 0)
		*remark = bv_asprintf("%s", bv_error_message(err));
	else if (!(e.out = open_memstream(remark, &size)))
		r = -ENOMEM;
	if (e.out) {
		r = bv_process_limits(process, add_enforced, &e);
		fclose(e.out);
	}
	bv_process_close(process);
	if (sb) /* now, not when its supervisor comes to it: it would be the newest sandbox until then */
		(void)bv_sandbox_remove(sb, 1, NULL);
	bv_sandbox_close(sb);
	bv_error_free(err);
	return r < 0 ? r : !e.all;
}

/* ---- the table ---- */

typedef struct Row {
	const char *name;
	bool required;
	int (*probe)(const ProbeContext *ctx, char **remark);
	const char *consequence;
} Row;

static const Row rows[] = {
	{"user", true, probe_user, "bvisor refuses to run setuid or setgid"},
	{"store", true, probe_store, "no place to keep sandboxes: set BVISOR_HOME to a directory that you can write"},
	{"no_new_privs", true, probe_no_new_privs, "no filter can be installed without privileges"},
	{"seccomp-notify", true, probe_notify, "system calls cannot be intercepted: bvisor cannot run (kernel 5.0 or newer, and a container that allows seccomp(2))"},
	{"seccomp-addfd", true, probe_addfd, "files cannot be handed to the command: bvisor cannot run (kernel 5.14 or newer)"},
	{"seccomp-sync-wakeup", false, probe_sync_wakeup, "every intercepted call is 2 to 4 times slower (kernel 6.6 or newer has it)"},
	{"seccomp-wait-killable", false, probe_wait_killable,
	 "programs with frequent signals, such as those written in Go, may restart calls again and again (kernel 5.19 or newer has it)"},
	{"proc-mem", true, probe_proc_mem, "the arguments of calls cannot be read: bvisor cannot run (a mounted /proc without hidepid=2)"},
	{"yama", true, probe_yama, "children may not be traced: set kernel.yama.ptrace_scope to 0 or 1"},
	{"ptrace", true, probe_ptrace, "programs made inside a sandbox cannot be executed (the container must allow ptrace(2))"},
	{"landlock", false, probe_landlock, "no second line of defence below the interception (kernel 5.13 or newer with CONFIG_SECURITY_LANDLOCK)"},
	{"pidfd_getfd", false, probe_pidfd_getfd, "descriptors of commands are looked up through /proc, a little slower"},
	{"openat2", false, probe_openat2, "host paths are walked component by component, a little slower"},
	{"ficlone", false, probe_ficlone, "the first write to a host file copies its bytes (btrfs, xfs and bcachefs share them instead)"},
	{"pid-namespace", false, probe_pidns, "--pidns does not work (it takes CAP_SYS_ADMIN, which root has, but not in most containers): processes are kept apart by the supervisor alone"},
	{"memory-backend", false, probe_memory, "--backend tmpfs does not work"},
	{"limits", false, probe_limits, "a limit that nothing enforces is an error when a command starts, or with --best-effort a warning; control groups that may be written to enforce more"},
};

static bool is_masked(const char *name)
{
	static const struct {
		const char *row, *word;
	} words[] = {{"seccomp-sync-wakeup", "sync"},	 {"seccomp-wait-killable", "killable"}, {"landlock", "landlock"},
		     {"pidfd_getfd", "pidfd_getfd"}, {"openat2", "openat2"},		    {"ficlone", "ficlone"}};
	const char *mask = getenv("BVISOR_MASK");

	for (size_t i = 0; mask && i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].word);
		for (const char *p = mask; (p = strstr(p, words[i].word)) && strcmp(words[i].row, name) == 0; p += n)
			if ((p == mask || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
				return true;
	}
	return false;
}

static int report(const Row *row, const ProbeContext *ctx, int (*visit)(void *, const BvFeature *), void *vctx, bool *works)
{
	CLEAN_FREE char *remark = NULL;
	int code = is_masked(row->name) ? -ENOSYS : row->probe(ctx, &remark);
	CLEAN_FREE char *reason = code >= 0 ? bv_asprintf("%s", remark ? remark : "tried, works")
					    : bv_asprintf("%s%s%s", remark ? remark : "", remark ? ": " : "", is_masked(row->name) ? "masked by BVISOR_MASK" : strerror(-code));
	BvFeature feature = {.name = row->name, .works = code == 0, .required = row->required, .reason = reason, .consequence = row->consequence};

	if (!reason)
		return -ENOMEM;
	*works = code == 0;
	return visit(vctx, &feature);
}

int bv_doctor(const char *store, int (*visit)(void *, const BvFeature *), void *vctx, BvError **err)
{
	CLEAN_FREE char *path = store_path(store, err);
	ProbeContext ctx = {.store = path};
	bool can_run = true;

	if (!path)
		return err && *err ? bv_error_code(*err) : -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool works = false;
		int r = report(&rows[i], &ctx, visit, vctx, &works);
		if (r == -ENOMEM)
			return lib_fail(err, r, "out of memory");
		if (r != 0)
			return r;
		can_run = can_run && (works || !rows[i].required);
	}
	return can_run;
}
