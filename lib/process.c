/* lib/process.c - commands in a sandbox: start, wait, signal, list.
 *
 * The question "has it ended?" is asked once per process, at the first wait; its answer stays in p->wait until close, and
 * several threads may look at it. */
#include "lib/conn.h"
#include "lib/limits.h"
#include "lib/process.h"
#include "lib/store.h"
#include "lib/sync.h"

#include "base/secret.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

struct BvProcess {
	Conn *conn;
	uint64_t id;
	pid_t pid;
	int pipes[3]; /* our ends; -1 */
	pthread_mutex_t mu;
	bool asked; /* protected by mu */
	ConnCall wait;
};

/* ---- starting ---- */

/* What is sent to the supervisor. */
typedef struct Streams {
	int fds[5];	 /* stdin, stdout, stderr; then, of those that there are: a deleted cwd, trace */
	size_t count;
	bool ours[3];	 /* the descriptor is only for sending */
	unsigned closed; /* bit i: the command finds descriptor i closed, and fds[i] only stands there */
	char *cwd;	 /* NULL: the deleted directory */
	int deleted_cwd; /* -1: none */
} Streams;

/* As over an exec: what is closed or close-on-exec is closed in the command. The latter may also be one of the library's own, in the place of a
 * descriptor that the host program closed. */
static bool is_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* What the command gets as stream i. */
static int choose_fd(Streams *s, int given, int i, int *ours)
{
	int pair[2];

	if (given == BV_FD_INHERIT && !is_inherited(i)) {
		s->closed |= 1U << i;
		given = BV_FD_NULL;
	}
	if (given >= 0 || given == BV_FD_INHERIT) {
		s->fds[i] = given >= 0 ? given : i;
		return fcntl(s->fds[i], F_GETFD) < 0 ? -EBADF : 0;
	}
	s->ours[i] = true;
	if (given == BV_FD_NULL) {
		s->fds[i] = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		return s->fds[i] < 0 ? bv_neg_errno() : 0;
	}
	if (given != BV_FD_PIPE)
		return -EINVAL;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return bv_neg_errno();
	s->fds[i] = pair[i == 0 ? 0 : 1];
	*ours = lib_own_fd(pair[i == 0 ? 1 : 0]);
	return *ours < 0 ? bv_neg_errno() : 0;
}

static bool add_strings(cJSON *req, const char *key, const char *const *list)
{
	cJSON *array = cJSON_AddArrayToObject(req, key);

	if (!array)
		return false;
	for (size_t i = 0; list[i]; i++)
		if (!cJSON_AddItemToArray(array, cJSON_CreateString(list[i])))
			return false;
	return true;
}

bool environment_is_entry(const char *text)
{
	const char *equals = strchr(text, '=');

	return equals && equals != text;
}

static bool overrides(const char *const *list, const char *variable)
{
	size_t n = strcspn(variable, "=") + 1;

	for (size_t i = 0; list && list[i]; i++)
		if (strncmp(list[i], variable, n) == 0)
			return true;
	return false;
}

static bool has_element(const char *list, const char *element)
{
	size_t len = strlen(element);

	for (const char *at = strstr(list, element); at; at = strstr(at + 1, element))
		if ((at == list || at[-1] == ':') && (at[len] == ':' || at[len] == '\0'))
			return true;
	return false;
}

/* "PATH=..." with the directories that root's programs are in (dpkg insists on them). NULL: out of memory. */
static char *path_of_root(const char *variable)
{
	static const char *const dirs[] = {"/usr/local/sbin", "/usr/sbin", "/sbin"};
	char *path = strdup(variable);

	for (size_t i = 0; path && i < ARRAY_LEN(dirs); i++) {
		CLEAN_FREE char *before = path;
		path = has_element(before + strlen("PATH="), dirs[i]) ? strdup(before) : bv_asprintf("%s:%s", before, dirs[i]);
	}
	return path;
}

static bool add_variable(cJSON *array, const SandboxConfig *config, const char *variable)
{
	bool extend = config->fake_root && strncmp(variable, "PATH=", strlen("PATH=")) == 0;
	CLEAN_FREE char *path = extend ? path_of_root(variable) : NULL;

	return (!extend || path) && cJSON_AddItemToArray(array, cJSON_CreateString(extend ? path : variable));
}

/* `given`; or NULL: the caller's own, without what opens his places of snapshots, and the sandbox's. */
static bool add_environment(cJSON *req, const SandboxConfig *config, const char *const *given)
{
	const char *const *own = given ? given : (const char *const *)config->env;
	cJSON *array = cJSON_AddArrayToObject(req, "env");
	bool added = array;

	for (size_t i = 0; added && own && own[i]; i++)
		added = add_variable(array, config, own[i]);
	for (char **e = bv_environ(); !given && added && *e; e++)
		if (secret_variable(*e) == SECRET_NONE && !overrides(own, *e))
			added = add_variable(array, config, *e);
	return added;
}

/* A set as the list of its members; bit 0 stands for `first`. */
static bool add_set(cJSON *req, const char *key, uint64_t bits, int first)
{
	cJSON *array = cJSON_AddArrayToObject(req, key);

	if (!array)
		return false;
	for (int i = 0; i < 64; i++)
		if ((bits >> i & 1) && !cJSON_AddItemToArray(array, cJSON_CreateNumber(first + i)))
			return false;
	return true;
}

/* What exec(2) would hand on: nohup(1) and the background commands of a shell ignore signals so that their command does. Bit N-1: signal N. */
static uint64_t ignored_signals(void)
{
	struct sigaction action;
	uint64_t bits = 0;

	for (int sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			bits |= UINT64_C(1) << (sig - 1);
	return bits;
}

mode_t own_umask(void)
{
	CLEAN_FREE char *text = NULL;
	const char *line = bv_read_file_at(AT_FDCWD, "/proc/self/status", 65536, &text) > 0 ? strstr(text, "\nUmask:") : NULL;

	return line ? (mode_t)strtoul(line + strlen("\nUmask:"), NULL, 8) & 0777 : 022;
}

/* The current directory, if it was deleted: it has no path, but a command can start in it. Else -ENOENT: it is out of reach, as after a lazy umount. */
static int open_deleted_cwd(void)
{
	CLEAN_FD int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bv_neg_errno();
	return st.st_nlink == 0 ? TAKE_FD(fd) : -ENOENT;
}

/* Not normalised: "a/.." may go through a link of the sandbox. */
static int choose_cwd(Streams *s, const char *given, BvError **err)
{
	bool absolute = given && given[0] == '/';
	CLEAN_FREE char *here = absolute ? NULL : getcwd(NULL, 0);
	int r = absolute || here ? 0 : bv_neg_errno();

	if (r == -ENOENT && !given) {
		s->deleted_cwd = open_deleted_cwd();
		r = MIN(s->deleted_cwd, 0);
	} else if (r == 0) {
		s->cwd = !given ? TAKE_PTR(here) : absolute ? strdup(given) : bv_asprintf("%s/%s", here, given);
		r = s->cwd ? 0 : -ENOMEM;
	}
	if (r < 0) {
		(void)lib_fail(err, r, "%s", strerror(-r));
		lib_error_stage(err, "cwd");
	}
	return r;
}

/* The supervisor may run since before these variables were set, or for somebody else's command. */
static bool add_hidden(cJSON *req, const SandboxConfig *config)
{
	CLEAN_STRV Strv hide = NULL;

	return hide_add_named(config, &hide) == 0 && (!hide || add_strings(req, "hide", (const char *const *)hide));
}

typedef struct Spawn {
	const BvSpawnOptions *options;
	const Streams *streams;
} Spawn;

static cJSON *spawn_request(const BvSandbox *sb, const void *ctx)
{
	const Spawn *spawn = ctx;
	const BvSpawnOptions *o = spawn->options;
	const Streams *s = spawn->streams;
	cJSON *req = conn_request("spawn");

	if (req && add_strings(req, "argv", o->argv) && add_environment(req, &sb->config, o->env) &&
	    (s->cwd ? cJSON_AddStringToObject(req, "cwd", s->cwd) : cJSON_AddTrueToObject(req, "deleted")) &&
	    cJSON_AddBoolToObject(req, "tty", o->flags & BV_SPAWN_TTY) && cJSON_AddBoolToObject(req, "tied", !(o->flags & BV_SPAWN_DETACH)) &&
	    cJSON_AddNumberToObject(req, "umask", own_umask()) && add_set(req, "ignored", o->flags & BV_SPAWN_DEFAULT_SIGNALS ? 0 : ignored_signals(), 1) && add_set(req, "closed", s->closed, 0) &&
	    add_hidden(req, &sb->config))
		return req;
	cJSON_Delete(req);
	return NULL;
}

static int read_spawned(const cJSON *answer, BvProcess *p, BvError **err)
{
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(answer, "id"), *pid = cJSON_GetObjectItemCaseSensitive(answer, "pid");

	if (!cJSON_IsNumber(id) || !cJSON_IsNumber(pid))
		return lib_fail(err, -EPROTO, "the supervisor's answer makes no sense");
	p->id = (uint64_t)id->valuedouble;
	p->pid = pid->valueint;
	return 0;
}

static int try_ask(BvSandbox *sb, const ProcessAsk *ask, BvProcess *p, BvError **err)
{
	cJSON *answer = NULL, *req;
	int r = sandbox_connect(sb, true, &p->conn, err);

	if (r < 0)
		return r;
	req = ask->request(sb, ask->ctx);
	r = req ? conn_call(p->conn, req, ask->fds, ask->n_fds, &answer, err) : lib_fail(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = read_spawned(answer, p, err);
	cJSON_Delete(answer);
	return r;
}

/* A supervisor of somebody else's may be about to end just now: it refuses new commands (ESHUTDOWN) or closes the connection. When it is gone, a
 * new one is started. One that we started ourselves does not end while we are connected, so a lost connection is an error then. */
static int ask_until_served(BvSandbox *sb, const ProcessAsk *ask, BvProcess *p, BvError **err)
{
	for (unsigned i = 0;; i++) {
		int r = try_ask(sb, ask, p, err);
		if (r != -ESHUTDOWN && r != -ECONNRESET) {
			pthread_mutex_lock(&sb->mu);
			sb->joined = sb->joined && r < 0;
			pthread_mutex_unlock(&sb->mu);
			return r;
		}
		if (!sandbox_disconnect(sb, TAKE_PTR(p->conn)) || i >= 500)
			return r;
		lib_error_clear(err);
		nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
}

static BvProcess *process_new(BvError **err)
{
	BvProcess *p = calloc(1, sizeof(*p));

	if (!p) {
		(void)lib_fail(err, -ENOMEM, "out of memory");
		return NULL;
	}
	p->pipes[0] = p->pipes[1] = p->pipes[2] = -1;
	pthread_mutex_init(&p->mu, NULL);
	return p;
}

/* What every process brings with it. */
static int start(BvSandbox *sb, const ProcessAsk *ask, BvProcess *p, BvError **err)
{
	int r = ask_until_served(sb, ask, p, err);

	if (r == 0 && sb->config.continuous && (r = sync_launch(sb, err)) < 0)
		IGNORE_RESULT(bv_process_kill(p, SIGKILL, NULL));
	sandbox_prune_once(sb);
	return r;
}

int process_begin(BvSandbox *sb, const ProcessAsk *ask, BvProcess **out, BvError **err)
{
	BvProcess *p = process_new(err);
	int r = p ? start(sb, ask, p, err) : -ENOMEM;

	if (r == 0)
		*out = p;
	else
		bv_process_close(p);
	return r;
}

static int spawn_with_fds(BvSandbox *sb, const BvSpawnOptions *o, BvProcess *p, BvError **err)
{
	Streams s = {.fds = {-1, -1, -1}, .count = 3, .deleted_cwd = -1};
	int r = choose_cwd(&s, o->cwd, err);

	for (int i = 0; i < 3 && r == 0; i++) {
		r = choose_fd(&s, o->fds[i], i, &p->pipes[i]);
		if (r < 0)
			(void)lib_fail(err, r, "cannot prepare descriptor %d for the command: %s", i, strerror(-r));
	}
	if (s.deleted_cwd >= 0)
		s.fds[s.count++] = s.deleted_cwd;
	if (o->trace_fd >= 0)
		s.fds[s.count++] = o->trace_fd;
	if (r == 0)
		r = start(sb, &(ProcessAsk){spawn_request, &(Spawn){o, &s}, s.fds, s.count}, p, err);
	bv_close_fd(&s.deleted_cwd);
	free(s.cwd);
	for (int i = 0; i < 3; i++)
		if (s.ours[i] && s.fds[i] >= 0)
			close(s.fds[i]);
	return r;
}

int bv_sandbox_spawn(BvSandbox *sb, const BvSpawnOptions *options, BvProcess **out, BvError **err)
{
	BvSpawnOptions o = BV_SPAWN_OPTIONS_INIT;
	BvProcess *p;
	int r;

	if (lib_take_options(&o, sizeof(o), options) < 0 || !o.argv || !o.argv[0])
		return lib_fail(err, -EINVAL, "no command given, or options of a size that this library does not know");
	if (lib_check_flags(o.flags, BV_SPAWN_TTY | BV_SPAWN_DETACH | BV_SPAWN_DEFAULT_SIGNALS, err) < 0)
		return -EINVAL;
	p = process_new(err);
	if (!p)
		return -ENOMEM;
	r = spawn_with_fds(sb, &o, p, err);
	if (r < 0) {
		bv_process_close(p);
		return r;
	}
	*out = p;
	return 0;
}

pid_t bv_process_pid(const BvProcess *p)
{
	return p->pid;
}

int bv_process_fd(const BvProcess *p, int stream)
{
	return stream >= 0 && stream < 3 ? p->pipes[stream] : -1;
}

void bv_process_close_fd(BvProcess *p, int stream)
{
	if (stream >= 0 && stream < 3)
		bv_close_fd(&p->pipes[stream]);
}

void bv_process_close(BvProcess *p)
{
	if (!p)
		return;
	if (p->asked)
		conn_forget(p->conn, &p->wait);
	for (int i = 0; i < 3; i++)
		bv_close_fd(&p->pipes[i]);
	conn_put(p->conn);
	pthread_mutex_destroy(&p->mu);
	free(p);
}

/* ---- waiting ---- */

int process_ask_end(BvProcess *p)
{
	int r = 0;

	pthread_mutex_lock(&p->mu);
	if (!p->asked) {
		cJSON *req = conn_request("wait");
		if (req && cJSON_AddNumberToObject(req, "id", (double)p->id)) {
			r = conn_begin(p->conn, &p->wait, req, NULL, 0);
		} else {
			cJSON_Delete(req);
			r = -ENOMEM;
		}
		p->asked = r == 0;
	}
	pthread_mutex_unlock(&p->mu);
	return r;
}

static int read_status(const cJSON *answer, BvStatus *status, BvError **err)
{
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(answer, "exit");
	const cJSON *signal = cJSON_GetObjectItemCaseSensitive(answer, "signal");
	int r = conn_verdict(answer, err);
	BvStatus unwanted;

	if (r < 0)
		return r;
	status = status ? status : &unwanted;
	if (cJSON_IsNumber(code))
		*status = (BvStatus){.exit_code = code->valueint};
	else if (cJSON_IsNumber(signal))
		*status = (BvStatus){.exit_code = -1,
				     .signal = signal->valueint,
				     .core_dumped = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "core"))};
	else
		return lib_fail(err, -EPROTO, "the supervisor's answer makes no sense");
	return 0;
}

int bv_process_wait(BvProcess *p, int timeout_ms, BvStatus *status, BvError **err)
{
	int r = process_ask_end(p);

	if (r == 0)
		r = conn_wait(p->conn, &p->wait, timeout_ms);
	if (r == 0)
		return read_status(p->wait.answer, status, err);
	if (r == -ETIMEDOUT)
		return lib_fail(err, r, "the command did not end within %d ms", timeout_ms);
	if (r == -ECONNRESET)
		return lib_fail(err, r, "the sandbox's supervisor ended unexpectedly, and the command with it");
	return lib_fail(err, r, "cannot wait for the command: %s", strerror(-r));
}

const char *bv_process_remark(BvProcess *p)
{
	const cJSON *remark = NULL;

	pthread_mutex_lock(&p->mu);
	if (p->asked && p->wait.answer)
		remark = cJSON_GetObjectItemCaseSensitive(p->wait.answer, "remark");
	pthread_mutex_unlock(&p->mu);
	return cJSON_IsString(remark) ? remark->valuestring : NULL;
}

int bv_process_limits(BvProcess *p, int (*visit)(void *, const BvLimitInfo *), void *ctx)
{
	pthread_mutex_lock(&p->mu);
	const cJSON *answer = p->asked ? p->wait.answer : NULL; /* stays until close */
	pthread_mutex_unlock(&p->mu);
	return lib_limits_visit(answer, visit, ctx);
}

/* ---- signals ---- */

static int send_signal(Conn *conn, uint64_t id, int signal, BvError **err)
{
	cJSON *req = conn_request("kill");

	if (!req || !cJSON_AddNumberToObject(req, "id", (double)id) || !cJSON_AddNumberToObject(req, "signal", signal)) {
		cJSON_Delete(req);
		return lib_fail(err, -ENOMEM, "out of memory");
	}
	return conn_call(conn, req, NULL, 0, NULL, err);
}

static bool signal_is_valid(int signal)
{
	return signal >= 0 && signal <= SIGRTMAX;
}

int bv_process_kill(BvProcess *p, int signal, BvError **err)
{
	if (!signal_is_valid(signal))
		return lib_fail(err, -EINVAL, "%d is no signal", signal);
	return send_signal(p->conn, p->id, signal, err);
}

static int count_process(void *ctx, const BvProcessInfo *info)
{
	(void)info;
	++*(size_t *)ctx;
	return 0;
}

size_t sandbox_processes(BvSandbox *sb)
{
	size_t count = 0;

	return bv_sandbox_ps(sb, count_process, &count, NULL) == 0 ? count : 0;
}

/* What was killed takes a moment to be gone, and longer on a busy machine. No longer than 5 s: somebody may start new commands. */
static void wait_for_killed(BvSandbox *sb)
{
	for (unsigned i = 0; i < 1000 && sandbox_processes(sb) > 0; i++)
		nanosleep(&(struct timespec){0, 5000000}, NULL);
}

int bv_sandbox_kill(BvSandbox *sb, int signal, BvError **err)
{
	Conn *conn = NULL;
	int r;

	if (!signal_is_valid(signal))
		return lib_fail(err, -EINVAL, "%d is no signal", signal);
	r = sandbox_connect(sb, false, &conn, NULL);
	if (r == -ESRCH)
		return 0;
	if (r == 0)
		r = send_signal(conn, 0, signal, err);
	else
		(void)lib_fail(err, r, "cannot reach the supervisor: %s", strerror(-r));
	conn_put(conn);
	if (r == 0 && signal == SIGKILL)
		wait_for_killed(sb);
	return r;
}

/* ---- listing ---- */

static double number(const cJSON *item, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, key);

	return cJSON_IsNumber(value) && value->valuedouble > 0 ? value->valuedouble : 0;
}

/* Pointers into the answer, NULL-terminated; the list itself is the caller's. */
static const char **argument_list(const cJSON *item)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(item, "args"), *arg;
	const char **list = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(*list));
	size_t n = 0;

	cJSON_ArrayForEach(arg, array)
		if (list && cJSON_IsString(arg))
			list[n++] = arg->valuestring;
	return list;
}

static int visit_process(const cJSON *item, int (*visit)(void *, const BvProcessInfo *), void *ctx)
{
	const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "state"));
	const char *comm = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "comm"));
	const char **args = argument_list(item);
	BvProcessInfo info = {
		.pid = (pid_t)number(item, "pid"),
		.ppid = (pid_t)number(item, "ppid"),
		.id = (uint64_t)number(item, "id"),
		.state = state && state[0] ? state[0] : '?',
		.comm = comm ? comm : "",
		.args = args,
		.start = (int64_t)number(item, "start"),
	};
	int r = args ? visit(ctx, &info) : -ENOMEM;

	free(args);
	return r;
}

int bv_sandbox_ps(BvSandbox *sb, int (*visit)(void *, const BvProcessInfo *), void *ctx, BvError **err)
{
	Conn *conn = NULL;
	cJSON *answer = NULL;
	const cJSON *item;
	int r = sandbox_connect(sb, false, &conn, NULL);

	if (r == -ESRCH)
		return 0;
	r = r < 0 ? lib_fail(err, r, "cannot reach the supervisor: %s", strerror(-r)) : conn_call(conn, conn_request("ps"), NULL, 0, &answer, err);
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "processes"))
	{
		r = visit_process(item, visit, ctx);
		if (r != 0)
			break;
	}
	cJSON_Delete(answer);
	conn_put(conn);
	return r;
}

int bv_sandbox_stats(BvSandbox *sb, char **json, BvError **err)
{
	cJSON *answer = NULL;
	char *text = NULL;
	int r = lib_stats(sb, &answer, err);

	if (r == 0) {
		cJSON_DeleteItemFromObjectCaseSensitive(answer, "seq");
		cJSON_DeleteItemFromObjectCaseSensitive(answer, "ok");
		text = cJSON_PrintUnformatted(answer);
		if (!text)
			r = lib_fail(err, -ENOMEM, "out of memory");
	}
	cJSON_Delete(answer);
	if (r == 0)
		*json = text;
	return r;
}
