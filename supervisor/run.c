/* run.c - see run.h: one process per running sandbox, started by libbvisor with the control connection as descriptor 3.
 *
 * Order of the start: read "start" - probe features - lock the sandbox - control groups and their keeper - pid namespace - take the key - build the filter -
 * fork init (no threads yet) - open the backend and cowfs - pins - answer - serve. Whatever fails is answered as a refusal that names the thing and the way out.
 * Order of the end: guests and init are dead - workers - close the database, or delete the sandbox if that was asked for - give up the
 * lock - answer `stop`. So whoever got that answer finds nothing in use.
 *
 * A start to the end of `true` is to cost a few milliseconds, and each new file costs some 50 microseconds: what may not be
 * needed (markers, links, the control socket) is made when it is. */
#include "supervisor/call.h"
#include "supervisor/control.h"
#include "supervisor/filter.h"
#include "supervisor/foreign.h"
#include "supervisor/hostview.h"
#include "supervisor/init.h"
#include "supervisor/net.h"
#include "supervisor/notify.h"
#include "supervisor/packet.h"
#include "supervisor/pidns.h"
#include "supervisor/proctree.h"
#include "supervisor/run.h"
#include "supervisor/server.h"
#include "supervisor/vcred.h"
#include "snapshot/fetcher.h"

#include "base/maps.h"
#include "base/secret.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

typedef struct Start {
	Packet packet;
	double seq;
	const char *dir, *blobs, *db;
	char *error;
	char **remove; /* what is deleted at the end, or NULL; points into the packet */
	SnapKey *key; /* of the place that its files come from, or NULL */
	int lock_fd;
	Init init;
} Start;

static void on_kick(int sig)
{
	(void)sig; /* only interrupts a system call */
}

static void prepare_process(struct rlimit *guest_nofile)
{
	struct sigaction kick = {.sa_handler = on_kick};
	struct rlimit lim;

	secret_own_process();
	sigaction(SIGUSR1, &kick, NULL); /* no SA_RESTART: it must interrupt */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTSTP, SIG_IGN);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	getrlimit(RLIMIT_NOFILE, guest_nofile);
	lim = *guest_nofile;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	umask(0);
}

static int read_start(Start *st)
{
	int r = packet_receive(CONTROL_FD, &st->packet);

	if (r < 0)
		return r;
	st->seq = json_number(st->packet.json, "seq", 0);
	st->dir = json_string(st->packet.json, "dir", NULL);
	st->blobs = json_string(st->packet.json, "blobs", NULL);
	st->db = json_string(st->packet.json, "db", NULL);
	if (strcmp(json_string(st->packet.json, "op", ""), "start") != 0 || !st->dir || !st->blobs || !st->db)
		return bv_fail(&st->error, -EPROTO, "the supervisor was started by something that is not libbvisor of this version");
	if (cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(st->packet.json, "remove")) && !(st->remove = json_strings(st->packet.json, "remove")))
		return -ENOMEM;
	return 0;
}

/* After the fork into a pid namespace, and before init is forked: who is forked finds none in its memory (base/secret.h). */
static int take_key(Start *st)
{
	if (!json_bool(st->packet.json, "key", false))
		return 0;
	return st->packet.n_fds ? snap_key_receive(st->packet.fds[0], &st->key) : -EPROTO;
}

static int lock(Start *st, int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return bv_fail(&st->error, -EAGAIN, "the sandbox in %s is in use by another supervisor, or a snapshot of it is being taken", st->dir);
	return 0;
}

/* Exclusive among supervisors; the kernel frees it when we die, however. */
static int take_lock(Start *st)
{
	CLEAN_FREE char *path = bv_asprintf("%s/sandbox.json", st->dir);
	CLEAN_FD int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return bv_fail(&st->error, bv_neg_errno(), "cannot open %s/sandbox.json: %s; check the permissions of the store", st->dir, strerror(errno));
	int r = lock(st, fd);
	if (r == 0)
		st->lock_fd = TAKE_FD(fd);
	return r;
}

/* The keeper of the control groups stays outside, as it has to outlive us. The lock is taken anew, as /proc/locks names the process that took it, which has ended. */
static int enter_pidns(Supervisor *sup, Start *st)
{
	int r = pidns_start(sup, st->packet.json, &st->error);

	if (r < 0 || sup->host_proc < 0)
		return r;
	flock(st->lock_fd, LOCK_UN);
	return lock(st, st->lock_fd);
}

/* Markers, sockets, exec links and watched shadows of the last run mean nothing now. */
static int clear_run_dir(Supervisor *sup, Start *st)
{
	size_t n = sizeof sup->run_dir;

	if ((size_t)snprintf(sup->dir, n, "%s", st->dir) >= n || (size_t)snprintf(sup->run_dir, n, "%s/run", st->dir) >= n ||
	    (size_t)snprintf(sup->mark_dir, n, "%s/run/m", st->dir) >= n || (size_t)snprintf(sup->exec_dir, n, "%s/run/x", st->dir) >= n)
		return bv_fail(&st->error, -ENAMETOOLONG, "the store's path is too long: %s; set BVISOR_HOME to a shorter one", st->dir);
	const char *colon = strchr(st->blobs, ':'), *blobs = colon ? colon + 1 : "", *slash = strrchr(blobs, '/');
	if (!slash || (size_t)snprintf(sup->watch_dir, sizeof sup->watch_dir, "%.*s/watch", (int)(slash - blobs), blobs) >= sizeof sup->watch_dir)
		return bv_fail(&st->error, -ENAMETOOLONG, "the path of the backend is relative or too long: %s", st->blobs);
	int r = bv_remove_tree_at(AT_FDCWD, sup->run_dir);
	if (r == 0)
		r = bv_remove_tree_at(AT_FDCWD, sup->watch_dir);
	return r < 0 ? bv_fail(&st->error, r, "cannot clear %s: %s; check the permissions of the store", sup->run_dir, strerror(-r)) : 0;
}

static int start_init(Supervisor *sup, Start *st, const struct rlimit *nofile)
{
	bool closed = strcmp(json_string(st->packet.json, "net", "host"), "host") != 0;
	unsigned flags = (sup->emulates_ids ? FILTER_ROOT : 0) | (closed ? FILTER_NET : 0) | (limits_of_disk(sup) ? FILTER_DISK : 0);
	int r = filter_build(flags, &sup->filter, &sup->filter_len);

	if (r < 0)
		return bv_fail(&st->error, r, "cannot build the seccomp filter: %s", strerror(-r));
	InitConfig config = {.filter = sup->filter,
				   .filter_len = sup->filter_len,
				   .killable = sup->features.killable,
				   .landlock_abi = sup->features.landlock_abi,
				   .nofile = *nofile,
				   .cpus = sup->cpus_limited ? &sup->cpus : NULL};
	config.n_doors = limits_doors(sup, config.doors);
	if (config.n_doors < 0)
		return bv_fail(&st->error, config.n_doors, "cannot open the sandbox's control group: %s", strerror(-config.n_doors));
	r = init_start(&config, &st->init);
	for (int i = 0; i < config.n_doors; i++)
		close(config.doors[i]);
	if (r < 0)
		return bv_fail(&st->error, r, "cannot start the sandbox's init process: %s; is a process limit reached?", strerror(-r));
	sup->init = &st->init;
	return 0;
}

/* A guest makes us act for it on objects of the kernel that ask for the capabilities of who acts (netlink, ports, marks on packets). So a
 * supervisor of root keeps only what reading and keeping files takes. init has dropped everything already. */
static int drop_powers(void)
{
	static const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_MKNOD, CAP_SETFCAP, CAP_SYS_PTRACE, CAP_SYS_RESOURCE};
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return bv_neg_errno();
	uint32_t keep[2] = {0};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		keep[kept[i] / 32] |= 1U << (kept[i] % 32);
	for (int i = 0; i < 2; i++) {
		d[i].effective &= keep[i];
		d[i].permitted &= keep[i];
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) < 0 ? bv_neg_errno() : 0;
}

static int give_key(void *ctx, const char *place, const SnapKey **out, char **err)
{
	(void)place;
	(void)err;
	*out = ctx;
	return 0;
}

static void forget_key(void *ctx)
{
	snap_key_free(ctx);
}

static SnapKeyring keyring_of(Start *st)
{
	return st->key ? (SnapKeyring){give_key, forget_key, TAKE_PTR(st->key)} : (SnapKeyring){0};
}

static int open_blobs(Start *st, BlobStore **out)
{
	const char *colon = strchr(st->blobs, ':');
	CLEAN_FREE char *scheme = colon ? strndup(st->blobs, (size_t)(colon - st->blobs)) : NULL;
	const BlobOps *ops = scheme ? blob_ops_find(scheme) : NULL;

	if (!ops)
		return bv_fail(&st->error, -EINVAL, "unknown backend %s", st->blobs);
	BlobStore *blobs = NULL;
	int r = ops->open(colon + 1, BLOB_OPEN_CREATE | BLOB_OPEN_LATE, &blobs, &st->error);
	if (r == 0)
		r = snap_fetcher_attach(blobs, keyring_of(st), json_string(st->packet.json, "hold", NULL), &st->error);
	if (r < 0)
		blob_close(blobs);
	else
		*out = blobs;
	return r;
}

static bool is_guest(void *ctx, pid_t pid)
{
	const Supervisor *sup = ctx;

	return sup->tree && proctree_is_guest(sup->tree, pid);
}

typedef struct Mapped {
	CowMappedVisit visit;
	void *ctx;
} Mapped;

static int list_mapped_of(void *ctx, pid_t pid)
{
	const Mapped *m = ctx;

	return maps_of_process(pid, m->visit, m->ctx);
}

static int list_mapped(void *ctx, bool guests, CowMappedVisit visit, void *visit_ctx)
{
	Supervisor *sup = ctx;
	Mapped m = {visit, visit_ctx};
	char host_proc[32];

	if (!sup->tree || (!guests && sup->host_proc < 0))
		return maps_of_all("/proc", is_guest, sup, visit, visit_ctx);
	int r = proctree_list(sup->tree, list_mapped_of, &m);
	if (r < 0 || guests)
		return r;
	snprintf(host_proc, sizeof host_proc, "/proc/self/fd/%d", sup->host_proc);
	return maps_of_all(host_proc, NULL, NULL, visit, visit_ctx); /* in which guests have other numbers */
}

static int open_view(Supervisor *sup, Start *st)
{
	CLEAN_FREE char *json = bv_asprintf("%s/sandbox.json", st->dir), *above = bv_asprintf("%s/..", st->dir);
	const char *const settle[] = {json, st->dir, above, NULL};
	CLEAN_FREE char *opened = bv_asprintf("%.*sopened", (int)(strrchr(st->db, '/') + 1 - st->db), st->db);
	if (!json || !above || !opened)
		return -ENOMEM;
	CowfsConfig config = {.settle = settle,
			      .db_path = st->db,
			      .opened_path = sup->discards ? NULL : opened,
			      .mark_dir = sup->mark_dir,
			      .watch_dir = sup->watch_dir,
			      .flags = COWFS_CREATE | COWFS_LAZY | (json_bool(st->packet.json, "ro", false) ? COWFS_RO_VIEW : 0),
			      .durable = json_bool(st->packet.json, "durable", true),
			      .mapped = list_mapped,
			      .mapped_ctx = sup,
			      .spool_bound = (uint64_t)json_number(st->packet.json, "spool", 0),
			      .fake_root = sup->fake_root,
			      .owner_uid = (uid_t)json_number(st->packet.json, "uid", geteuid()),
			      .owner_gid = (gid_t)json_number(st->packet.json, "gid", getegid())};

	if (!sup->features.openat2)
		config.flags |= COWFS_NO_OPENAT2;
	if (!sup->features.ficlone)
		config.flags |= COWFS_NO_FICLONE;
	int r = open_blobs(st, &config.blobs);
	return r < 0 ? r : cowfs_open(&config, &sup->fs, &st->error);
}

int hide_paths(Supervisor *sup, char *const *paths, char **err)
{
	for (size_t i = 0; paths[i]; i++) {
		int r = cowfs_pin_hide(sup->fs, paths[i]);
		if (r < 0)
			return bv_fail(err, r, "cannot hide %s: %s", paths[i], strerror(-r));
	}
	return 0;
}

static int pin_grants(Supervisor *sup, Start *st)
{
	CLEAN_FREE char **rw = json_strings(st->packet.json, "rw");
	CLEAN_FREE char **hide = json_strings(st->packet.json, "hide");

	if (!rw || !hide)
		return -ENOMEM;
	int r = hide_paths(sup, hide, &st->error);
	for (size_t i = 0; rw[i] && r == 0; i++) {
		r = cowfs_pin_grant(sup->fs, rw[i], true);
		if (r < 0)
			return bv_fail(&st->error, r, "cannot grant %s: %s", rw[i], strerror(-r));
	}
	return r;
}

int find_sockets(Supervisor *sup, char *const *allow, CowSockets **out, char **err)
{
	CowSockets *list = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && allow[i]; i++) {
		const char *path = strncmp(allow[i], "unix:", 5) == 0 ? allow[i] + 5 : NULL;
		if (path && (r = cowfs_find_socket(sup->fs, path, &list)) < 0)
			(void)bv_fail(err, r, "cannot allow the socket %s: %s", path, strerror(-r));
	}
	if (r < 0)
		cowfs_free_sockets(list);
	else
		*out = list;
	return r;
}

static int start_net(Supervisor *sup, Start *st)
{
	CLEAN_FREE char **allow = json_strings(st->packet.json, "allow");
	CLEAN_FREE char **publish = json_strings(st->packet.json, "publish");
	int r = allow && publish ? net_new(json_string(st->packet.json, "net", "host"), allow, json_string(st->packet.json, "dns", NULL), publish, sup->features.sock_diag, &sup->net, &st->error) : -ENOMEM;

	CowSockets *sockets = NULL;

	if (r == 0 && (r = find_sockets(sup, allow, &sockets, &st->error)) == 0)
		cowfs_pin_sockets(sup->fs, sockets);
	return r;
}

/* ---- what the foreign file systems ask of us ---- */

static int loc_of_fd(Supervisor *sup, pid_t tid, int fd, CowLoc *out)
{
	Call call = {.sup = sup, .tid = tid};

	return guest_fd_loc(&call, fd, out, NULL);
}

/* The program's file is a blob or a host file; both know their virtual path. */
static int exe_of(Supervisor *sup, pid_t tgid, char *buf, size_t size)
{
	char link[32], host[PATH_MAX];
	CLEAN_LOC CowLoc loc = {0};
	struct statx st;
	ssize_t n;

	snprintf(link, sizeof link, "%d/exe", tgid);
	if (statx(sup->proc_fd, link, 0, STATX_BASIC_STATS, &st) < 0)
		return bv_neg_errno();
	dev_t dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	if (cowfs_by_identity(sup->fs, dev, st.stx_ino, &loc) == 0) {
		n = cowfs_virtual_path(sup->fs, &loc, buf, size);
		if (n >= 0)
			return 0;
		n = size > sizeof " (deleted)" ? cowfs_removed_path(sup->fs, &loc, buf, size - sizeof " (deleted)") : -ERANGE;
		if (n > 0) {
			memcpy(buf + n, " (deleted)", sizeof " (deleted)");
			return 0;
		}
	}
	n = readlinkat(sup->proc_fd, link, host, sizeof host - 1);
	if (n < 0)
		return bv_neg_errno();
	host[n] = 0;
	n = cowfs_virtual_of_host(sup->fs, host, NULL, buf, size);
	return n < 0 ? (int)n : 0;
}

static void ids_of(Supervisor *sup, pid_t tid, VcredIds *out)
{
	vcred_ids(sup->vcreds, tid, out);
}

static bool show_address(Supervisor *sup, int protocol, struct sockaddr_in6 *address)
{
	return net_show(sup->net, protocol, address);
}

static int start_foreign(Supervisor *sup, Start *st)
{
	const char *const private_dirs[] = {sup->dir, strchr(st->blobs, ':') + 1, NULL};
	const ForeignEnv env = {.fs = sup->fs,
				.init_pid = sup->init->pid,
				.supervisor_pid = getpid(),
				.loc_of_fd = loc_of_fd,
				.loc_of_cwd = guest_cwd_loc,
				.exe_of = exe_of,
				.view = sup->view,
				.sup = sup,
				.show_address = show_address,
				.ids_of = sup->emulates_ids ? ids_of : NULL,
				.scratch_dir = sup->run_dir,
				.private_dirs = private_dirs};
	int r = foreign_init(&env, &sup->foreign);

	if (r < 0)
		return bv_fail(&st->error, r, "cannot prepare /proc and /dev for guests: %s", strerror(-r));
	sup->tree = foreign_proctree(sup->foreign);
	return 0;
}

/* What is told of the sandbox in the names of its control groups. */
static int start_limits(Supervisor *sup, Start *st, struct rlimit *nofile)
{
	const char *slash = strrchr(st->dir, '/');
	Limits limits;
	int r = limits_read(st->packet.json, &limits);

	return r < 0 ? r : limits_start(sup, &limits, slash ? slash + 1 : st->dir, nofile, &st->error);
}

/* What guests are at their start. */
static int read_credentials(Supervisor *sup)
{
	static const gid_t roots[] = {0};

	if (sup->fake_root) {
		sup->cred = (CowCred){.ngroups = ARRAY_LEN(roots), .groups = roots};
		return 0;
	}
	int n = getgroups(0, NULL);
	gid_t *groups = n > 0 ? calloc((size_t)n, sizeof *groups) : NULL;

	if (n > 0 && (!groups || getgroups(n, groups) != n))
		return -ENOMEM;
	sup->cred = (CowCred){.uid = geteuid(), .gid = getegid(), .ngroups = (size_t)MAX(n, 0), .groups = groups};
	return 0;
}

/* What guests are shown of the machine. */
static int start_view(Supervisor *sup, Start *st)
{
	static HostView view;
	const cJSON *limits = cJSON_GetObjectItemCaseSensitive(st->packet.json, "limits");
	const double memory = json_number(limits, "memory", 0), cpus = json_number(limits, "cpus", 0), pids = json_number(limits, "pids", 0);
	int r = hostview_init(&view, CPU_COUNT(&sup->cpus) ? &sup->cpus : NULL, json_string(st->packet.json, "hostname", NULL), json_string(st->packet.json, "release", NULL));

	if (r < 0)
		return bv_fail(&st->error, r, "the host name or kernel release is longer than %d bytes", HOSTVIEW_NAME - 1);
	view.memory = memory > 0 ? (uint64_t)memory : 0;
	view.quota = cpus > 0 ? cpus : 0;
	view.pids = pids > 0 ? (uint64_t)pids : 0;
	sup->view = &view;
	return 0;
}

static int open_proc(Supervisor *sup, Start *st)
{
	sup->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return sup->proc_fd < 0 ? bv_fail(&st->error, -ENOSYS, "/proc is not there; mount it first") : 0;
}

static int start(Supervisor *sup, Start *st)
{
	struct rlimit guest_nofile;

	prepare_process(&guest_nofile);
	int r = read_start(st);
	if (r < 0)
		return r;
	sup->discards = st->remove != NULL;
	sup->fake_root = json_bool(st->packet.json, "fake_root", false);
	sup->emulates_ids = sup->fake_root || geteuid() == 0;
	features_probe(&sup->features, json_string(st->packet.json, "mask", NULL));
	sup->cpus_known = sched_getaffinity(0, sizeof sup->cpus, &sup->cpus) == 0 && CPU_COUNT(&sup->cpus) > 1;
	sup->counts = calloc(syscall_count, sizeof *sup->counts);
	r = sup->counts ? take_lock(st) : -ENOMEM;
	if (r == 0)
		r = clear_run_dir(sup, st);
	if (r == 0)
		r = start_limits(sup, st, &guest_nofile);
	if (r == 0)
		r = enter_pidns(sup, st);
	if (r == 0)
		r = open_proc(sup, st);
	if (r == 0)
		r = take_key(st);
	if (r == 0)
		r = start_view(sup, st);
	if (r == 0)
		r = start_init(sup, st, &guest_nofile);
	if (r == 0)
		r = drop_powers();
	if (r == 0)
		r = read_credentials(sup);
	if (r == 0)
		r = vcred_new(&sup->cred, &sup->vcreds);
	if (r == 0)
		r = tasks_new(&sup->tasks);
	if (r == 0)
		r = workers_new(sup, &sup->workers);
	if (r == 0)
		r = open_view(sup, st);
	if (r == 0)
		r = start_foreign(sup, st); /* first: what is hidden below /dev must not make records of the host's /dev */
	if (r == 0)
		r = pin_grants(sup, st);
	if (r == 0)
		r = limits_start_view(sup, &st->error);
	if (r == 0)
		r = start_net(sup, st);
	return r;
}

static void tell_start(const Supervisor *sup, const Start *st, int r)
{
	cJSON *o = cJSON_CreateObject();
	const char *limits = limits_warning(sup), *pidns = sup->pidns_warning;
	CLEAN_FREE char *both = limits && pidns ? bv_asprintf("%s\n%s", limits, pidns) : NULL;
	const char *warning = both ? both : limits ? limits : pidns;

	cJSON_AddNumberToObject(o, "seq", st->seq);
	cJSON_AddBoolToObject(o, "ok", r == 0);
	if (r == 0) {
		cJSON_AddNumberToObject(o, "pid", sup->pid);
		if (warning)
			cJSON_AddStringToObject(o, "warning", warning);
	} else {
		cJSON_AddNumberToObject(o, "errno", -r);
		cJSON_AddStringToObject(o, "error", st->error ? st->error : strerror(-r));
	}
	IGNORE_RESULT(packet_send(CONTROL_FD, o));
}

/* ---- the end ---- */

/* A directory of the store goes out of sight first, so that it is never seen half deleted; what is left of it if we are killed here is
 * swept by the next start of a sandbox. */
static int remove_sandbox(const Supervisor *sup, const Start *st)
{
	const char *slash = strrchr(st->dir, '/');
	CLEAN_FREE char *trash = slash ? bv_asprintf("%.*s/.trash-%s-%d", (int)(slash - st->dir), st->dir, slash + 1, sup->pid) : NULL;

	if (!trash)
		return -ENOMEM;
	if (rename(st->dir, trash) < 0)
		return bv_neg_errno();
	for (size_t i = 0; st->remove[i]; i++) {
		int r = bv_remove_tree_at(AT_FDCWD, st->remove[i]);
		if (r < 0)
			return r;
	}
	return bv_remove_tree_at(AT_FDCWD, trash);
}

/* Of a sandbox that is deleted nothing is written any more: the view is left as it is. */
static int finish(Supervisor *sup, Start *st)
{
	int r = 0;

	if (sup->init)
		init_end(sup->init);
	kill_descendants(); /* also what init could not kill because it died first */
	workers_free(sup->workers);
	limits_end(sup);
	if (sup->deletes) {
		r = remove_sandbox(sup, st);
	} else {
		if (sup->fs) {
			r = cowfs_commit(sup->fs, true);
			int closed = cowfs_close(sup->fs);
			r = r < 0 ? r : closed;
		}
		if (sup->run_dir[0])
			IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, sup->run_dir));
		if (sup->watch_dir[0])
			IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, sup->watch_dir));
		foreign_free(sup->foreign);
		tasks_free(sup->tasks);
		vcred_free(sup->vcreds);
		net_free(sup->net);
	}
	bv_close_fd(&st->lock_fd);
	return r;
}

void supervisor_run(void)
{
	static Supervisor sup;
	Start st = {.lock_fd = -1};
	StopRequest stop = {.client = -1};

	mallopt(M_ARENA_MAX, 2); /* a heap for each of some dozen threads would be memory that is never used */
	int r = start(&sup, &st);
	tell_start(&sup, &st, r);
	if (r == 0)
		server_run(&sup, CONTROL_FD, &stop);
	int end = finish(&sup, &st);
	server_answer_stop(&stop, end);
	packet_release(&st.packet);
	_exit(r < 0 || end < 0); /* the kernel frees the rest at once */
}
