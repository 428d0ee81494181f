/* cli/cmd_look.c - looking into sandboxes and snapshots: cat, and ls of a directory. */
#include "cli/cli.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OPT_FROM = OPT_FIRST };

static BvSnapshot *open_snapshot(const char *name, const char *from, BvError **err)
{
	BvSnapshotOpenOptions options = BV_SNAPSHOT_OPEN_OPTIONS_INIT;
	BvSnapshot *s = NULL;

	options.from = from;
	options.key = key_of_command();
	return bv_snapshot_open(name, &options, &s, err) < 0 ? NULL : s;
}

/* ---- cat ---- */

static int put(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	return fwrite(data, 1, len, stdout) == len ? 0 : 1;
}

static int copy_to_stdout(int fd, const char *path)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cli_fail("%s: %s", path, strerror(errno));
		if (put(NULL, buf, (size_t)n))
			return cli_fail("cannot write the output: %s", strerror(errno));
	}
	return 0;
}

static int cat_sandbox(BvSandbox *sb, const char *path)
{
	BvError *err = NULL;
	int fd, r;

	if (bv_sandbox_open_file(sb, path, &fd, &err) < 0)
		return cli_fail_error(err);
	r = copy_to_stdout(fd, path);
	close(fd);
	return r;
}

static int cat_snapshot(BvSnapshot *s, const char *path)
{
	BvError *err = NULL;
	int r = bv_snapshot_read(s, path, put, NULL, &err);

	if (r > 0)
		return cli_fail("cannot write the output: %s", strerror(errno));
	return r < 0 ? cli_fail_error(err) : 0;
}

int cmd_cat(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, LONG_KEY, LONG_COMMON, {0}};
	static List paths; /* lives until exit */
	BvSandbox *sb = NULL;
	BvSnapshot *s = NULL;
	BvError *err = NULL;
	const char *from = NULL;
	int c, code = 0;

	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1)
		if (!key_option(key_of_command(), c))
			from = optarg;
	const char *name = name_and_paths(argc, argv, absolute_path, &paths);
	if (paths.count == 0)
		usage_error(cmd, "no path given (a path holds a slash, such as ./file)");
	if (names_snapshot(name) ? !(s = open_snapshot(name, from, &err)) : open_sandbox(name, &sb, &err) < 0)
		return cli_fail_error(err);
	for (size_t i = 0; i < paths.count; i++) {
		int r = s ? cat_snapshot(s, paths.items[i]) : cat_sandbox(sb, paths.items[i]);
		code = r ? r : code;
	}
	bv_snapshot_close(s);
	bv_sandbox_close(sb);
	return code;
}

/* ---- ls ---- */

typedef struct Shown {
	Json j;
	bool json, json_begun, details, deep;
	size_t root; /* length of the listed directory's path with its slash: what -R leaves out */
} Shown;

static void mode_text(uint32_t mode, char out[11])
{
	static const char letters[] = "rwxrwxrwx";
	static const struct {
		uint32_t type;
		char letter;
	} types[] = {{S_IFREG, '-'}, {S_IFDIR, 'd'}, {S_IFLNK, 'l'}, {S_IFIFO, 'p'}, {S_IFSOCK, 's'}, {S_IFCHR, 'c'}, {S_IFBLK, 'b'}};

	out[0] = '?';
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if ((mode & S_IFMT) == types[i].type)
			out[0] = types[i].letter;
	for (int i = 0; i < 9; i++)
		out[1 + i] = '-';
	for (int i = 0; i < 9; i++)
		if (mode & (0400U >> i))
			out[1 + i] = letters[i];
	if (mode & S_ISUID)
		out[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & S_IXOTH ? 't' : 'T';
	out[10] = '\0';
}

static void entry_json(Json *j, const BvEntry *e)
{
	json_open(j, NULL, '{');
	json_path(j, "path", e->path);
	json_put_string(j, "type", e->mode ? type_name(e->mode) : "deleted");
	if (e->mode) {
		json_int(j, "mode", e->mode & 07777);
		json_int(j, "uid", e->uid);
		json_int(j, "gid", e->gid);
		json_int(j, "size", (int64_t)e->bytes);
		json_int(j, "links", e->links);
		json_int(j, "mtime", e->mtime_sec);
		json_int(j, "mtime_nsec", e->mtime_nsec);
		if (e->target)
			json_path(j, "target", e->target);
		if (e->origin)
			json_path(j, "origin", e->origin);
		json_put_bool(j, "host", e->flags & BV_ENTRY_HOST);
		json_put_bool(j, "missing", e->flags & BV_ENTRY_MISSING);
	}
	json_close(j, '}');
}

static void print_details(const BvEntry *e)
{
	char mode[11] = "deleted", when[32];

	if (!e->mode) {
		printf("%-10s %5s %5s %12s %-19s ", mode, "", "", "", "");
		return;
	}
	mode_text(e->mode, mode);
	printf("%s %5u %5u %12llu %s ", mode, e->uid, e->gid, (unsigned long long)e->bytes, local_time(e->mtime_sec, when));
}

/* Not before there is something to say: an error must not leave half a list. */
static void begin_json(Shown *s)
{
	if (!s->json_begun)
		json_open(&s->j, NULL, '[');
	s->json_begun = true;
}

static int on_entry(void *ctx, const BvEntry *e)
{
	Shown *s = ctx;

	if (s->json) {
		begin_json(s);
		entry_json(&s->j, e);
		return ferror(stdout) ? 1 : 0;
	}
	if (!e->mode && !s->details)
		return 0;
	if (s->details)
		print_details(e);
	print_quoted(stdout, s->deep && strlen(e->path) > s->root ? e->path + s->root : e->name);
	if (s->details && e->target) {
		fputs(" -> ", stdout);
		print_quoted(stdout, e->target);
	}
	if (s->details && e->origin) {
		fputs(" (", stdout);
		print_quoted(stdout, e->origin);
		fputs(" of the host)", stdout);
	}
	if (s->details && (e->flags & BV_ENTRY_MISSING))
		fputs(" (missing on the host)", stdout);
	putchar('\n');
	return ferror(stdout) ? 1 : 0;
}

static int list_dir(const char *name, const char *from, const char *path, Shown *shown)
{
	BvListOptions options = BV_LIST_OPTIONS_INIT;
	BvSandbox *sb = NULL;
	BvSnapshot *s = NULL;
	BvError *err = NULL;
	int r;

	options.flags = shown->deep ? BV_LIST_RECURSIVE : 0;
	shown->root = strlen(path) + (strcmp(path, "/") != 0);
	if (names_snapshot(name) ? !(s = open_snapshot(name, from, &err)) : open_sandbox(name, &sb, &err) < 0)
		return cli_fail_error(err);
	r = s ? bv_snapshot_list_dir(s, path, &options, on_entry, shown, &err) : bv_sandbox_list_dir(sb, path, &options, on_entry, shown, &err);
	if (shown->json && r >= 0) {
		begin_json(shown);
		fputs("]\n", stdout);
	}
	bv_snapshot_close(s);
	bv_sandbox_close(sb);
	return r < 0 ? cli_fail_error(err) : 0;
}

int cmd_ls(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"recursive", no_argument, NULL, 'R'}, {"from", required_argument, NULL, OPT_FROM}, {"json", no_argument, NULL, OPT_JSON},
					      LONG_KEY, LONG_COMMON, {0}};
	static List paths; /* lives until exit */
	Shown shown = {.j = {.out = stdout}};
	const char *from = NULL;
	int c;

	while ((c = opts_next(cmd, argc, argv, ":lR", longs)) != -1) {
		switch (c) {
		case 'l': shown.details = true; break;
		case 'R': shown.deep = true; break;
		case OPT_FROM: from = optarg; break;
		case OPT_JSON: shown.json = true; break;
		default: key_option(key_of_command(), c);
		}
	}
	if (optind == argc && (shown.details || shown.deep || from))
		usage_error(cmd, "which sandbox, or which snapshot?");
	if (optind == argc)
		return list_sandboxes(shown.json);
	const char *name = name_and_paths(argc, argv, absolute_path, &paths);
	if (paths.count > 1)
		usage_error(cmd, "one directory at a time");
	return list_dir(name, from, paths.count ? paths.items[0] : "/", &shown);
}
