/* lib/launch.c - see launch.h.
 *
 * posix_spawn is used, not fork: the host program may have threads (but see embed.h). The child gets descriptor 3 (its end of the socket pair), /dev/null
 * as stdin and stdout, the log file of the store as stderr, a session of its own, default signals, and nothing else. */
#include "lib/launch.h"
#include "lib/embed.h"
#include "lib/hold.h"
#include "lib/limits.h"
#include "lib/store.h"
#include "lib/unlock.h"
#include "lib/view.h"
#include "supervisor/control.h"

#include "base/secret.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SUPERVISOR_NAME "bvisor-supervisor"
#ifndef BVISOR_LIBEXECDIR
#define BVISOR_LIBEXECDIR "/usr/libexec/bvisor"
#endif

/* ---- where the program is ---- */

static bool is_program(const char *path)
{
	return path && access(path, X_OK) == 0;
}

/* DIR(of)/rel, when it is a program; else NULL. */
static char *program_beside(const char *of, const char *rel)
{
	const char *slash = strrchr(of, '/');
	char *path = slash ? bv_asprintf("%.*s/%s", (int)(slash - of), of, rel) : NULL;

	if (is_program(path))
		return path;
	free(path);
	return NULL;
}

/* `name` beside this program or this library, or where it is installed; else NULL. */
static char *find_program(const char *name)
{
	CLEAN_FREE char *libexec = bv_asprintf("../libexec/bvisor/%s", name);
	CLEAN_FREE char *multiarch = bv_asprintf("../../libexec/bvisor/%s", name); /* of a library in lib/ARCHITECTURE */
	CLEAN_FREE char *bin = bv_asprintf("../bin/%s", name);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path = NULL;
	Dl_info info;

	if (!libexec || !multiarch || !bin)
		return NULL;
	if (n > 0) {
		self[n] = '\0';
		path = program_beside(self, name);
		if (!path)
			path = program_beside(self, libexec);
	}
	if (!path && dladdr(bv_version(), &info) && info.dli_fname && realpath(info.dli_fname, self)) {
		path = program_beside(self, name);
		if (!path)
			path = program_beside(self, libexec);
		if (!path)
			path = program_beside(self, multiarch);
		if (!path)
			path = program_beside(self, bin);
	}
	return path;
}

static char *find_supervisor(void)
{
	const char *given = getenv("BVISOR_SUPERVISOR");
	char *path = given && given[0] ? strdup(given) : find_program(SUPERVISOR_NAME);

	return path ? path : strdup(BVISOR_LIBEXECDIR "/" SUPERVISOR_NAME);
}

/* ---- connecting ---- */

/* A supervisor that was about to end may accept a connection and close it. Once it has answered, it stays as long as the client does. */
static int check_alive(Conn *conn)
{
	cJSON *req = conn_request("commit");
	int r;

	if (!req || !cJSON_AddBoolToObject(req, "durable", false)) {
		cJSON_Delete(req);
		return -ENOMEM;
	}
	r = conn_call(conn, req, NULL, 0, NULL, NULL);
	return r == -ECONNRESET || r == -ESHUTDOWN ? -ESRCH : r == -ENOMEM ? r : 0; /* what it said does not matter here */
}

int launch_connect(int dirfd, Conn **out)
{
	Conn *conn = NULL;
	int r;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return bv_neg_errno();
	/* The directory may be deeper than sun_path can say. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/control.sock", dirfd);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return errno == ENOENT || errno == ECONNREFUSED ? -ESRCH : bv_neg_errno();
	r = conn_new(TAKE_FD(fd), &conn);
	if (r == 0)
		r = check_alive(conn);
	if (r < 0) {
		conn_put(conn);
		return r;
	}
	*out = conn;
	return 0;
}

/* ---- starting ---- */

typedef struct Spawn {
	const char *program, *log;
	char *const *argv, *const *env;
	int sock; /* becomes CONTROL_FD, or -1 */
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
} Spawn;

static void prepare_spawn(Spawn *s)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&s->attr, &none);
	posix_spawnattr_setsigdefault(&s->attr, &all);
	posix_spawnattr_setflags(&s->attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	if (s->sock >= 0)
		posix_spawn_file_actions_adddup2(&s->actions, s->sock, CONTROL_FD);
	posix_spawn_file_actions_addopen(&s->actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&s->actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&s->actions, 2, s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_addclosefrom_np(&s->actions, CONTROL_FD + (s->sock >= 0));
}

/* In the process in between: nothing that needs memory, or a lock that another thread may hold. Its exit code is 0 or an errno. */
static int spawn_program(void *ctx)
{
	const Spawn *s = ctx;
	pid_t pid;

	return posix_spawn(&pid, s->program, &s->actions, &s->attr, s->argv, s->env);
}

/* The supervisor must not be our child: a host program that never waits would collect zombies, and one that waits for any child would see a
 * stranger. So a process in between starts it and ends at once; it shares our memory (as vfork does) and sends no signal
 * (exit signal 0), so only __WCLONE waits for it. Signals are blocked meanwhile: a handler of the host program must not run in it.
 * ThreadSanitizer keeps its state in the memory that is shared, and loses track of the locks: there it has memory of its own. */
#ifdef __SANITIZE_THREAD__
enum { SHARING = 0 };
#else
enum { SHARING = CLONE_VM | CLONE_VFORK };
#endif

static int spawn_orphan(Spawn *s)
{
	const size_t size = 128 * 1024;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	sigset_t all, before;
	pid_t pid;
	int r = 0, status = 0;

	if (stack == MAP_FAILED)
		return -ENOMEM;
	posix_spawn_file_actions_init(&s->actions);
	posix_spawnattr_init(&s->attr);
	prepare_spawn(s);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(spawn_program, stack + size, SHARING, s);
	if (pid < 0)
		r = bv_neg_errno();
	while (pid > 0 && waitpid(pid, &status, __WCLONE) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(stack, size);
	posix_spawnattr_destroy(&s->attr);
	posix_spawn_file_actions_destroy(&s->actions);
	return r < 0 ? r : WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
}

/* ---- as a fork of this program ---- */

static void (*embedded)(void);

void launch_embed(void (*run)(void))
{
	embedded = run;
	secret_own_process();
}

/* Descriptors as those of the program; those in the way are moved out of it first. */
static _Noreturn void become_supervisor(const Spawn *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	const int fds[] = {null, null, log < 0 ? null : log, s->sock};
	sigset_t none;

	setsid();
	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	int moved[ARRAY_LEN(fds)];
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CONTROL_FD + 1);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (moved[i] < 0 || dup2(moved[i], (int)i) < 0)
			_exit(1); /* the other end of the socket closes, and it says so */
	close_range(CONTROL_FD + 1, ~0U, 0);
	sigprocmask(SIG_SETMASK, &none, NULL);
	embedded();
	_exit(1);
}

static int fork_supervisor(const Spawn *s)
{
	pid_t pid = fork();

	if (pid == 0)
		become_supervisor(s);
	return pid < 0 ? bv_neg_errno() : 0;
}

/* ---- the first request ---- */

/* An ephemeral sandbox: the supervisor deletes its directory, and this. */
static bool add_remove(cJSON *req, const char *data_dir)
{
	cJSON *list = cJSON_AddArrayToObject(req, "remove");

	return list && (!data_dir || cJSON_AddItemToArray(list, cJSON_CreateString(data_dir)));
}

/* By this name it holds what it fetches from now on, or will after a snapshot that a bounded spool lists. */
static bool add_hold(cJSON *req, const SandboxConfig *config)
{
	CLEAN_FREE char *hold = hold_name(config);

	return hold && cJSON_AddStringToObject(req, "hold", hold);
}

static bool add_machine(cJSON *req, const SandboxConfig *config)
{
	return (!config->hostname || cJSON_AddStringToObject(req, "hostname", config->hostname)) &&
	       (!config->kernel_release || cJSON_AddStringToObject(req, "release", config->kernel_release));
}

static bool add_identity(cJSON *req, const SandboxConfig *c)
{
	return !c->fake_root || (cJSON_AddTrueToObject(req, "fake_root") && cJSON_AddNumberToObject(req, "uid", c->uid) && cJSON_AddNumberToObject(req, "gid", c->gid));
}

static cJSON *start_request(BvSandbox *sb, bool fetches)
{
	const char *mask = getenv("BVISOR_MASK");
	const char *data = sandbox_data_dir(sb);
	bool memory = backend_is_memory(sb->config.backend);
	CLEAN_FREE char *blobs = bv_asprintf("%s:%s/blobs", memory ? "tmpfs" : "dir", data);
	CLEAN_FREE char *db = bv_asprintf("%s/meta.db", data);
	CLEAN_STRV Strv hide = NULL;
	cJSON *req = conn_request("start"), *rw = NULL, *hidden = NULL;

	if (hide_list(sb->store, &sb->config, &hide) < 0 || !blobs || !db || !req)
		goto fail;
	rw = cJSON_CreateStringArray((const char *const *)sb->config.rw, (int)strv_len((const char *const *)sb->config.rw));
	hidden = cJSON_CreateStringArray((const char *const *)hide, (int)strv_len((const char *const *)hide));
	if ((sb->config.rw && !rw) || !hidden)
		goto fail;
	cJSON_AddItemToObject(req, "rw", rw ? TAKE_PTR(rw) : cJSON_CreateArray());
	cJSON_AddItemToObject(req, "hide", TAKE_PTR(hidden));
	if (sb->config.ephemeral && !add_remove(req, sb->config.data_dir))
		goto fail;
	if ((fetches || sb->config.spool) && !add_hold(req, &sb->config))
		goto fail;
	if (!add_machine(req, &sb->config) || !add_identity(req, &sb->config) || (sb->config.pidns && !cJSON_AddStringToObject(req, "pidns", config_pidns_word(sb->config.pidns))))
		goto fail;
	if (!cJSON_AddStringToObject(req, "dir", sb->dir) || !cJSON_AddStringToObject(req, "blobs", blobs) ||
	    !cJSON_AddStringToObject(req, "db", db) || !cJSON_AddBoolToObject(req, "durable", !memory && !sb->config.ephemeral) ||
	    !cJSON_AddBoolToObject(req, "ro", sb->config.ro) || !cJSON_AddNumberToObject(req, "spool", (double)sb->config.spool) || !cJSON_AddStringToObject(req, "mask", mask ? mask : ""))
		goto fail;
	return req;
fail:
	cJSON_Delete(rw);
	cJSON_Delete(hidden);
	cJSON_Delete(req);
	return NULL;
}

static int handshake(BvSandbox *sb, Conn *conn, const char *program, BvError **err)
{
	BvError *why = NULL;
	BvLimits limits;
	bool fetches = view_is_remote(sb);
	cJSON *req = start_request(sb, fetches);
	CLEAN_FD int key = -1;
	cJSON *answer = NULL;
	int r = fetches ? unlock_for_start(sb, &key, &why) : 0;

	if (r == 0 && req)
		r = network_request(req, sb, &why);
	if (r == 0)
		r = lib_limits_now(sb, &limits, &why);
	if (r == 0 && (!req || !lib_limits_add(req, &limits) || (key >= 0 && !cJSON_AddTrueToObject(req, "key"))))
		r = lib_fail(&why, -ENOMEM, "out of memory");
	if (r == 0)
		r = conn_call(conn, TAKE_PTR(req), &key, key >= 0, &answer, &why);
	cJSON_Delete(req);
	const char *warning = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "warning"));
	if (r == 0 && warning && !sb->warning)
		sb->warning = strdup(warning);
	cJSON_Delete(answer);

	if (r == -ECONNRESET)
		(void)lib_fail(err, r, "the supervisor %s ended while starting (see %s/supervisor.log)", program, sb->store);
	else if (r < 0)
		(void)lib_fail(err, r, "%s", bv_error_message(why));
	bv_error_free(why);
	return r;
}

int launch_supervisor(BvSandbox *sb, Conn **out, BvError **err)
{
	CLEAN_FREE char *program = find_supervisor();
	CLEAN_FREE char *log = bv_asprintf("%s/supervisor.log", sb->store);
	CLEAN_FD int theirs = -1;
	Conn *conn = NULL;
	int pair[2], r;

	if (!program || !log)
		return lib_fail(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return lib_fail(err, bv_neg_errno(), "cannot make a socket: %s", strerror(errno));
	theirs = pair[1];
	r = conn_new(pair[0], &conn);
	if (r < 0)
		return lib_fail(err, r, "cannot use a socket: %s", strerror(-r));
	char *const argv[] = {(char *)(uintptr_t)SUPERVISOR_NAME, NULL};
	Spawn spawn = {.program = program, .log = log, .argv = argv, .env = environ, .sock = theirs};
	r = embedded && !getenv("BVISOR_SUPERVISOR") ? fork_supervisor(&spawn) : spawn_orphan(&spawn);
	bv_close_fd(&theirs); /* or the end of the supervisor would never be seen */
	r = r < 0 ? lib_fail(err, r, "cannot start the supervisor %s: %s", program, strerror(-r)) : handshake(sb, conn, program, err);
	if (r < 0) {
		conn_put(conn);
		return r;
	}
	*out = conn;
	return 0;
}

_Static_assert(LAUNCH_FD == CONTROL_FD, "one descriptor is handed on");

int launch_program(const char *name, const char *const *argv, const char *variable, const char *log, int fd, BvError **err)
{
	CLEAN_FREE char *found = find_program(name);
	CLEAN_FREE char *program = found ? NULL : bv_asprintf("/usr/bin/%s", name);
	size_t n = 0, length = strcspn(variable, "=") + 1;

	while (environ[n])
		n++;
	CLEAN_FREE const char **env = calloc(n + 2, sizeof(*env));
	if (!env)
		return lib_fail(err, -ENOMEM, "out of memory");
	env[0] = variable;
	for (size_t i = 0, at = 1; i < n; i++)
		if (strncmp(environ[i], variable, length) != 0)
			env[at++] = environ[i];
	Spawn spawn = {.program = found ? found : program, .log = log, .argv = (char *const *)(uintptr_t)argv, .env = (char *const *)(uintptr_t)env, .sock = fd};
	int r = spawn.program ? spawn_orphan(&spawn) : -ENOMEM;
	return r < 0 ? lib_fail(err, r, "cannot start the program %s: %s", spawn.program ? spawn.program : name, strerror(-r)) : 0;
}
