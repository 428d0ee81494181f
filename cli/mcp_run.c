/* cli/mcp_run.c - the tool `run`: a command whose output is kept up to a limit, and that ends when it is cancelled, has run too long, or the server ends.
 *
 * What it leaves running in the background goes on, unless it was ended so: then all that is in its process group goes with it. */
#include "cli/mcp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { KEEP_MAX = 256 << 10, TICK_MS = 50, DRAIN_MS = 100, STREAM_MESSAGE = 200, QUIET_MS = 5000 };

/* The beginning and the end of what was written: what is between them is left out. */
typedef struct Kept {
	char *head, *tail;
	size_t head_len, tail_len, tail_at; /* tail: a ring */
	uint64_t total;
} Kept;

typedef struct Run {
	Call *call;
	BvProcess *process;
	Kept streams[2];
	char *line; /* the last of the output, until it was told as progress; or NULL */
	const char *input;
	size_t input_len, input_at;
	int64_t began, deadline; /* ms; deadline -1: none */
	uint64_t limit;		 /* of both streams; 0: none */
	BvStatus status;
	bool timed_out, flooded;
} Run;

static void keep(Kept *k, const char *bytes, size_t n)
{
	size_t head = n < KEEP_MAX / 2 - k->head_len ? n : KEEP_MAX / 2 - k->head_len;

	if (!k->head) {
		k->head = xrealloc(NULL, KEEP_MAX / 2);
		k->tail = xrealloc(NULL, KEEP_MAX / 2);
	}
	k->total += n;
	memcpy(k->head + k->head_len, bytes, head);
	k->head_len += head;
	for (size_t i = head; i < n; i++) {
		k->tail[k->tail_at] = bytes[i];
		k->tail_at = (k->tail_at + 1) % (KEEP_MAX / 2);
		k->tail_len += k->tail_len < KEEP_MAX / 2;
	}
}

/* malloc'ed UTF-8. */
static char *kept_text(const Kept *k)
{
	char *raw = NULL;
	size_t len = 0;
	FILE *out = mcp_check(open_memstream(&raw, &len));
	const uint64_t left_out = k->total - k->head_len - k->tail_len;
	const size_t first = k->tail_len < KEEP_MAX / 2 ? 0 : k->tail_at;

	fwrite(k->head ? k->head : "", 1, k->head_len, out);
	if (left_out)
		fprintf(out, "\n[... %llu bytes left out ...]\n", (unsigned long long)left_out);
	for (size_t i = 0; i < k->tail_len; i++)
		fputc(k->tail[(first + i) % (KEEP_MAX / 2)], out);
	if (fclose(out) != 0)
		mcp_check(NULL);
	char *text = mcp_utf8(raw, len);
	free(raw);
	return text;
}

/* The last line, or after a while that it still runs. */
static void tell(Run *r)
{
	const int64_t now = now_ms();

	if ((!r->line && now - (r->call->told_ms > r->began ? r->call->told_ms : r->began) < QUIET_MS) || !mcp_progress(r->call, (double)(now - r->began) / 1000, 0, r->line))
		return;
	free(r->line);
	r->line = NULL;
}

static void note_line(Run *r, const char *bytes, size_t n)
{
	if (!r->call->progress_token)
		return;
	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	size_t begin = n;
	while (begin > 0 && bytes[begin - 1] != '\n' && n - begin < STREAM_MESSAGE)
		begin--;
	free(r->line);
	r->line = mcp_utf8(bytes + begin, n - begin);
}

static void read_stream(Run *r, int stream)
{
	char bytes[65536];
	ssize_t n = read(bv_process_fd(r->process, stream), bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		bv_process_close_fd(r->process, stream);
		return;
	}
	keep(&r->streams[stream - 1], bytes, (size_t)n);
	note_line(r, bytes, (size_t)n);
	r->flooded = r->limit && r->streams[0].total + r->streams[1].total > r->limit;
}

static void write_input(Run *r)
{
	ssize_t n = write(bv_process_fd(r->process, 0), r->input + r->input_at, r->input_len - r->input_at);

	r->input_at += n > 0 ? (size_t)n : 0;
	if (r->input_at == r->input_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		bv_process_close_fd(r->process, 0);
}

static void step(Run *r, int timeout_ms)
{
	struct pollfd polls[] = {{.fd = bv_process_fd(r->process, 0), .events = POLLOUT}, {.fd = bv_process_fd(r->process, 1), .events = POLLIN}, {.fd = bv_process_fd(r->process, 2), .events = POLLIN}};

	if (poll(polls, ARRAY_LEN(polls), timeout_ms) <= 0)
		return;
	if (polls[0].fd >= 0 && polls[0].revents)
		write_input(r);
	for (int i = 1; i < 3; i++)
		if (polls[i].fd >= 0 && polls[i].revents)
			read_stream(r, i);
}

static bool has_output(const Run *r)
{
	return bv_process_fd(r->process, 1) >= 0 || bv_process_fd(r->process, 2) >= 0;
}

/* Must it end now? */
static bool shall_end(Run *r)
{
	r->timed_out = r->deadline >= 0 && now_ms() >= r->deadline;
	return r->timed_out || r->flooded || mcp_cancelled(r->call);
}

/* 0, or an error of the library. */
static int wait_for_end(Run *r, BvError **err)
{
	int w = -ETIMEDOUT;

	while (w == -ETIMEDOUT) {
		const bool open = has_output(r) || bv_process_fd(r->process, 0) >= 0;
		if (open)
			step(r, TICK_MS);
		w = bv_process_wait(r->process, open ? 0 : TICK_MS, &r->status, NULL);
		if (w != -ETIMEDOUT || !shall_end(r)) {
			tell(r);
			continue;
		}
		(void)bv_process_kill(r->process, SIGKILL, NULL); /* which is for its process group */
		w = bv_process_wait(r->process, -1, &r->status, NULL);
	}
	/* What it wrote last; others that it has left may hold the pipes open. */
	for (int64_t end = now_ms() + DRAIN_MS; w == 0 && has_output(r) && !r->flooded && now_ms() < end;)
		step(r, 10);
	return w < 0 ? bv_process_wait(r->process, 0, &r->status, err) : 0;
}

static void fill_result(const Run *r, Result *result)
{
	char *out = kept_text(&r->streams[0]), *err = kept_text(&r->streams[1]), *end = NULL;
	cJSON *s = result->structured = mcp_check(cJSON_CreateObject());
	const bool cut = r->streams[0].total > KEEP_MAX || r->streams[1].total > KEEP_MAX;

	mcp_check(cJSON_AddStringToObject(s, "stdout", out));
	mcp_check(cJSON_AddStringToObject(s, "stderr", err));
	if (r->status.signal)
		mcp_check(cJSON_AddNullToObject(s, "exit_code"));
	else
		mcp_check(cJSON_AddNumberToObject(s, "exit_code", r->status.exit_code));
	mcp_check(cJSON_AddNumberToObject(s, "signal", r->status.signal));
	mcp_check(cJSON_AddBoolToObject(s, "timed_out", r->timed_out));
	mcp_check(cJSON_AddBoolToObject(s, "output_limit_exceeded", r->flooded));
	mcp_check(cJSON_AddBoolToObject(s, "truncated", cut));
	mcp_check(cJSON_AddNumberToObject(s, "seconds", (double)(now_ms() - r->began) / 1000));
	if (r->timed_out || r->flooded)
		end = xasprintf("[%s: it was ended]", r->timed_out ? "it ran longer than its timeout" : "it wrote more than the output limit");
	else if (r->status.signal)
		end = xasprintf("[ended by signal %d]", r->status.signal);
	else
		end = xasprintf("[exit code %d]", r->status.exit_code);
	const char *remark = bv_process_remark(r->process);
	result->text = xasprintf("%s%s%s%s%s%s%s%s", out, *out && out[strlen(out) - 1] != '\n' ? "\n" : "", *err ? "[stderr]\n" : "", err, *err && err[strlen(err) - 1] != '\n' ? "\n" : "", remark ? remark : "", remark ? "\n" : "", end);
	result->failed = r->timed_out || r->flooded;
	free(out);
	free(err);
	free(end);
}

/* The environment that run's options make, and the sandbox's. */
static List base_environment(const Call *call)
{
	const char *const *given = call->server->options->session.env, *const *own = given ? NULL : bv_sandbox_environment(call->server->sb);
	List env = {0};

	for (size_t i = 0; given && given[i]; i++)
		list_add(&env, given[i]);
	for (char **e = environ; !given && *e; e++)
		if (!bv_process_withholds(*e))
			list_add(&env, *e);
	for (size_t i = 0; own && own[i]; i++)
		list_add(&env, own[i]);
	return env;
}

/* What this call adds to it, malloc'ed. */
static List added_environment(const Call *call)
{
	const cJSON *item;
	List env = {0};

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(call->arguments, "env"))
		list_add(&env, xasprintf("%s=%s", item->string, item->valuestring));
	return env;
}

/* Of several entries with one name the last counts. */
static void drop_doubles(List *env)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->count; i++) {
		const size_t len = strcspn(env->items[i], "=");
		bool again = false;
		for (size_t j = i + 1; j < env->count && !again; j++)
			again = strncmp(env->items[j], env->items[i], len) == 0 && env->items[j][len] == '=';
		if (!again)
			env->items[kept++] = env->items[i];
	}
	env->count = kept;
	env->items[kept] = NULL;
}

static bool names_are_good(const Call *call)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(call->arguments, "env"))
		if (!item->string[0] || strchr(item->string, '='))
			return false;
	return true;
}

static int spawn(Run *r, const char *const *argv, BvError **err)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	List env = base_environment(r->call), added = added_environment(r->call);
	char *cwd = mcp_path(r->call, "cwd", r->call->server->cwd);

	for (size_t i = 0; i < added.count; i++)
		list_add(&env, added.items[i]);
	if (!env.items) { /* an empty list is not the same as none */
		list_add(&env, "");
		env.count = 0;
	}
	drop_doubles(&env);
	options.argv = argv;
	options.env = env.items;
	options.cwd = cwd;
	options.fds[0] = r->input ? BV_FD_PIPE : BV_FD_NULL;
	options.fds[1] = options.fds[2] = BV_FD_PIPE;
	int code = bv_sandbox_spawn(r->call->server->sb, &options, &r->process, err);
	for (int i = 0; code == 0 && i < 3; i++)
		if (bv_process_fd(r->process, i) >= 0)
			(void)fcntl(bv_process_fd(r->process, i), F_SETFL, O_NONBLOCK);
	for (size_t i = 0; i < added.count; i++)
		free((void *)(uintptr_t)added.items[i]);
	free(added.items);
	free(env.items);
	free(cwd);
	return code;
}

/* It did not start: what it was that could not be used. */
static void spawn_failed(const Call *call, const char *word, Result *result, BvError *err)
{
	const char *stage = bv_error_stage(err);

	if (strcmp(stage, "cwd") == 0) {
		char *cwd = mcp_path(call, "cwd", call->server->cwd);
		mcp_fail(result, "cannot start in %s: %s", cwd, bv_error_message(err));
		free(cwd);
	} else if (strcmp(stage, "exec") == 0) {
		mcp_fail(result, "cannot run '%s': %s", word, bv_error_message(err));
	} else {
		mcp_fail_error(result, err);
		return;
	}
	bv_error_free(err);
}

void mcp_run(Call *call, Result *result)
{
	const char *command = mcp_string(call, "command", NULL), **argv = mcp_strings(call, "argv");
	const char *const shell[] = {"/bin/sh", "-c", command, NULL};
	const int64_t timeout = mcp_integer(call, "timeout_ms", call->server->options->session.timeout_ms);
	Run r = {.call = call, .input = mcp_string(call, "stdin", NULL), .began = now_ms(), .deadline = -1, .limit = call->server->options->session.output_limit};
	BvError *err = NULL;

	if (!command == !argv || (argv && !argv[0])) {
		mcp_fail(result, "run needs either 'command', for a shell, or 'argv', the words of a command");
	} else if (!names_are_good(call)) {
		mcp_fail(result, "'env' has a name that is empty or has an equals sign");
	} else {
		r.deadline = timeout > 0 ? r.began + timeout : -1;
		r.input_len = r.input ? strlen(r.input) : 0;
		if (spawn(&r, command ? shell : argv, &err) < 0)
			spawn_failed(call, command ? shell[0] : argv[0], result, err);
		else if (wait_for_end(&r, &err) < 0)
			mcp_fail_error(result, err);
		else
			fill_result(&r, result);
	}
	bv_process_close(r.process);
	free(r.line);
	for (int i = 0; i < 2; i++) {
		free(r.streams[i].head);
		free(r.streams[i].tail);
	}
	free(argv);
}
