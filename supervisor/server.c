/* server.c - one thread, one poll loop. Requests are short; what takes long (a command's end) is answered when its event comes. */
#include "supervisor/server.h"
#include "supervisor/control.h"
#include "supervisor/foreign.h"
#include "supervisor/freeze.h"
#include "supervisor/init.h"
#include "supervisor/net.h"
#include "supervisor/notify.h"
#include "supervisor/packet.h"
#include "supervisor/call.h"
#include "supervisor/ps.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MAX_CLIENTS 256
#define TICK_BUSY_MS 20	 /* while calls wait on workers: how late a signal may interrupt them */
#define TICK_TEXT_MS 500 /* while texts that change are open in a guest */
#define TICK_IDLE_MS 1000
#define FREEZE_WAIT_MS 2000 /* for the client's word that it has begun to read */
#define FIXED_FDS 3 /* of those that are polled: init, the listening socket, the workers' event */

typedef struct Server {
	Supervisor *sup;
	int listen_fd; /* -1 before the first request */
	int clients[MAX_CLIENTS];
	unsigned looks[MAX_CLIENTS]; /* of each client: how often it has begun to look, and not ended */
	size_t n_clients;
	bool stopping;
	StopRequest stop;
	bool done;
	StopRequest idle; /* who wants to know when no command is left; client -1: nobody */
	int freezer;   /* the client for whom the view is frozen, or -1 */
	Frozen frozen; /* threads that could not be let go yet */
	int claim_fd;  /* of the sandbox's directory, or -1; see claim() */
	int claim_ms;  /* until the claim is tried again */
} Server;

static int answer(int client, double seq, cJSON *body)
{
	cJSON_AddNumberToObject(body, "seq", seq);
	cJSON_AddBoolToObject(body, "ok", true);
	return packet_send(client, body);
}

static int refuse(int client, double seq, int err, const char *stage, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "seq", seq);
	cJSON_AddBoolToObject(o, "ok", false);
	cJSON_AddNumberToObject(o, "errno", err < 0 ? -err : err);
	if (stage)
		cJSON_AddStringToObject(o, "stage", stage);
	cJSON_AddStringToObject(o, "error", text ? text : strerror(err < 0 ? -err : err));
	return packet_send(client, o);
}

/* ---- commands ---- */

static Command *find_command(Supervisor *sup, unsigned id)
{
	for (Command *c = sup->commands; c; c = c->next)
		if (c->id == id)
			return c;
	return NULL;
}

static void free_command(Supervisor *sup, Command *c)
{
	for (Command **at = &sup->commands; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	listener_stop(c->listener);
	if (c->trace)
		fclose(c->trace);
	free(c->remark);
	free(c);
}

/* The listener outlives the command while its children run; the record goes when both are over and the end was told. */
static void maybe_free(Supervisor *sup, Command *c)
{
	if (c->ended && !c->listener && !c->waiting && c->client < 0)
		free_command(sup, c);
}

static int refuse_unwritten(Supervisor *sup, int client, double seq, int rc)
{
	const char *slash = strrchr(sup->dir, '/');
	CLEAN_FREE char *text = bv_asprintf("the last changes in sandbox '%s' could not be written to its database: %s", slash ? slash + 1 : sup->dir, strerror(-rc));

	return refuse(client, seq, rc, NULL, text);
}

/* A file could not be fetched: each command that was there then is told so with its end. */
static void share_fetch_error(Supervisor *sup)
{
	CLEAN_FREE char *error = cowfs_fetch_error(sup->fs);

	for (Command *c = sup->commands; error && c; c = c->next)
		if (!c->remark)
			c->remark = strdup(error);
}

/* What was refused over the network is told with the end of the next command, and once. */
static void share_denied(Supervisor *sup, Command *c)
{
	CLEAN_FREE char *text = net_remark(sup->net, &sup->denied_told);

	if (text && !c->remark)
		c->remark = TAKE_PTR(text);
}

/* What of the limits was reached while it ran: by it, or beside it. */
static void add_limits(Supervisor *sup, const Command *c, cJSON *o)
{
	if (limits_any(sup)) {
		cJSON_AddItemToObject(o, "limits", limits_json(sup, &c->hits));
		if (!sup->discards)
			limits_save(sup);
	}
	CLEAN_FREE char *reached = limits_remark(sup, &c->hits);
	CLEAN_FREE char *both = reached && c->remark ? bv_asprintf("%s\n%s", c->remark, reached) : NULL;
	const char *remark = both ? both : reached ? reached : c->remark;
	if (remark)
		cJSON_AddStringToObject(o, "remark", remark);
}

static int tell_status(Supervisor *sup, Command *c)
{
	cJSON *o = cJSON_CreateObject();

	share_fetch_error(sup);
	if (!c->builtin) {
		share_denied(sup, c);
		add_limits(sup, c, o);
	} else if (c->remark) {
		cJSON_AddStringToObject(o, "remark", c->remark);
	}
	if (WIFEXITED(c->status)) {
		cJSON_AddNumberToObject(o, "exit", WEXITSTATUS(c->status));
	} else {
		cJSON_AddNumberToObject(o, "signal", WTERMSIG(c->status));
		cJSON_AddBoolToObject(o, "core", WCOREDUMP(c->status));
	}
	return answer(c->waiter, c->wait_seq, o);
}

/* Whoever knows of the end finds in the database all that the command did. */
static void tell_end(Supervisor *sup, Command *c)
{
	int rc = sup->discards ? 0 : cowfs_commit(sup->fs, false);

	c->waiting = false;
	/* The exit code would promise what is not kept. */
	if ((rc < 0 ? refuse_unwritten(sup, c->waiter, c->wait_seq, rc) : tell_status(sup, c)) < 0)
		return; /* its end is seen by the loop */
	c->client = -1;
	maybe_free(sup, c);
}

static int open_cwd(Supervisor *sup, const char *path)
{
	CLEAN_LOC CowLoc dir = {0};
	char place[PATH_MAX];
	SupCaller caller = {.tid = getpid(), .tgid = getpid(), .sup = sup};
	CowReq req = {.cred = &sup->cred, .caller = &caller, .may_block = true};
	int fd = -1;
	int r = cowfs_resolve(sup->fs, &req, NULL, path, COW_DIRECTORY, 0, &dir);

	if (r == 0)
		r = cowfs_access(sup->fs, &req, &dir, "", COW_EMPTY_PATH, X_OK);
	if (r == 0)
		r = cowfs_cwd_place(sup->fs, &req, &dir, &fd, place, sizeof place);
	return r < 0 ? r : fd;
}

/* A deleted directory has no path in the view; and as nothing is in it and nothing can be made in it, a guest may as well be in the host's. */
static int take_deleted_cwd(Packet *p)
{
	struct stat st;

	if (p->n_fds < 4)
		return -EINVAL;
	CLEAN_FD int fd = p->fds[3];
	memmove(p->fds + 3, p->fds + 4, (--p->n_fds - 3) * sizeof *p->fds);
	if (fstat(fd, &st) < 0)
		return bv_neg_errno();
	return S_ISDIR(st.st_mode) && st.st_nlink == 0 ? TAKE_FD(fd) : -ENOENT;
}

/* As `like` says, whose trace is taken over; its client is answered when it has started. */
static void begin_command(Server *s, int client, double seq, const Command *like, const InitSpawn *how)
{
	Supervisor *sup = s->sup;
	InitSpawn spawn = *how;
	Command *c = calloc(1, sizeof *c);
	int r = -ENOMEM;

	if (c) {
		*c = *like;
		c->id = spawn.id = ++sup->next_id;
		c->client = c->waiter = client;
		c->wait_seq = seq;
		c->waiting = true;
		r = init_spawn(sup->init, &spawn);
	}
	if (r < 0) {
		IGNORE_RESULT(refuse(client, seq, r, NULL, NULL));
		if (like->trace)
			fclose(like->trace);
		free(c);
		return;
	}
	share_fetch_error(sup);
	limits_hits(sup, &c->hits);
	limits_note_spawn(sup);
	c->next = sup->commands;
	sup->commands = c;
}

static void request_spawn(Server *s, int client, double seq, Packet *p)
{
	Supervisor *sup = s->sup;
	CLEAN_FREE char **argv = json_strings(p->json, "argv");
	CLEAN_FREE char **env = json_strings(p->json, "env");
	CLEAN_FREE char **hide = json_strings(p->json, "hide");
	const char *cwd_path = json_string(p->json, "cwd", "/");
	CLEAN_FREE char *why = NULL;

	if (s->stopping || !argv || !env || !hide || !argv[0] || p->n_fds < 3) {
		IGNORE_RESULT(refuse(client, seq, s->stopping ? ESHUTDOWN : EINVAL, NULL, NULL));
		return;
	}
	int r = hide_paths(sup, hide, &why); /* before anything of the command runs */
	if (r < 0) {
		IGNORE_RESULT(refuse(client, seq, r, NULL, why));
		return;
	}
	CLEAN_FD int cwd = json_bool(p->json, "deleted", false) ? take_deleted_cwd(p) : open_cwd(sup, cwd_path);
	if (cwd < 0) {
		IGNORE_RESULT(refuse(client, seq, cwd, "cwd", NULL));
		return;
	}
	unsigned closed = (unsigned)json_set(p->json, "closed", 0) & 7;
	for (int i = 0; i < 3; i++)
		if (!(closed >> i & 1))
			IGNORE_RESULT(foreign_add_given(sup->foreign, p->fds[i])); /* full: it cannot be reopened by name */
	const InitSpawn spawn = {.flags = (json_bool(p->json, "tty", false) ? SPAWN_TTY : 0) | SPAWN_CLOSED * closed,
				 .mask = (mode_t)json_number(p->json, "umask", 022) & 0777,
				 .ignored = json_set(p->json, "ignored", 1),
				 .argv = argv,
				 .env = env,
				 .fds = {p->fds[0], p->fds[1], p->fds[2], cwd}};
	const Command like = {.tied = json_bool(p->json, "tied", false), .trace = p->n_fds > 3 ? fdopen(dup(p->fds[3]), "we") : NULL};
	begin_command(s, client, seq, &like, &spawn);
}

/* Bytes for one who writes, a socket for who answers; the others get nothing. */
static void request_file(Server *s, int client, double seq, Packet *p)
{
	const char *call = json_string(p->json, "call", ""), *path = json_string(p->json, "path", ""), *to = json_string(p->json, "to", "/");
	char flags[16], mode[16], *none[] = {NULL};
	char *args[] = {(char *)(uintptr_t)call, flags, mode, (char *)(uintptr_t)path, (char *)(uintptr_t)to, NULL};

	if (s->stopping || path[0] != '/' || to[0] != '/') {
		IGNORE_RESULT(refuse(client, seq, s->stopping ? ESHUTDOWN : EINVAL, NULL, NULL));
		return;
	}
	CLEAN_FD int cwd = open_cwd(s->sup, "/");
	if (cwd < 0) {
		IGNORE_RESULT(refuse(client, seq, cwd, "cwd", NULL));
		return;
	}
	snprintf(flags, sizeof flags, "%u", (unsigned)json_number(p->json, "flags", 0));
	snprintf(mode, sizeof mode, "%u", (unsigned)json_number(p->json, "mode", 0) & 07777);
	int given = p->n_fds ? p->fds[0] : cwd;
	const InitSpawn spawn = {.flags = SPAWN_BUILTIN | SPAWN_CLOSED * (p->n_fds ? 6 : 7),
				 .mask = (mode_t)json_number(p->json, "umask", 022) & 0777,
				 .ignored = UINT64_C(1) << (SIGPIPE - 1),
				 .argv = args,
				 .env = none,
				 .fds = {given, given, given, cwd}};
	const Command like = {.tied = true, .builtin = true, .watches = strcmp(call, "watch") == 0};
	begin_command(s, client, seq, &like, &spawn);
}

static void request_wait(Server *s, int client, double seq, Packet *p)
{
	Command *c = find_command(s->sup, (unsigned)json_number(p->json, "id", 0));

	if (!c || c->waiting) {
		IGNORE_RESULT(refuse(client, seq, ECHILD, NULL, NULL));
		return;
	}
	c->waiting = true;
	c->waiter = client;
	c->wait_seq = seq;
	if (c->ended)
		tell_end(s->sup, c);
}

typedef struct SignalAll {
	ProcTree *tree;
	int sig;
} SignalAll;

static int signal_one(void *ctx, pid_t pid)
{
	SignalAll *a = ctx;

	IGNORE_RESULT(proctree_kill(a->tree, pid, a->sig));
	return 0;
}

/* A command is a session of its own: the signal goes to its process group, as a terminal would send it. */
static void request_kill(Server *s, int client, double seq, Packet *p)
{
	unsigned id = (unsigned)json_number(p->json, "id", 0);
	int sig = (int)json_number(p->json, "signal", SIGTERM);
	Command *c = id ? find_command(s->sup, id) : NULL;

	if (sig < 0 || sig > SIGRTMAX) {
		IGNORE_RESULT(refuse(client, seq, EINVAL, NULL, NULL));
	} else if (id && (!c || c->ended || c->pid == 0)) {
		IGNORE_RESULT(refuse(client, seq, ESRCH, NULL, NULL));
	} else if (id) {
		if (kill(-c->pid, sig) < 0 && kill(c->pid, sig) < 0)
			IGNORE_RESULT(refuse(client, seq, errno, NULL, NULL));
		else
			IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
	} else {
		SignalAll a = {s->sup->tree, sig};
		IGNORE_RESULT(proctree_list(s->sup->tree, signal_one, &a));
		IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
	}
}

static unsigned *looks_of(Server *s, int client)
{
	for (size_t i = 0; i < s->n_clients; i++)
		if (s->clients[i] == client)
			return &s->looks[i];
	return NULL;
}

static void end_looks(Server *s, unsigned *looks)
{
	for (; *looks; --*looks)
		cowfs_look_end(s->sup->fs);
}

static void request_looked(Server *s, int client, double seq)
{
	unsigned *looks = looks_of(s, client);

	if (looks && *looks) {
		--*looks;
		cowfs_look_end(s->sup->fs);
	}
	IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
}

static void request_commit(Server *s, int client, double seq, Packet *p)
{
	if (s->stopping) { /* who has just come finds a stopped sandbox in a moment */
		IGNORE_RESULT(refuse(client, seq, ESHUTDOWN, NULL, NULL));
		return;
	}
	unsigned *looks = json_bool(p->json, "look", false) ? looks_of(s, client) : NULL;
	if (looks) {
		++*looks;
		cowfs_look_begin(s->sup->fs);
	}
	int r = cowfs_commit(s->sup->fs, json_bool(p->json, "durable", false));

	if (r < 0)
		IGNORE_RESULT(refuse_unwritten(s->sup, client, seq, r));
	else
		IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
}

/* ---- a moment to keep, for a snapshot ---- */

static int freeze_now(Server *s, size_t *writers, bool *still, uint64_t *pause)
{
	uint64_t began = bv_now_ns();
	int r = cowfs_freeze_prepare(s->sup->fs, writers);

	if (r < 0)
		return r;
	*still = true;
	if (*writers) { /* s->frozen may still hold threads of the last time: they are not to be lost */
		began = bv_now_ns();
		*still = guests_stop(s->sup, &s->frozen);
	}
	r = cowfs_freeze(s->sup->fs);
	if (*writers)
		guests_go(s->sup, &s->frozen);
	*pause = bv_now_ns() - began;
	return r;
}

/* No other request is served until the client has begun its transaction: many of them need a commit, and commits are held until then. */
static bool wait_for_reader(int client)
{
	struct pollfd p = {.fd = client, .events = POLLIN};
	Packet packet = {0};

	if (poll(&p, 1, FREEZE_WAIT_MS) != 1 || packet_receive(client, &packet) < 0)
		return false;
	bool began = strcmp(json_string(packet.json, "op", ""), "frozen") == 0;
	if (began)
		IGNORE_RESULT(answer(client, json_number(packet.json, "seq", 0), cJSON_CreateObject()));
	packet_release(&packet);
	return began;
}

static void add_state(Server *s, cJSON *o)
{
	CowState state;

	cowfs_state(s->sup->fs, &state);
	cJSON_AddStringToObject(o, "state", state.name);
	cJSON *touched = *state.since && cJSON_AddStringToObject(o, "since", state.since) ? cJSON_AddArrayToObject(o, "touched") : NULL;
	for (size_t i = 0; touched && i < state.n_touched; i++)
		cJSON_AddItemToArray(touched, cJSON_CreateNumber((double)state.touched[i]));
}

static void request_freeze(Server *s, int client, double seq)
{
	size_t writers = 0;
	bool still = false;
	uint64_t pause = 0;
	int r = s->stopping ? -ESHUTDOWN : s->freezer >= 0 ? -EBUSY : freeze_now(s, &writers, &still, &pause);

	if (r < 0) {
		IGNORE_RESULT(refuse(client, seq, r, NULL, r == -EBUSY ? "another snapshot of it is being taken" : NULL));
		return;
	}
	cJSON *o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "writers", (double)writers);
	cJSON_AddBoolToObject(o, "still", still);
	cJSON_AddNumberToObject(o, "pause", (double)pause / 1e9);
	add_state(s, o);
	if (answer(client, seq, o) == 0 && wait_for_reader(client)) {
		cowfs_freeze_release(s->sup->fs);
		s->freezer = client;
	} else {
		IGNORE_RESULT(cowfs_thaw(s->sup->fs));
	}
}

static void request_thaw(Server *s, int client, double seq)
{
	int r = s->freezer == client ? cowfs_thaw(s->sup->fs) : -ESTALE;

	if (r != -ESTALE)
		s->freezer = -1;
	if (r < 0)
		IGNORE_RESULT(refuse(client, seq, r, NULL, NULL));
	else
		IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
}

/* The list of bodies that can be fetched again was replaced. */
static void request_spool(Server *s, int client, double seq)
{
	CLEAN_FREE char *why = NULL;
	int r = cowfs_spool_changed(s->sup->fs, &why);

	if (r < 0)
		IGNORE_RESULT(refuse(client, seq, r, NULL, why));
	else
		IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
}

static void request_net(Server *s, int client, double seq, Packet *p)
{
	CLEAN_FREE char **allow = json_strings(p->json, "allow");
	CLEAN_FREE char *why = NULL;
	CowSockets *sockets = NULL;
	int r = allow ? find_sockets(s->sup, allow, &sockets, &why) : -ENOMEM;

	if (r == 0 && (r = net_change(s->sup->net, json_string(p->json, "net", ""), allow, &why)) == 0)
		cowfs_pin_sockets(s->sup->fs, TAKE_PTR(sockets));
	cowfs_free_sockets(sockets);
	if (r < 0)
		IGNORE_RESULT(refuse(client, seq, r, NULL, why));
	else
		IGNORE_RESULT(answer(client, seq, cJSON_CreateObject()));
}

static void begin_stop(Server *s)
{
	s->stopping = true;
	atomic_store(&s->sup->stopping, true);
	if (init_kill_all(s->sup->init) < 0)
		s->done = true;
}

static void request_stop(Server *s, int client, double seq)
{
	s->stop = (StopRequest){client, seq};
	if (!s->stopping)
		begin_stop(s);
}

static void serve_request(Server *s, int client, Packet *p)
{
	const char *op = json_string(p->json, "op", "");
	double seq = json_number(p->json, "seq", 0);

	if (strcmp(op, "spawn") == 0)
		request_spawn(s, client, seq, p);
	else if (strcmp(op, "file") == 0)
		request_file(s, client, seq, p);
	else if (strcmp(op, "wait") == 0)
		request_wait(s, client, seq, p);
	else if (strcmp(op, "kill") == 0)
		request_kill(s, client, seq, p);
	else if (strcmp(op, "ps") == 0)
		IGNORE_RESULT(answer(client, seq, ps_json(s->sup)));
	else if (strcmp(op, "commit") == 0)
		request_commit(s, client, seq, p);
	else if (strcmp(op, "looked") == 0)
		request_looked(s, client, seq);
	else if (strcmp(op, "stats") == 0)
		IGNORE_RESULT(answer(client, seq, stats_json(s->sup)));
	else if (strcmp(op, "freeze") == 0)
		request_freeze(s, client, seq);
	else if (strcmp(op, "thaw") == 0)
		request_thaw(s, client, seq);
	else if (strcmp(op, "spool") == 0)
		request_spool(s, client, seq);
	else if (strcmp(op, "idle") == 0)
		s->idle = (StopRequest){client, seq};
	else if (strcmp(op, "net") == 0)
		request_net(s, client, seq, p);
	else if (strcmp(op, "stop") == 0)
		request_stop(s, client, seq);
	else
		IGNORE_RESULT(refuse(client, seq, ENOSYS, NULL, "unknown request: library and supervisor are of different versions"));
}

/* ---- connections ---- */

static void kill_tree_of(Supervisor *sup, Command *c)
{
	if (c->pid > 0 && !c->ended) {
		kill(-c->pid, SIGKILL);
		kill(c->pid, SIGKILL);
	}
	(void)sup;
}

static void drop_client(Server *s, size_t i)
{
	int fd = s->clients[i];

	close(fd);
	end_looks(s, &s->looks[i]);
	s->clients[i] = s->clients[--s->n_clients];
	s->looks[i] = s->looks[s->n_clients];
	if (s->stop.client == fd)
		s->stop.client = -1;
	if (s->idle.client == fd)
		s->idle.client = -1;
	if (s->freezer == fd) {
		s->freezer = -1;
		IGNORE_RESULT(cowfs_thaw(s->sup->fs)); /* who would be told is gone */
	}
	for (Command *c = s->sup->commands, *next; c; c = next) {
		next = c->next;
		if (c->waiting && c->waiter == fd)
			c->waiting = false;
		if (c->client != fd)
			continue;
		c->client = -1;
		if (c->tied)
			kill_tree_of(s->sup, c);
		maybe_free(s->sup, c);
	}
}

/* After the first request, while init already works on it. A client that comes before finds the sandbox locked and tries again. */
static void open_control_socket(Server *s)
{
	CLEAN_FD int dir = open(s->sup->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	unlinkat(dir, "control.sock", 0);
	snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/control.sock", dir); /* the store's path may be too long for an address */
	if (dir < 0 || fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || fchmodat(dir, "control.sock", 0600, 0) < 0 || listen(fd, 16) < 0)
		fprintf(stderr, "bvisor-supervisor: cannot make the control socket in %s: %s; the next request tries again\n", s->sup->dir, strerror(errno));
	else
		s->listen_fd = TAKE_FD(fd);
}

static void accept_client(Server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->n_clients == MAX_CLIENTS) {
		close(fd);
		return;
	}
	s->looks[s->n_clients] = 0;
	s->clients[s->n_clients++] = fd;
}

/* ---- events of init and of listeners ---- */

static void on_started(Server *s, const InitEvent *e)
{
	Command *c = find_command(s->sup, e->id);

	if (!c)
		return;
	c->waiting = false;
	if (e->error) {
		IGNORE_RESULT(refuse(c->waiter, c->wait_seq, e->error, "exec", NULL));
		c->ended = true;
		c->client = -1;
		if (c->listener) {
			listener_stop(c->listener);
			c->listener = NULL;
		}
		maybe_free(s->sup, c);
		return;
	}
	c->pid = e->pid;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "id", c->id);
	cJSON_AddNumberToObject(o, "pid", c->pid);
	IGNORE_RESULT(answer(c->waiter, c->wait_seq, o));
}

static void on_exited(Server *s, const InitEvent *e)
{
	for (Command *c = s->sup->commands; c; c = c->next) {
		if (c->pid != e->pid || c->ended)
			continue;
		c->ended = true;
		c->status = e->status;
		if (c->waiting)
			tell_end(s->sup, c);
		else
			maybe_free(s->sup, c);
		return;
	}
}

static void on_init(Server *s)
{
	InitEvent e;
	Command *c;

	if (init_receive(s->sup->init, &e) < 0)
		return;
	switch (e.kind) {
	case EVENT_LISTENER:
		c = find_command(s->sup, e.id);
		if (!c)
			close(e.fd);
		else if (listener_start(s->sup, e.fd, c->trace, &c->listener) < 0)
			c->listener = NULL; /* closed: the exec fails with ENOSYS and says so */
		break;
	case EVENT_STARTED:
		on_started(s, &e);
		break;
	case EVENT_EXITED:
		on_exited(s, &e);
		break;
	case EVENT_ALL_DEAD:
	case EVENT_GONE:
		s->done = true;
		break;
	}
}

static void on_listener_end(Server *s, int fd)
{
	for (Command *c = s->sup->commands; c; c = c->next) {
		if (!c->listener || listener_fd(c->listener) != fd)
			continue;
		listener_stop(c->listener);
		c->listener = NULL;
		maybe_free(s->sup, c);
		return;
	}
}

static bool command_left(const Server *s)
{
	for (const Command *c = s->sup->commands; c; c = c->next)
		if (!c->watches && (!c->ended || c->listener))
			return true;
	return false;
}

static bool detached_left(const Server *s)
{
	for (const Command *c = s->sup->commands; c; c = c->next)
		if (!c->watches && !c->tied && (!c->ended || c->listener))
			return true;
	return false;
}

/* What is deleted at its end is claimed first, as each handle claims it, shared (lib/store.h): one that has never connected keeps it, and one whose process was killed does not.
 * A directory that is not there any more is nobody's. */
static bool claim(Server *s)
{
	if (s->claim_fd < 0)
		s->claim_fd = open(s->sup->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->claim_fd < 0 || flock(s->claim_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/* A sandbox that is deleted at its end does not wait for what its commands have left in the background: when no handle is left, nobody could look at it any more. */
static bool anything_left(Server *s, int *timeout)
{
	if (s->n_clients || (s->sup->discards ? detached_left(s) : command_left(s))) {
		s->claim_ms = 0;
		return true;
	}
	if (!s->sup->discards || claim(s))
		return false;
	s->claim_ms = MIN(2 * s->claim_ms + 1, TICK_IDLE_MS); /* nobody says when a claim is given up */
	*timeout = MIN(*timeout, s->claim_ms);
	return true;
}

static void tell_idle(Server *s)
{
	if (s->idle.client < 0 || command_left(s))
		return;
	IGNORE_RESULT(answer(s->idle.client, s->idle.seq, cJSON_CreateObject()));
	s->idle.client = -1;
}

/* ---- the loop ---- */

static size_t fill_poll(const Server *s, struct pollfd *p, size_t room)
{
	size_t n = 0;

	p[n++] = (struct pollfd){.fd = s->sup->init->sock, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
	p[n++] = (struct pollfd){.fd = workers_event(s->sup->workers), .events = POLLIN}; /* from now on ticks are short */
	for (size_t i = 0; i < s->n_clients; i++)
		p[n++] = (struct pollfd){.fd = s->clients[i], .events = POLLIN};
	for (const Command *c = s->sup->commands; c && n < room; c = c->next)
		if (c->listener)
			p[n++] = (struct pollfd){.fd = listener_fd(c->listener), .events = 0}; /* POLLHUP only */
	return n;
}

static void serve_clients(Server *s, const struct pollfd *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!p[i].revents)
			continue;
		Packet packet = {0};
		size_t at = 0;
		while (at < s->n_clients && s->clients[at] != p[i].fd)
			at++;
		if (at == s->n_clients)
			continue;
		int r = packet_receive(p[i].fd, &packet);
		if (r < 0) {
			drop_client(s, at);
			continue;
		}
		serve_request(s, p[i].fd, &packet);
		packet_release(&packet);
		if (s->listen_fd < 0 && !s->stopping)
			open_control_socket(s);
	}
}

static void loop_once(Server *s, int *timeout)
{
	struct pollfd p[FIXED_FDS + MAX_CLIENTS + 1024];
	size_t clients = s->n_clients;
	size_t n = fill_poll(s, p, ARRAY_LEN(p));

	if (poll(p, n, *timeout) < 0)
		return;
	if (p[0].revents)
		on_init(s);
	else /* events of init first: an exit is told before its command's client is looked at again */
		serve_clients(s, p + FIXED_FDS, clients);
	if (p[1].revents)
		accept_client(s);
	for (size_t i = FIXED_FDS + clients; i < n; i++)
		if (p[i].revents & (POLLHUP | POLLERR))
			on_listener_end(s, p[i].fd);
	size_t lingering = guests_collect(&s->frozen);
	bool texts = foreign_tick(s->sup->foreign);
	*timeout = workers_tick(s->sup->workers) || lingering ? TICK_BUSY_MS : texts ? TICK_TEXT_MS : TICK_IDLE_MS;
	task_drop_links(s->sup, false);
}

void server_run(Supervisor *sup, int first_fd, StopRequest *stop)
{
	Server s = {.sup = sup, .listen_fd = -1, .clients = {first_fd}, .n_clients = 1, .stop = {.client = -1}, .idle = {.client = -1}, .freezer = -1, .claim_fd = -1};
	int timeout = TICK_IDLE_MS;

	while (!s.done) {
		loop_once(&s, &timeout);
		tell_idle(&s);
		if (!s.stopping && !anything_left(&s, &timeout))
			begin_stop(&s);
	}
	sup->deletes = sup->discards && (s.stopping || claim(&s)); /* without a stop, init has ended before its time */
	while (sup->commands)
		free_command(sup, sup->commands);
	task_drop_links(sup, true);
	frozen_release(&s.frozen);
	bv_close_fd(&s.listen_fd);
	*stop = s.stop;
}

void server_answer_stop(const StopRequest *stop, int result)
{
	if (stop->client >= 0 && result < 0)
		IGNORE_RESULT(refuse(stop->client, stop->seq, result, NULL, NULL));
	else if (stop->client >= 0)
		IGNORE_RESULT(answer(stop->client, stop->seq, cJSON_CreateObject()));
}
