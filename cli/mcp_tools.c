/* cli/mcp_tools.c - the tools of `bvisor mcp` for files, differences and snapshots, and the table of all. What they answer is bounded. */
#include "cli/base64.h"
#include "cli/mcp.h"
#include "cli/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 4 << 20, READ_USUAL = 256 << 10, ENTRIES_MAX = 10000, ENTRIES_USUAL = 1000, DIFF_MAX = 512 << 10 };

static char *close_text(FILE *out, char **text)
{
	if (fclose(out) != 0)
		mcp_check(NULL);
	return *text;
}

/* ---- read_file ---- */

/* From offset on, at most `max` bytes; malloc'ed. -1 with errno. */
static ssize_t read_part(int fd, off_t offset, size_t max, char **out)
{
	char *bytes = xrealloc(NULL, max + 1);
	size_t len = 0;

	while (len < max) {
		ssize_t n = pread(fd, bytes + len, max - len, offset + (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(bytes);
			return -1;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*out = bytes;
	return (ssize_t)len;
}

/* Whether what is there of a character may be the beginning of one. */
static bool begins_character(const char *bytes, size_t len)
{
	for (int fill = 0x80; fill <= 0xbf; fill += 0x3f) {
		unsigned char p[5] = {0};
		memset(p, fill, 4);
		memcpy(p, bytes, len < 4 ? len : 4);
		if (utf8_length(p) > len)
			return true;
	}
	return false;
}

/* How much of it is text; 0: it is none. If there is more of the file, a part may end within a character, which is left to the next part. */
static size_t text_length(const char *bytes, size_t len, bool more)
{
	size_t at = 0;

	while (at < len) {
		unsigned char p[5] = {0};
		memcpy(p, bytes + at, len - at < 4 ? len - at : 4);
		size_t n = utf8_length(p);
		if (n == 0)
			return more && begins_character(bytes + at, len - at) ? at : 0;
		at += n;
	}
	return at;
}

static char *to_base64(const char *bytes, size_t len)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = mcp_check(open_memstream(&text, &size));

	base64_put(out, bytes, len);
	return close_text(out, &text);
}

static void fill_file(Result *result, const char *bytes, size_t len, uint64_t size, bool more)
{
	const size_t chars = text_length(bytes, len, more);
	const bool text = chars > 0 || len == 0;
	cJSON *s = result->structured = mcp_check(cJSON_CreateObject());

	len = text ? chars : len;
	result->text = text ? mcp_utf8(bytes, len) : to_base64(bytes, len);
	mcp_check(cJSON_AddStringToObject(s, "encoding", text ? "utf-8" : "base64"));
	mcp_check(cJSON_AddStringToObject(s, "content", result->text));
	mcp_check(cJSON_AddNumberToObject(s, "bytes", (double)len));
	mcp_check(cJSON_AddNumberToObject(s, "size", (double)size));
	mcp_check(cJSON_AddBoolToObject(s, "truncated", more));
}

static void read_file(Call *call, Result *result)
{
	const int64_t offset = mcp_integer(call, "offset", 0), wanted = mcp_integer(call, "limit", READ_USUAL);
	char *path = mcp_path(call, "path", NULL), *bytes = NULL;
	BvError *err = NULL;
	struct stat st;
	int fd = -1, r = 0;

	if (wanted == 0 || wanted > READ_MAX)
		mcp_fail(result, "read_file: 'limit' is from 1 to %d", READ_MAX);
	else if ((r = bv_sandbox_open_file(call->server->sb, path, &fd, &err)) < 0)
		mcp_fail_error(result, err);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		mcp_fail(result, "%s is no file", path);
	else {
		ssize_t n = read_part(fd, (off_t)offset, (size_t)wanted, &bytes);
		if (n < 0)
			mcp_fail(result, "%s: %s", path, strerror(errno));
		else
			fill_file(result, bytes, (size_t)n, (uint64_t)st.st_size, offset + n < st.st_size);
	}
	if (fd >= 0)
		close(fd);
	free(bytes);
	free(path);
}

/* ---- write_file ---- */

static void write_bytes(Call *call, Result *result, const void *bytes, size_t len)
{
	const unsigned flags = (mcp_flag(call, "append", false) ? BV_FILE_APPEND : 0) | (mcp_flag(call, "exclusive", false) ? BV_FILE_EXCLUSIVE : 0) | (mcp_flag(call, "parents", true) ? BV_FILE_PARENTS : 0);
	const mode_t mode = mcp_flag(call, "executable", false) ? 0777 : 0666;
	char *path = mcp_path(call, "path", NULL);
	BvError *err = NULL;

	if (bv_sandbox_write_file(call->server->sb, path, bytes, len, flags, mode, &err) < 0) {
		mcp_fail_error(result, err);
	} else {
		result->text = xasprintf("wrote %zu bytes to %s", len, path);
		result->structured = mcp_check(cJSON_CreateObject());
		mcp_check(cJSON_AddNumberToObject(result->structured, "bytes", (double)len));
	}
	free(path);
}

static void write_file(Call *call, Result *result)
{
	const char *content = mcp_string(call, "content", NULL);
	size_t len = strlen(content);
	unsigned char *decoded = NULL;

	if (strcmp(mcp_string(call, "encoding", "utf-8"), "base64") != 0) {
		write_bytes(call, result, content, len);
		return;
	}
	decoded = base64_parse(content, &len);
	if (decoded)
		write_bytes(call, result, decoded, len);
	else
		mcp_fail(result, "write_file: 'content' is no base64");
	free(decoded);
}

/* ---- list_files ---- */

typedef struct Listing {
	FILE *text;
	cJSON *entries;
	size_t count, max;
	bool more;
} Listing;

static void add_path(cJSON *to, const char *key, const char *path)
{
	char *clean = mcp_utf8(path, strlen(path));

	mcp_check(cJSON_AddStringToObject(to, key, clean));
	free(clean);
}

static int add_entry(void *ctx, const BvEntry *e)
{
	Listing *l = ctx;

	l->more = l->count == l->max;
	if (l->more)
		return 1;
	l->count++;
	cJSON *entry = mcp_check(cJSON_CreateObject());
	add_path(entry, "path", e->path);
	mcp_check(cJSON_AddStringToObject(entry, "type", type_name(e->mode) ? type_name(e->mode) : "other"));
	mcp_check(cJSON_AddNumberToObject(entry, "size", (double)e->bytes));
	mcp_check(cJSON_AddNumberToObject(entry, "mode", e->mode & 07777));
	mcp_check(cJSON_AddNumberToObject(entry, "mtime", (double)e->mtime_sec));
	if (e->target)
		add_path(entry, "target", e->target);
	cJSON_AddItemToArray(l->entries, entry);
	print_quoted(l->text, e->path);
	if (S_ISDIR(e->mode))
		fputc('/', l->text);
	if (e->target) {
		fputs(" -> ", l->text);
		print_quoted(l->text, e->target);
	}
	fputc('\n', l->text);
	return 0;
}

static void list_files(Call *call, Result *result)
{
	BvListOptions options = BV_LIST_OPTIONS_INIT;
	char *path = mcp_path(call, "path", "."), *plain = absolute_path(path), *text = NULL;
	size_t size = 0;
	BvError *err = NULL;
	const int64_t max = mcp_integer(call, "limit", ENTRIES_USUAL);
	Listing l = {.text = mcp_check(open_memstream(&text, &size)), .entries = mcp_check(cJSON_CreateArray()), .max = max > ENTRIES_MAX ? ENTRIES_MAX : (size_t)max};

	options.flags = mcp_flag(call, "recursive", false) ? BV_LIST_RECURSIVE : 0;
	int r = bv_sandbox_list_dir(call->server->sb, plain, &options, add_entry, &l, &err);
	if (l.more)
		fprintf(l.text, "[... more are left out: the limit is %zu]\n", l.max);
	close_text(l.text, &text);
	if (r < 0) {
		mcp_fail_error(result, err);
		cJSON_Delete(l.entries);
		free(text);
	} else {
		result->text = text;
		result->structured = mcp_check(cJSON_CreateObject());
		cJSON_AddItemToObject(result->structured, "entries", l.entries);
		mcp_check(cJSON_AddBoolToObject(result->structured, "truncated", l.more));
	}
	free(plain);
	free(path);
}

/* ---- diff, apply ---- */

typedef struct Changes {
	Call *call;
	FILE *text;
	cJSON *list;
	size_t count, left_out;
	bool patch;
	BvSide before, after;
} Changes;

static int add_change(void *ctx, const BvChange *c)
{
	Changes *d = ctx;
	const char kind[2] = {(char)c->kind, 0};

	d->count++;
	if (ftell(d->text) > DIFF_MAX || d->count > ENTRIES_MAX) {
		d->left_out++;
		return 0;
	}
	cJSON *change = mcp_check(cJSON_CreateObject());
	mcp_check(cJSON_AddStringToObject(change, "kind", kind));
	add_path(change, "path", c->path);
	if (c->old_path)
		add_path(change, "old_path", c->old_path);
	if (c->link_to)
		add_path(change, "link_to", c->link_to);
	cJSON_AddItemToArray(d->list, change);
	if (d->patch) {
		patch_print(d->text, &d->before, &d->after, c, false);
	} else {
		fprintf(d->text, "%c\t", c->kind);
		print_quoted(d->text, c->path);
		print_link(d->text, c->link_to);
		fputc('\n', d->text);
	}
	return mcp_cancelled(d->call) ? 1 : 0;
}

/* Absolute, and NULL-terminated; all the caller's to free. */
static char **absolute_paths(const Call *call)
{
	const char **given = mcp_strings(call, "paths");
	size_t n = 0;

	while (given && given[n])
		n++;
	char **paths = n ? xrealloc(NULL, (n + 1) * sizeof(*paths)) : NULL;
	for (size_t i = 0; i < n; i++) {
		char *joined = mcp_join(call, given[i]);
		paths[i] = absolute_path_with_links(joined);
		free(joined);
	}
	if (paths)
		paths[n] = NULL;
	free(given);
	return paths;
}

static void free_paths(char **paths)
{
	for (size_t i = 0; paths && paths[i]; i++)
		free(paths[i]);
	free(paths);
}

static void diff(Call *call, Result *result)
{
	BvDiffOptions options = BV_DIFF_OPTIONS_INIT;
	char **paths = absolute_paths(call), *text = NULL;
	size_t size = 0;
	BvError *err = NULL;
	Changes d = {.call = call, .text = mcp_check(open_memstream(&text, &size)), .list = mcp_check(cJSON_CreateArray()), .after = {.sandbox = call->server->sb},
		     .patch = strcmp(mcp_string(call, "format", "status"), "patch") == 0};

	options.paths = (const char *const *)paths;
	int r = bv_sandbox_diff(call->server->sb, &options, add_change, &d, &err);
	if (d.left_out)
		fprintf(d.text, "[... %zu more changes are left out: name paths to see them]\n", d.left_out);
	if (d.count == 0)
		fputs("Nothing was changed.\n", d.text);
	close_text(d.text, &text);
	if (r < 0) {
		mcp_fail_error(result, err);
		cJSON_Delete(d.list);
		free(text);
	} else {
		result->text = text;
		result->structured = mcp_check(cJSON_CreateObject());
		cJSON_AddItemToObject(result->structured, "changes", d.list);
		mcp_check(cJSON_AddNumberToObject(result->structured, "left_out", (double)d.left_out));
	}
	free_paths(paths);
}

typedef struct Applied {
	FILE *text;
	size_t counts[4]; /* by BvApplyResult */
} Applied;

static int add_item(void *ctx, const BvApplyItem *item)
{
	static const char *const words[] = {"applied", "would apply", "conflict", "failed"};
	Applied *a = ctx;

	a->counts[item->result]++;
	if (ftell(a->text) > DIFF_MAX)
		return 0;
	fprintf(a->text, "%s %c ", words[item->result], item->kind);
	print_quoted(a->text, item->path);
	print_link(a->text, item->link_to);
	if (item->reason)
		fprintf(a->text, " (%s)", item->reason);
	fputc('\n', a->text);
	return 0;
}

static void apply(Call *call, Result *result)
{
	BvApplyOptions options = BV_APPLY_OPTIONS_INIT;
	char **paths = absolute_paths(call), *text = NULL;
	size_t size = 0;
	BvError *err = NULL;
	Applied a = {.text = mcp_check(open_memstream(&text, &size))};

	options.paths = (const char *const *)paths;
	options.flags = mcp_flag(call, "dry_run", false) ? BV_APPLY_DRY_RUN : 0;
	int r = bv_sandbox_apply(call->server->sb, &options, add_item, &a, &err);
	fprintf(a.text, "%zu applied, %zu to apply, %zu conflicts, %zu failed\n", a.counts[BV_APPLIED], a.counts[BV_WOULD_APPLY], a.counts[BV_CONFLICT], a.counts[BV_APPLY_FAILED]);
	close_text(a.text, &text);
	if (r < 0) {
		mcp_fail_error(result, err);
		free(text);
	} else {
		result->text = text;
		result->structured = mcp_check(cJSON_CreateObject());
		mcp_check(cJSON_AddNumberToObject(result->structured, "applied", (double)a.counts[BV_APPLIED]));
		mcp_check(cJSON_AddNumberToObject(result->structured, "conflicts", (double)a.counts[BV_CONFLICT]));
		mcp_check(cJSON_AddNumberToObject(result->structured, "failed", (double)a.counts[BV_APPLY_FAILED]));
		result->failed = r > 0;
	}
	free_paths(paths);
}

/* ---- snapshot, restore ---- */

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	mcp_progress(ctx, (double)done, (double)total, what);
}

static void fill_state(Result *result, const char *said, const BvSnapshotReceipt *receipt)
{
	char *state = xasprintf("%s@%llu", receipt->name, (unsigned long long)receipt->number);

	result->text = xasprintf("%s %s: %llu files", said, state, (unsigned long long)receipt->files);
	result->structured = mcp_check(cJSON_CreateObject());
	mcp_check(cJSON_AddStringToObject(result->structured, "snapshot", state));
	mcp_check(cJSON_AddNumberToObject(result->structured, "files", (double)receipt->files));
	mcp_check(cJSON_AddNumberToObject(result->structured, "bytes", (double)receipt->bytes));
	free(state);
}

static bool has_name(const List *list, const char *name, size_t len)
{
	for (size_t i = 0; i < list->count; i++)
		if (strlen(list->items[i]) == len && memcmp(list->items[i], name, len) == 0)
			return true;
	return false;
}

/* Whether the states of that name are this sandbox's, or the user has allowed them. Those of others show what the client was not given, and a state of its own among them would be taken for theirs. */
static bool may_use(Server *s, const char *name, size_t len)
{
	pthread_mutex_lock(&s->lock);
	bool own = has_name(&s->snapshots, name, len);
	pthread_mutex_unlock(&s->lock);
	return own || (strlen(s->name) == len && memcmp(s->name, name, len) == 0) || has_name(&s->options->snapshots, name, len);
}

static int is_there(void *ctx, const BvSnapshotInfo *info)
{
	(void)ctx;
	(void)info;
	return 1;
}

/* 0, or it was said why not. */
static int check_new_name(Server *s, const char *name, Result *result)
{
	BvSnapshotListOptions options = BV_SNAPSHOT_LIST_OPTIONS_INIT;
	BvError *err = NULL;

	if (may_use(s, name, strlen(name)))
		return 0;
	options.from = bv_sandbox_place(s->sb);
	options.name = name;
	options.key = key_of_command();
	int r = bv_snapshot_list_with(&options, is_there, NULL, &err);
	if (r == 1)
		mcp_fail(result, "snapshot: there are states of '%s' that are not this sandbox's: take another name (--allow-snapshot %s, an option of the server, allows it)", name, name);
	else if (r < 0 && r != -ENOENT && r != -ENODEV) /* -ENODEV: there is no place yet, or it cannot be had, which taking one tells */
		mcp_fail_error(result, err);
	else
		r = 0;
	if (r == 0)
		bv_error_free(err);
	return r;
}

static void remember_name(Server *s, const char *name)
{
	pthread_mutex_lock(&s->lock);
	if (!has_name(&s->snapshots, name, strlen(name)))
		list_add(&s->snapshots, xasprintf("%s", name));
	pthread_mutex_unlock(&s->lock);
}

static void snapshot(Call *call, Result *result)
{
	BvSnapshotOptions options = BV_SNAPSHOT_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvError *err = NULL;

	options.name = mcp_string(call, "name", NULL);
	options.message = mcp_string(call, "message", NULL);
	options.key = key_of_command();
	options.progress = on_progress;
	options.progress_ctx = call;
	if (options.name && check_new_name(call->server, options.name, result) != 0)
		return;
	if (bv_sandbox_snapshot(call->server->sb, &options, &receipt, &err) < 0) {
		mcp_fail_error(result, err);
		return;
	}
	remember_name(call->server, receipt.name);
	fill_state(result, "took", &receipt);
}

/* The sandbox is closed meanwhile: whoever puts it back has it alone. */
static void restore(Call *call, Result *result)
{
	Server *s = call->server;
	BvRestoreOptions options = BV_RESTORE_OPTIONS_INIT;
	BvSnapshotReceipt receipt = BV_SNAPSHOT_RECEIPT_INIT;
	BvError *err = NULL;

	const char *state = mcp_string(call, "snapshot", NULL);

	if (!may_use(s, state, strcspn(state, "@"))) {
		mcp_fail(result, "restore: '%s' is no state of this sandbox, which snapshot takes (--allow-snapshot NAME, an option of the server, allows those of another)", state);
		return;
	}
	options.name = s->name;
	options.flags = BV_RESTORE_IN_PLACE;
	options.key = key_of_command();
	options.progress = on_progress;
	options.progress_ctx = call;
	if (bv_sandbox_stop(s->sb, &err) < 0) {
		mcp_fail_error(result, err);
		return;
	}
	bv_sandbox_close(s->sb);
	s->sb = NULL;
	if (bv_snapshot_restore(state, &options, &s->sb, &receipt, &err) < 0) {
		mcp_fail_error(result, err);
		(void)open_sandbox(s->name, &s->sb, NULL);
		return;
	}
	(void)bv_sandbox_set_key(s->sb, key_of_command(), NULL);
	fill_state(result, "put the sandbox back to", &receipt);
}

/* ---- the table ---- */

#define PATHS_ARGUMENT {"paths", ARG_STRINGS, false, "only these paths and what is below them", {NULL}}

static const Argument run_arguments[] = {
	{"command", ARG_STRING, false, "a command line for /bin/sh (or give argv)", {NULL}},
	{"argv", ARG_STRINGS, false, "the words of a command that is started without a shell", {NULL}},
	{"cwd", ARG_STRING, false, "the directory to start in", {NULL}},
	{"env", ARG_STRING_MAP, false, "further environment variables", {NULL}},
	{"stdin", ARG_STRING, false, "what it reads from standard input (default: nothing)", {NULL}},
	{"timeout_ms", ARG_INTEGER, false, "milliseconds after which it is killed (0: never)", {NULL}},
	{0},
};
static const Argument read_arguments[] = {
	{"path", ARG_STRING, true, "the file", {NULL}},
	{"offset", ARG_INTEGER, false, "bytes to pass over (default: 0)", {NULL}},
	{"limit", ARG_INTEGER, false, "bytes to read (default: 262144, at most 4194304)", {NULL}},
	{0},
};
static const Argument write_arguments[] = {
	{"path", ARG_STRING, true, "the file", {NULL}},
	{"content", ARG_STRING, true, "what is in it from now on", {NULL}},
	{"encoding", ARG_STRING, false, "how content is to be taken (default: utf-8)", {"utf-8", "base64", NULL}},
	{"append", ARG_BOOLEAN, false, "add it at the end", {NULL}},
	{"exclusive", ARG_BOOLEAN, false, "fail if the file is there", {NULL}},
	{"parents", ARG_BOOLEAN, false, "make missing directories (default: true)", {NULL}},
	{"executable", ARG_BOOLEAN, false, "a new file may be executed", {NULL}},
	{0},
};
static const Argument list_arguments[] = {
	{"path", ARG_STRING, false, "the directory (default: the one that relative paths are relative to)", {NULL}},
	{"recursive", ARG_BOOLEAN, false, "what is below, too", {NULL}},
	{"limit", ARG_INTEGER, false, "how many entries at most (default: 1000, at most 10000)", {NULL}},
	{0},
};
static const Argument diff_arguments[] = {
	PATHS_ARGUMENT,
	{"format", ARG_STRING, false, "status: a line for each change (default); patch: the changed lines as a unified diff", {"status", "patch", NULL}},
	{0},
};
static const Argument apply_arguments[] = {PATHS_ARGUMENT, {"dry_run", ARG_BOOLEAN, false, "say what would be done, change nothing", {NULL}}, {0}};
static const Argument snapshot_arguments[] = {
	{"name", ARG_STRING, false, "the snapshot's name (default: the sandbox's)", {NULL}},
	{"message", ARG_STRING, false, "for listings", {NULL}},
	{0},
};
static const Argument restore_arguments[] = {{"snapshot", ARG_STRING, true, "NAME@NUMBER, or NAME for its newest state", {NULL}}, {0}};

static const Tool tools[] = {
	{"run", "Run a command", "Run a command in the sandbox and wait for its end. Answers its output and exit code.", run_arguments, false, true, false, false, mcp_run},
	{"read_file", "Read a file", "Read a file as the sandbox has it. What is no UTF-8 text is answered as base64.", read_arguments, true, false, false, false, read_file},
	{"write_file", "Write a file", "Write a file of the sandbox, with missing directories above it.", write_arguments, false, true, false, false, write_file},
	{"list_files", "List files", "List a directory as the sandbox has it.", list_arguments, true, false, false, false, list_files},
	{"diff", "Show changes", "Show what the sandbox changed: A added, M modified, D deleted, T other type, R renamed.", diff_arguments, true, false, false, false, diff},
	{"snapshot", "Take a snapshot", "Keep the present state of the sandbox under a name, to restore it later.", snapshot_arguments, false, false, false, false, snapshot},
	{"restore", "Restore a snapshot", "Put the sandbox back to a snapshot. Commands that run are killed; the state before is kept as a snapshot of the sandbox's name.", restore_arguments, false, true, false, true, restore},
	{"apply", "Apply changes", "Make the sandbox's changes on the machine itself, where that has not changed meanwhile.", apply_arguments, false, true, true, false, apply},
};

const Tool *mcp_tool_at(size_t i)
{
	return i < ARRAY_LEN(tools) ? &tools[i] : NULL;
}
