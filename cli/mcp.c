/* cli/mcp.c - see mcp.h. Input is hostile: a line is bounded, must be UTF-8 and JSON with nothing behind it, and every part of it is looked at before it is used. */
#include "cli/mcp.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 32 << 20, CALLS_MAX = 32, BATCH_MAX = 1000, ID_MAX = 256, PROGRESS_MS = 250, LISTEN_MS = 100, STALL_MS = 3000, END_MS = 2000, END_STEP_MS = 20 };
#define NUMBER_MAX 9007199254740991.0 /* up to here a double is one integer */

static const char *const versions[] = {"2025-06-18", "2025-03-26", "2024-11-05"}; /* the newest first */

void *mcp_check(void *made)
{
	if (!made)
		exit(cli_fail("out of memory"));
	return made;
}

char *mcp_utf8(const char *bytes, size_t len)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = mcp_check(open_memstream(&text, &size));

	for (size_t at = 0; at < len;) {
		unsigned char p[5] = {0};
		memcpy(p, bytes + at, len - at < 4 ? len - at : 4);
		size_t n = utf8_length(p);
		if (n)
			fwrite(p, 1, n, out);
		else
			fputs("\xef\xbf\xbd", out);
		at += n ? n : 1;
	}
	if (fclose(out) != 0)
		mcp_check(NULL);
	return text;
}

/* ---- answers ---- */

/* Until something can be written. False: nobody reads, and it shall end: a signal is there, or the client has closed its side and has read nothing for a while. */
static bool wait_for_reader(Server *s)
{
	int64_t since = -1;

	while (!s->mute) {
		struct pollfd polls[] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = s->signals, .events = POLLIN}, {.fd = since < 0 ? STDIN_FILENO : -1, .events = POLLRDHUP}};
		if (poll(polls, ARRAY_LEN(polls), LISTEN_MS) < 0)
			continue;
		if (polls[0].revents)
			return true;
		if (polls[1].revents || (since >= 0 && now_ms() - since > STALL_MS))
			break;
		if (since < 0 && (polls[2].revents || s->ending))
			since = now_ms();
	}
	return false;
}

/* In pieces that a pipe takes at once when it is ready (PIPE_BUF): a write that waits would hear of nothing. */
static void write_line(Server *s, const cJSON *message)
{
	char *text = mcp_check(cJSON_PrintUnformatted(message)), *line = xasprintf("%s\n", text);
	size_t len = strlen(line);

	pthread_mutex_lock(&s->out_lock);
	for (size_t at = 0; at < len && !s->mute;) {
		s->mute = !wait_for_reader(s);
		ssize_t n = s->mute ? 0 : write(STDOUT_FILENO, line + at, len - at < PIPE_BUF ? len - at : PIPE_BUF);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			break; /* nobody reads any more; the end of the input will follow */
		at += n > 0 ? (size_t)n : 0;
	}
	pthread_mutex_unlock(&s->out_lock);
	free(line);
	cJSON_free(text);
}

/* What names something of the client's goes back as it came. cJSON prints 15 digits of a number, which may be the name of another one. */
static cJSON *copy_id(const cJSON *id)
{
	char text[40];

	if (!cJSON_IsNumber(id))
		return mcp_check(id ? cJSON_Duplicate(id, true) : cJSON_CreateNull());
	snprintf(text, sizeof(text), id->valuedouble == (double)(int64_t)id->valuedouble ? "%.0f" : "%.17g", id->valuedouble);
	return mcp_check(cJSON_CreateRaw(text));
}

static bool same_id(const cJSON *a, const cJSON *b)
{
	if (cJSON_IsString(a) && cJSON_IsString(b))
		return strcmp(a->valuestring, b->valuestring) == 0;
	return cJSON_IsNumber(a) && cJSON_IsNumber(b) && a->valuedouble == b->valuedouble;
}

static cJSON *new_message(void)
{
	cJSON *message = mcp_check(cJSON_CreateObject());

	mcp_check(cJSON_AddStringToObject(message, "jsonrpc", "2.0"));
	return message;
}

/* Takes the message over. */
static void send_message(Server *s, cJSON *batch, cJSON *message)
{
	if (batch) {
		cJSON_AddItemToArray(batch, message);
		return;
	}
	write_line(s, message);
	cJSON_Delete(message);
}

/* id NULL: it is not known. Takes the result over. */
static void send_result(Server *s, cJSON *batch, const cJSON *id, cJSON *result)
{
	cJSON *message = new_message();

	cJSON_AddItemToObject(message, "id", copy_id(id));
	cJSON_AddItemToObject(message, "result", result);
	send_message(s, batch, message);
}

static void PRINTF_LIKE(5, 6) send_error(Server *s, cJSON *batch, const cJSON *id, int code, const char *fmt, ...)
{
	cJSON *message = new_message(), *error = mcp_check(cJSON_CreateObject());
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		mcp_check(NULL);
	va_end(ap);
	char *clean = mcp_utf8(text, strlen(text));
	cJSON_AddItemToObject(message, "id", copy_id(id));
	mcp_check(cJSON_AddNumberToObject(error, "code", code));
	mcp_check(cJSON_AddStringToObject(error, "message", clean));
	cJSON_AddItemToObject(message, "error", error);
	send_message(s, batch, message);
	free(clean);
	free(text);
}

bool mcp_progress(Call *call, double done, double total, const char *text)
{
	int64_t now = now_ms();

	if (!call->progress_token || call->batch || mcp_cancelled(call) || now - call->told_ms < PROGRESS_MS)
		return false;
	call->told_ms = now;
	cJSON *message = new_message(), *params = mcp_check(cJSON_CreateObject());
	mcp_check(cJSON_AddStringToObject(message, "method", "notifications/progress"));
	cJSON_AddItemToObject(params, "progressToken", copy_id(call->progress_token));
	mcp_check(cJSON_AddNumberToObject(params, "progress", done));
	if (total > 0)
		mcp_check(cJSON_AddNumberToObject(params, "total", total));
	if (text && *text)
		mcp_check(cJSON_AddStringToObject(params, "message", text));
	cJSON_AddItemToObject(message, "params", params);
	send_message(call->server, NULL, message);
	return true;
}

bool mcp_cancelled(const Call *call)
{
	return call->cancelled || call->server->ending;
}

/* ---- arguments ---- */

static const cJSON *argument(const Call *call, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(call->arguments, name);
}

const char *mcp_string(const Call *call, const char *name, const char *otherwise)
{
	const cJSON *v = argument(call, name);

	return v ? v->valuestring : otherwise;
}

int64_t mcp_integer(const Call *call, const char *name, int64_t otherwise)
{
	const cJSON *v = argument(call, name);

	return v ? (int64_t)v->valuedouble : otherwise;
}

bool mcp_flag(const Call *call, const char *name, bool otherwise)
{
	const cJSON *v = argument(call, name);

	return v ? cJSON_IsTrue(v) : otherwise;
}

char *mcp_join(const Call *call, const char *path)
{
	return path[0] == '/' ? xasprintf("%s", path) : xasprintf("%s/%s", call->server->cwd, path);
}

char *mcp_path(const Call *call, const char *name, const char *otherwise)
{
	return mcp_join(call, mcp_string(call, name, otherwise));
}

const char **mcp_strings(const Call *call, const char *name)
{
	const cJSON *v = argument(call, name), *item;
	size_t n = 0;

	if (!v)
		return NULL;
	const char **list = xrealloc(NULL, ((size_t)cJSON_GetArraySize(v) + 1) * sizeof(*list));
	cJSON_ArrayForEach(item, v)
		list[n++] = item->valuestring;
	list[n] = NULL;
	return list;
}

static bool are_strings(const cJSON *v)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, v)
		if (!cJSON_IsString(item))
			return false;
	return true;
}

static bool has_type(const cJSON *v, ArgumentType type)
{
	switch (type) {
	case ARG_STRING: return cJSON_IsString(v);
	case ARG_INTEGER: return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= NUMBER_MAX && v->valuedouble == (double)(int64_t)v->valuedouble;
	case ARG_BOOLEAN: return cJSON_IsBool(v);
	case ARG_STRINGS: return cJSON_IsArray(v) && are_strings(v);
	case ARG_STRING_MAP: break;
	}
	return cJSON_IsObject(v) && are_strings(v);
}

static const char *type_wish(ArgumentType type)
{
	static const char *const wishes[] = {"a string", "an integer from 0 on", "true or false", "an array of strings", "an object of strings"};

	return wishes[type];
}

static const Argument *find_argument(const Tool *tool, const char *name)
{
	for (const Argument *a = tool->arguments; a->name; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

static bool is_one_of(const Argument *a, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(a->words) && a->words[i]; i++)
		if (strcmp(a->words[i], text) == 0)
			return true;
	return !a->words[0];
}

/* NULL, or what is wrong with the arguments, malloc'ed. */
static char *check_arguments(const Tool *tool, const cJSON *arguments)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, arguments) {
		const Argument *a = find_argument(tool, v->string);
		if (!a) {
			Nearest nearest = nearest_begin(v->string);
			for (a = tool->arguments; a->name; a++)
				nearest_offer(&nearest, a->name);
			const char *near = nearest_found(&nearest);
			return xasprintf("%s has no argument '%s'%s%s%s", tool->name, v->string, near ? ": is '" : "", near ? near : "", near ? "' meant?" : "");
		}
		if (!has_type(v, a->type))
			return xasprintf("%s: '%s' should be %s", tool->name, a->name, type_wish(a->type));
		if (a->type == ARG_STRING && !is_one_of(a, v->valuestring))
			return xasprintf("%s: '%s' is '%s', and should be one of those in the schema", tool->name, a->name, v->valuestring);
		if (cJSON_GetObjectItemCaseSensitive(arguments, v->string) != v)
			return xasprintf("%s: '%s' is given twice", tool->name, a->name);
	}
	for (const Argument *a = tool->arguments; a->name; a++)
		if (a->required && !cJSON_GetObjectItemCaseSensitive(arguments, a->name))
			return xasprintf("%s needs the argument '%s'", tool->name, a->name);
	return NULL;
}

/* ---- the list of tools ---- */

static cJSON *argument_schema(const Argument *a)
{
	static const char *const types[] = {"string", "integer", "boolean", "array", "object"};
	cJSON *schema = mcp_check(cJSON_CreateObject());

	mcp_check(cJSON_AddStringToObject(schema, "type", types[a->type]));
	mcp_check(cJSON_AddStringToObject(schema, "description", a->about));
	if (a->type == ARG_INTEGER)
		mcp_check(cJSON_AddNumberToObject(schema, "minimum", 0));
	if (a->type == ARG_STRINGS || a->type == ARG_STRING_MAP) {
		cJSON *item = mcp_check(cJSON_AddObjectToObject(schema, a->type == ARG_STRINGS ? "items" : "additionalProperties"));
		mcp_check(cJSON_AddStringToObject(item, "type", "string"));
	}
	if (a->words[0]) {
		cJSON *words = mcp_check(cJSON_AddArrayToObject(schema, "enum"));
		for (size_t i = 0; i < ARRAY_LEN(a->words) && a->words[i]; i++)
			cJSON_AddItemToArray(words, mcp_check(cJSON_CreateString(a->words[i])));
	}
	return schema;
}

static cJSON *describe_tool(const Tool *tool)
{
	cJSON *t = mcp_check(cJSON_CreateObject());

	mcp_check(cJSON_AddStringToObject(t, "name", tool->name));
	mcp_check(cJSON_AddStringToObject(t, "title", tool->title));
	mcp_check(cJSON_AddStringToObject(t, "description", tool->about));
	cJSON *schema = mcp_check(cJSON_AddObjectToObject(t, "inputSchema"));
	mcp_check(cJSON_AddStringToObject(schema, "type", "object"));
	cJSON *properties = mcp_check(cJSON_AddObjectToObject(schema, "properties"));
	cJSON *required = mcp_check(cJSON_AddArrayToObject(schema, "required"));
	for (const Argument *a = tool->arguments; a->name; a++) {
		cJSON_AddItemToObject(properties, a->name, argument_schema(a));
		if (a->required)
			cJSON_AddItemToArray(required, mcp_check(cJSON_CreateString(a->name)));
	}
	mcp_check(cJSON_AddBoolToObject(schema, "additionalProperties", false));
	cJSON *hints = mcp_check(cJSON_AddObjectToObject(t, "annotations"));
	mcp_check(cJSON_AddBoolToObject(hints, "readOnlyHint", tool->read_only));
	mcp_check(cJSON_AddBoolToObject(hints, "destructiveHint", tool->destructive));
	return t;
}

static bool is_offered(const Server *s, const Tool *tool)
{
	return !tool->needs_apply || s->options->allow_apply;
}

static const Tool *find_tool(const Server *s, const char *name)
{
	for (size_t i = 0; mcp_tool_at(i); i++)
		if (is_offered(s, mcp_tool_at(i)) && strcmp(mcp_tool_at(i)->name, name) == 0)
			return mcp_tool_at(i);
	return NULL;
}

/* ---- calls ---- */

static cJSON *call_result(const Result *result)
{
	cJSON *answer = mcp_check(cJSON_CreateObject()), *list = mcp_check(cJSON_AddArrayToObject(answer, "content")), *item = mcp_check(cJSON_CreateObject());
	char *text = mcp_utf8(result->text ? result->text : "", result->text ? strlen(result->text) : 0);

	mcp_check(cJSON_AddStringToObject(item, "type", "text"));
	mcp_check(cJSON_AddStringToObject(item, "text", text));
	cJSON_AddItemToArray(list, item);
	if (result->structured)
		cJSON_AddItemToObject(answer, "structuredContent", result->structured);
	mcp_check(cJSON_AddBoolToObject(answer, "isError", result->failed));
	free(text);
	return answer;
}

void mcp_fail(Result *result, const char *fmt, ...)
{
	va_list ap;

	free(result->text);
	va_start(ap, fmt);
	if (vasprintf(&result->text, fmt, ap) < 0)
		mcp_check(NULL);
	va_end(ap);
	result->failed = true;
}

void mcp_fail_error(Result *result, BvError *err)
{
	mcp_fail(result, "%s", err ? bv_error_message(err) : "out of memory");
	bv_error_free(err);
}

static void call_free(Call *call)
{
	cJSON_Delete(call->id);
	cJSON_Delete(call->arguments);
	cJSON_Delete(call->progress_token);
	free(call);
}

/* Whoever has the answer may use the id anew. */
static void unlink_call(Call *call)
{
	Server *s = call->server;

	pthread_mutex_lock(&s->lock);
	Call **at = &s->calls;
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	s->n_calls--;
	pthread_mutex_unlock(&s->lock);
}

static void do_call(Call *call)
{
	Server *s = call->server;
	Result result = {0};
	int r = call->tool->exclusive ? pthread_rwlock_trywrlock(&s->sandbox_lock) : pthread_rwlock_rdlock(&s->sandbox_lock);

	if (r != 0)
		mcp_fail(&result, "%s: other calls are at work in the sandbox: wait for them, or cancel them", call->tool->name);
	else if (!s->sb)
		mcp_fail(&result, "the sandbox could not be put back, and is gone");
	else if (!mcp_cancelled(call))
		call->tool->call(call, &result);
	if (r == 0)
		pthread_rwlock_unlock(&s->sandbox_lock);
	unlink_call(call);
	if (mcp_cancelled(call))
		cJSON_Delete(result.structured);
	else
		send_result(s, call->batch, call->id, call_result(&result));
	free(result.text);
}

/* A call that is alone, or those of a batch. */
static void *call_thread(void *ctx)
{
	Call *call = ctx;
	Server *s = call->server;
	cJSON *batch = call->batch;

	while (call) {
		Call *later = call->later;
		do_call(call);
		call_free(call);
		call = later;
	}
	if (batch && cJSON_GetArraySize(batch) > 0) /* also if its other calls were cut off at the end of the input: these were done */
		write_line(s, batch);
	cJSON_Delete(batch);
	pthread_mutex_lock(&s->lock);
	s->n_threads--;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Is the request one that is at work? Server.lock is held. */
static Call *find_call_locked(const Server *s, const cJSON *id)
{
	Call *call = s->calls;

	while (call && !same_id(call->id, id))
		call = call->next;
	return call;
}

/* False: it may not be, which was answered. */
static bool link_call(Server *s, Call *call)
{
	const char *refused = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->n_calls >= CALLS_MAX)
		refused = "too many calls are at work";
	else if (find_call_locked(s, call->id))
		refused = "a request with this id is at work";
	if (!refused) {
		call->next = s->calls;
		s->calls = call;
		s->n_calls++;
	}
	pthread_mutex_unlock(&s->lock);
	if (refused) {
		send_error(s, call->batch, call->id, MCP_BUSY, "%s", refused);
		call_free(call);
	}
	return !refused;
}

/* The calls are linked; they, and the batch that they are of, are the thread's. */
static void start_calls(Server *s, Call *first)
{
	pthread_attr_t detached;
	pthread_t thread;

	pthread_mutex_lock(&s->lock);
	s->n_threads++;
	pthread_mutex_unlock(&s->lock);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	int r = pthread_create(&thread, &detached, call_thread, first);
	pthread_attr_destroy(&detached);
	if (r == 0)
		return;
	for (Call *call = first; call; call = call->later)
		call->cancelled = true;
	for (Call *call = first; call; call = call->later)
		send_error(s, call->batch, call->id, MCP_INTERNAL_ERROR, "cannot start a thread: %s", strerror(r));
	call_thread(first); /* which does nothing but put an end to them */
}

/* ---- requests ---- */

static bool is_id(const cJSON *id)
{
	return (cJSON_IsString(id) && strlen(id->valuestring) <= ID_MAX) || (cJSON_IsNumber(id) && fabs(id->valuedouble) <= NUMBER_MAX);
}

static void initialize(Server *s, cJSON *batch, const cJSON *id, const cJSON *params)
{
	const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(params, "protocolVersion");
	const char *version = versions[0];

	if (!cJSON_IsString(wanted)) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "initialize: 'protocolVersion' should be a string");
		return;
	}
	if (s->initialized) {
		send_error(s, batch, id, MCP_INVALID_REQUEST, "initialize was called before");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (strcmp(versions[i], wanted->valuestring) == 0)
			version = versions[i];
	s->initialized = true;
	cJSON *result = mcp_check(cJSON_CreateObject());
	mcp_check(cJSON_AddStringToObject(result, "protocolVersion", version));
	cJSON *capabilities = mcp_check(cJSON_AddObjectToObject(result, "capabilities"));
	mcp_check(cJSON_AddObjectToObject(capabilities, "tools"));
	cJSON *info = mcp_check(cJSON_AddObjectToObject(result, "serverInfo"));
	mcp_check(cJSON_AddStringToObject(info, "name", "bvisor"));
	mcp_check(cJSON_AddStringToObject(info, "title", "bvisor: a copy-on-write sandbox of this machine"));
	mcp_check(cJSON_AddStringToObject(info, "version", bv_version()));
	char *text = xasprintf("Commands and files are those of the sandbox '%s': a view of this machine in which everything may be changed, while nothing on the machine changes%s. Relative paths are relative to %s.", s->name,
			       s->options->allow_apply ? " until the tool apply takes the changes over" : "", s->cwd);
	char *clean = mcp_utf8(text, strlen(text));
	mcp_check(cJSON_AddStringToObject(result, "instructions", clean));
	free(clean);
	free(text);
	send_result(s, batch, id, result);
}

static void list_tools(Server *s, cJSON *batch, const cJSON *id, const cJSON *params)
{
	if (cJSON_GetObjectItemCaseSensitive(params, "cursor")) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "tools/list: there is no such cursor: all tools are on one page");
		return;
	}
	cJSON *result = mcp_check(cJSON_CreateObject()), *tools = mcp_check(cJSON_AddArrayToObject(result, "tools"));
	for (size_t i = 0; mcp_tool_at(i); i++)
		if (is_offered(s, mcp_tool_at(i)))
			cJSON_AddItemToArray(tools, describe_tool(mcp_tool_at(i)));
	send_result(s, batch, id, result);
}

/* What is in a batch is started when all of it was read. */
static void add_later(Server *s, Call *call)
{
	Call **at = &s->later;

	while (*at)
		at = &(*at)->later;
	*at = call;
}

static void call_tool(Server *s, cJSON *batch, const cJSON *id, const cJSON *params)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(params, "name"), *arguments = cJSON_GetObjectItemCaseSensitive(params, "arguments");
	const cJSON *token = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(params, "_meta"), "progressToken");

	if (!cJSON_IsString(name)) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "tools/call: 'name' should be a string");
		return;
	}
	const Tool *tool = find_tool(s, name->valuestring);
	if (!tool) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "Unknown tool: %s", name->valuestring);
		return;
	}
	if (arguments && !cJSON_IsObject(arguments)) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "tools/call: 'arguments' should be an object");
		return;
	}
	char *wrong = check_arguments(tool, arguments);
	if (wrong) {
		send_error(s, batch, id, MCP_INVALID_PARAMS, "%s", wrong);
		free(wrong);
		return;
	}
	Call *call = mcp_check(calloc(1, sizeof(*call)));
	call->server = s;
	call->tool = tool;
	call->batch = batch;
	call->id = mcp_check(cJSON_Duplicate(id, true));
	call->arguments = mcp_check(arguments ? cJSON_Duplicate(arguments, true) : cJSON_CreateObject());
	call->progress_token = is_id(token) ? mcp_check(cJSON_Duplicate(token, true)) : NULL;
	if (!link_call(s, call))
		return;
	if (!batch)
		start_calls(s, call);
	else
		add_later(s, call);
}

static void ping(Server *s, cJSON *batch, const cJSON *id, const cJSON *params)
{
	(void)params;
	send_result(s, batch, id, mcp_check(cJSON_CreateObject()));
}

static void on_request(Server *s, cJSON *batch, const char *method, const cJSON *id, const cJSON *params)
{
	static const struct {
		const char *name;
		void (*handle)(Server *s, cJSON *batch, const cJSON *id, const cJSON *params);
		bool any_time; /* also before initialize */
	} methods[] = {{"initialize", initialize, true}, {"ping", ping, true}, {"tools/list", list_tools, false}, {"tools/call", call_tool, false}};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(methods[i].name, method) != 0)
			continue;
		if (!methods[i].any_time && !s->initialized)
			send_error(s, batch, id, MCP_NOT_INITIALIZED, "%s: initialize comes first", method);
		else
			methods[i].handle(s, batch, id, params);
		return;
	}
	send_error(s, batch, id, MCP_NO_METHOD, "there is no method %s", method);
}

static void on_notification(Server *s, const char *method, const cJSON *params)
{
	if (strcmp(method, "notifications/cancelled") != 0)
		return;
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(params, "requestId");
	pthread_mutex_lock(&s->lock);
	Call *call = is_id(id) ? find_call_locked(s, id) : NULL;
	if (call)
		call->cancelled = true;
	pthread_mutex_unlock(&s->lock);
}

static void on_message(Server *s, cJSON *batch, const cJSON *message)
{
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(message, "jsonrpc"), *method = cJSON_GetObjectItemCaseSensitive(message, "method");
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(message, "id"), *params = cJSON_GetObjectItemCaseSensitive(message, "params");

	if (!cJSON_IsObject(message)) {
		send_error(s, batch, NULL, MCP_INVALID_REQUEST, "a message should be an object");
	} else if (!cJSON_IsString(version) || strcmp(version->valuestring, "2.0") != 0) {
		send_error(s, batch, is_id(id) ? id : NULL, MCP_INVALID_REQUEST, "'jsonrpc' should be \"2.0\"");
	} else if (id && !is_id(id)) {
		send_error(s, batch, NULL, MCP_INVALID_REQUEST, "'id' should be a string of at most %d bytes, or a number up to %.0f", ID_MAX, NUMBER_MAX);
	} else if (!method && id && (cJSON_GetObjectItemCaseSensitive(message, "result") || cJSON_GetObjectItemCaseSensitive(message, "error"))) {
		return; /* an answer, although nothing was asked */
	} else if (!cJSON_IsString(method)) {
		send_error(s, batch, id, MCP_INVALID_REQUEST, "'method' should be a string");
	} else if (params && !cJSON_IsObject(params)) {
		if (id)
			send_error(s, batch, id, MCP_INVALID_PARAMS, "'params' should be an object");
	} else if (id) {
		on_request(s, batch, method->valuestring, id, params);
	} else {
		on_notification(s, method->valuestring, params);
	}
}

/* ---- lines ---- */

/* cJSON takes the bytes of strings as they are, and ends them at a NUL: neither may be in a line. NULL, or what is wrong. */
static const char *find_wrong(const char *line, size_t len)
{
	for (size_t at = 0, backslashes = 0; at < len;) {
		size_t n = utf8_length((const unsigned char *)line + at); /* a NUL stands behind the line */
		if (n == 0)
			return line[at] ? "it is no UTF-8" : "there is a NUL in it";
		if (line[at] == 'u' && backslashes % 2 && strncmp(line + at, "u0000", 5) == 0)
			return "\\u0000 in a string has no use here (contents with it: as base64)";
		backslashes = line[at] == '\\' ? backslashes + 1 : 0;
		at += n;
	}
	return NULL;
}

static void on_batch(Server *s, const cJSON *messages)
{
	const int count = cJSON_GetArraySize(messages);
	const cJSON *message;

	if (count == 0 || count > BATCH_MAX) {
		send_error(s, NULL, NULL, MCP_INVALID_REQUEST, count ? "a batch of more than %d messages" : "an empty batch", BATCH_MAX);
		return;
	}
	cJSON *answers = mcp_check(cJSON_CreateArray());
	cJSON_ArrayForEach(message, messages)
		on_message(s, answers, message);
	Call *calls = s->later;
	s->later = NULL;
	if (calls) {
		start_calls(s, calls);
		return;
	}
	if (cJSON_GetArraySize(answers) > 0)
		write_line(s, answers);
	cJSON_Delete(answers);
}

static void on_line(Server *s, const char *line, size_t len)
{
	const char *end = NULL, *wrong = find_wrong(line, len);

	if (line[strspn(line, " \t\r")] == '\0' && !wrong)
		return;
	cJSON *message = wrong ? NULL : cJSON_ParseWithLengthOpts(line, len + 1, &end, false);
	if (message && line + len != end + strspn(end, " \t\r"))
		wrong = "something stands behind the message";
	if (!message || wrong)
		send_error(s, NULL, NULL, MCP_PARSE_ERROR, "a line should be one JSON message: %s", wrong ? wrong : "it is no JSON, or too deep");
	else if (cJSON_IsArray(message))
		on_batch(s, message);
	else
		on_message(s, NULL, message);
	cJSON_Delete(message);
}

typedef struct Input {
	char *bytes; /* what is there of a line */
	size_t len, room;
	bool too_long; /* the rest of this line is passed over */
} Input;

static void take_bytes(Server *s, Input *in, const char *bytes, size_t n)
{
	while (n > 0) {
		const char *newline = memchr(bytes, '\n', n);
		size_t part = newline ? (size_t)(newline - bytes) : n;
		if (in->len + part > LINE_MAX_BYTES && !in->too_long) {
			send_error(s, NULL, NULL, MCP_INVALID_REQUEST, "a line has more than %d MiB", LINE_MAX_BYTES >> 20);
			in->too_long = true;
		}
		if (!in->too_long && in->len + part + 1 > in->room)
			in->bytes = xrealloc(in->bytes, in->room = 2 * (in->len + part) + 4096);
		if (!in->too_long) {
			memcpy(in->bytes + in->len, bytes, part);
			in->len += part;
			in->bytes[in->len] = '\0';
		}
		if (newline && !in->too_long)
			on_line(s, in->bytes, in->len);
		if (newline) {
			in->len = 0;
			in->too_long = false;
		}
		bytes += part + (newline != NULL);
		n -= part + (newline != NULL);
	}
}

/* Until the input ends, or a signal comes; its number. */
static int serve(Server *s)
{
	static char piece[1 << 16];
	struct signalfd_siginfo info;
	Input in = {0};

	for (;;) {
		struct pollfd polls[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = s->signals, .events = POLLIN}};
		if (poll(polls, 2, -1) < 0)
			continue;
		if (polls[1].revents && read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			free(in.bytes);
			return (int)info.ssi_signo;
		}
		if (!polls[0].revents)
			continue;
		ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n == 0)
			take_bytes(s, &in, "\n", 1); /* who writes one message and closes may leave its newline out */
		if (n <= 0)
			break;
		take_bytes(s, &in, piece, (size_t)n);
	}
	free(in.bytes);
	return 0;
}

static bool is_idle(Server *s)
{
	pthread_mutex_lock(&s->lock);
	bool idle = s->n_threads == 0;
	pthread_mutex_unlock(&s->lock);
	return idle;
}

/* After the end of the input: what was asked for just before it is answered if that takes no longer than END_MS. A signal that came meanwhile, or 0. */
static int finish_calls(Server *s)
{
	struct signalfd_siginfo info;
	struct pollfd p = {.fd = s->signals, .events = POLLIN};

	for (int ms = 0; ms < END_MS && !is_idle(s); ms += END_STEP_MS)
		if (poll(&p, 1, END_STEP_MS) > 0 && read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			return (int)info.ssi_signo;
	return 0;
}

/* All calls end, and are not answered, but for those of a batch that were done before. */
static void end_calls(Server *s)
{
	s->ending = true;
	pthread_mutex_lock(&s->lock);
	while (s->n_threads > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static int end_sandbox(Server *s)
{
	BvError *err = NULL;
	int code = 0;

	if (!s->sb)
		return 0;
	(void)bv_sandbox_kill(s->sb, SIGKILL, NULL);
	if (!s->options->create.name && bv_sandbox_remove(s->sb, 1, &err) < 0)
		code = cli_fail_error(err);
	bv_sandbox_close(s->sb);
	return code;
}

int cmd_mcp(const Command *cmd, int argc, char **argv)
{
	static CreateOptions p; /* what options point to lives until exit */
	static Server s = {.sandbox_lock = PTHREAD_RWLOCK_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .out_lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
	sigset_t set;

	p = create_parse(cmd, argc, argv, mcp_options, true);
	if (optind < argc)
		usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE); /* a client that has gone is seen by its input */
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGPIPE);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (s.signals < 0)
		return cli_fail("cannot wait for signals: %s", strerror(errno));
	int code = create_sandbox(cmd, &p, &s.sb);
	if (code != 0)
		return code;
	s.options = &p;
	s.cwd = p.create.cwd && p.session.cwd ? p.session.cwd : mcp_check(getcwd(NULL, 0));
	s.name = xasprintf("%s", bv_sandbox_name(s.sb));
	int signal = serve(&s);
	if (!signal)
		signal = finish_calls(&s);
	s.mute = signal != 0;
	end_calls(&s);
	code = end_sandbox(&s);
	return signal ? EXIT_SIGNAL + signal : code;
}
