/* main.c - bvisor-supervisor: one process per running sandbox, started by libbvisor with the control connection as descriptor 3.
 *
 * Order of the start: read "start" - probe features - lock the sandbox - build the filter - fork init (no threads yet) - open the backend and cowfs -
 * pins - answer - serve. Whatever fails is answered as a refusal that names the thing and the way out. */
#include "supervisor/call.h"
#include "supervisor/control.h"
#include "supervisor/filter.h"
#include "supervisor/foreign.h"
#include "supervisor/init.h"
#include "supervisor/notify.h"
#include "supervisor/packet.h"
#include "supervisor/server.h"
#include "supervisor/vcred.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

typedef struct Start {
	Packet packet;
	double seq;
	const char *dir, *blobs, *db;
	char *error;
	int lock_fd, listen_fd;
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
	return 0;
}

/* Exclusive among supervisors; the kernel frees it when we die, however. */
static int take_lock(Start *st)
{
	CLEAN_FREE char *path = bv_asprintf("%s/lock", st->dir);
	CLEAN_FD int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return bv_fail(&st->error, bv_neg_errno(), "cannot open %s/lock: %s; check the permissions of the store", st->dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return bv_fail(&st->error, -EAGAIN, "the sandbox in %s is in use by another supervisor", st->dir);
	st->lock_fd = TAKE_FD(fd);
	return 0;
}

/* Markers, sockets and exec links of the last run mean nothing now. */
static int make_run_dir(Supervisor *sup, Start *st)
{
	size_t n = sizeof sup->run_dir;

	if ((size_t)snprintf(sup->dir, n, "%s", st->dir) >= n || (size_t)snprintf(sup->run_dir, n, "%s/run", st->dir) >= n ||
	    (size_t)snprintf(sup->mark_dir, n, "%s/run/m", st->dir) >= n || (size_t)snprintf(sup->exec_dir, n, "%s/run/x", st->dir) >= n)
		return bv_fail(&st->error, -ENAMETOOLONG, "the store's path is too long: %s; set BVISOR_HOME to a shorter one", st->dir);
	int r = bv_remove_tree_at(AT_FDCWD, sup->run_dir);
	if (r == 0 && (mkdir(sup->run_dir, 0700) < 0 || mkdir(sup->mark_dir, 0700) < 0 || mkdir(sup->exec_dir, 0700) < 0))
		r = bv_neg_errno();
	return r < 0 ? bv_fail(&st->error, r, "cannot make %s: %s; check free space and permissions of the store", sup->run_dir, strerror(-r)) : 0;
}

static int make_control_socket(Start *st)
{
	CLEAN_FD int dir = open(st->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	unlinkat(dir, "control.sock", 0);
	snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/control.sock", dir); /* the store's path may be too long for an address */
	if (dir < 0 || fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || listen(fd, 16) < 0)
		return bv_fail(&st->error, bv_neg_errno(), "cannot make the control socket in %s: %s", st->dir, strerror(errno));
	if (fchmodat(dir, "control.sock", 0600, 0) < 0)
		return bv_fail(&st->error, bv_neg_errno(), "cannot protect the control socket in %s: %s", st->dir, strerror(errno));
	st->listen_fd = TAKE_FD(fd);
	return 0;
}

static int start_init(Supervisor *sup, Start *st, const struct rlimit *nofile)
{
	int r = filter_build(geteuid() == 0, &sup->filter, &sup->filter_len);

	if (r < 0)
		return bv_fail(&st->error, r, "cannot build the seccomp filter: %s", strerror(-r));
	const InitConfig config = {.filter = sup->filter,
				   .filter_len = sup->filter_len,
				   .killable = sup->features.killable,
				   .landlock_abi = sup->features.landlock_abi,
				   .nofile = *nofile};
	r = init_start(&config, &st->init);
	if (r < 0)
		return bv_fail(&st->error, r, "cannot start the sandbox's init process: %s; is a process limit reached?", strerror(-r));
	sup->init = &st->init;
	return 0;
}

static int open_blobs(Start *st, BlobStore **out)
{
	const char *colon = strchr(st->blobs, ':');
	CLEAN_FREE char *scheme = colon ? strndup(st->blobs, (size_t)(colon - st->blobs)) : NULL;
	const BlobOps *ops = scheme ? blob_ops_find(scheme) : NULL;

	if (!ops)
		return bv_fail(&st->error, -EINVAL, "unknown backend %s", st->blobs);
	return ops->open(colon + 1, BLOB_OPEN_CREATE, out, &st->error);
}

/* What cannot be made is done without: watches then see only what happens on the host's own objects. */
static void make_watch_dir(Supervisor *sup, const Start *st)
{
	const char *path = strchr(st->blobs, ':') + 1, *slash = strrchr(path, '/');
	int dir_len = slash ? (int)(slash - path) : 0;

	if (slash && (size_t)snprintf(sup->watch_dir, sizeof sup->watch_dir, "%.*s/watch", dir_len, path) < sizeof sup->watch_dir &&
	    bv_remove_tree_at(AT_FDCWD, sup->watch_dir) == 0 && mkdir(sup->watch_dir, 0700) == 0)
		return;
	sup->watch_dir[0] = 0;
}

static int open_view(Supervisor *sup, Start *st)
{
	CowfsConfig config = {.db_path = st->db,
			      .mark_dir = sup->mark_dir,
			      .flags = COWFS_CREATE | (json_bool(st->packet.json, "ro", false) ? COWFS_RO_VIEW : 0),
			      .durable = json_bool(st->packet.json, "durable", true)};

	if (!sup->features.openat2)
		config.flags |= COWFS_NO_OPENAT2;
	if (!sup->features.ficlone)
		config.flags |= COWFS_NO_FICLONE;
	int r = open_blobs(st, &config.blobs);
	if (r == 0)
		make_watch_dir(sup, st);
	config.watch_dir = sup->watch_dir[0] ? sup->watch_dir : NULL;
	return r < 0 ? r : cowfs_open(&config, &sup->fs, &st->error);
}

static int pin_grants(Supervisor *sup, Start *st)
{
	CLEAN_FREE char **rw = json_strings(st->packet.json, "rw");
	CLEAN_FREE char **hide = json_strings(st->packet.json, "hide");

	if (!rw || !hide)
		return -ENOMEM;
	for (size_t i = 0; hide[i]; i++) {
		int r = cowfs_pin_hide(sup->fs, hide[i]);
		if (r < 0)
			return bv_fail(&st->error, r, "cannot hide %s: %s", hide[i], strerror(-r));
	}
	for (size_t i = 0; rw[i]; i++) {
		int r = cowfs_pin_grant(sup->fs, rw[i], true);
		if (r < 0)
			return bv_fail(&st->error, r, "cannot grant %s: %s", rw[i], strerror(-r));
	}
	return 0;
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
	}
	n = readlinkat(sup->proc_fd, link, host, sizeof host - 1);
	if (n < 0)
		return bv_neg_errno();
	host[n] = 0;
	n = cowfs_virtual_of_host(sup->fs, host, buf, size);
	return n < 0 ? (int)n : 0;
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
				.sup = sup,
				.scratch_dir = sup->run_dir,
				.private_dirs = private_dirs};
	int r = foreign_init(&env, &sup->foreign);

	if (r < 0)
		return bv_fail(&st->error, r, "cannot prepare /proc and /dev for guests: %s", strerror(-r));
	sup->tree = foreign_proctree(sup->foreign);
	return 0;
}

static int read_groups(Supervisor *sup)
{
	int n = getgroups(0, NULL);
	gid_t *groups = n > 0 ? calloc((size_t)n, sizeof *groups) : NULL;

	if (n > 0 && (!groups || getgroups(n, groups) != n))
		return -ENOMEM;
	sup->cred = (CowCred){.uid = geteuid(), .gid = getegid(), .ngroups = (size_t)MAX(n, 0), .groups = groups};
	return 0;
}

static int start(Supervisor *sup, Start *st)
{
	struct rlimit guest_nofile;

	prepare_process(&guest_nofile);
	int r = read_start(st);
	if (r < 0)
		return r;
	features_probe(&sup->features, json_string(st->packet.json, "mask", NULL));
	sup->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	sup->counts = calloc(syscall_count, sizeof *sup->counts);
	if (sup->proc_fd < 0 || !sup->counts)
		return bv_fail(&st->error, -ENOSYS, "/proc is not there; mount it first");
	r = take_lock(st);
	if (r == 0)
		r = make_run_dir(sup, st);
	if (r == 0)
		r = start_init(sup, st, &guest_nofile);
	if (r == 0)
		r = read_groups(sup);
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
	return r < 0 ? r : make_control_socket(st);
}

static void tell_start(const Start *st, int r)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "seq", st->seq);
	cJSON_AddBoolToObject(o, "ok", r == 0);
	if (r == 0) {
		cJSON_AddNumberToObject(o, "pid", getpid());
	} else {
		cJSON_AddNumberToObject(o, "errno", -r);
		cJSON_AddStringToObject(o, "error", st->error ? st->error : strerror(-r));
	}
	IGNORE_RESULT(packet_send(CONTROL_FD, o));
}

int main(void)
{
	static Supervisor sup;
	Start st = {.lock_fd = -1, .listen_fd = -1};

	pthread_mutex_init(&sup.lock, NULL);
	int r = start(&sup, &st);
	tell_start(&st, r);
	packet_release(&st.packet);
	if (r == 0)
		r = server_run(&sup, CONTROL_FD, st.listen_fd);
	kill_descendants(); /* also what init could not kill because it died first */
	workers_free(sup.workers);
	if (sup.fs && cowfs_close(sup.fs) < 0)
		r = -EIO;
	foreign_free(sup.foreign);
	tasks_free(sup.tasks);
	vcred_free(sup.vcreds);
	if (sup.watch_dir[0])
		IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, sup.watch_dir));
	if (sup.run_dir[0])
		IGNORE_RESULT(bv_remove_tree_at(AT_FDCWD, sup.run_dir));
	return r < 0 ? 1 : 0;
}
