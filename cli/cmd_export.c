/* cli/cmd_export.c - sandboxes and snapshots to archives and back: export, import. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_FROM = OPT_FIRST, OPT_FORMAT, OPT_NAME, OPT_BACKEND, OPT_FAKE_ROOT };

static int parse_format(const Command *cmd, const char *text)
{
	if (strcmp(text, "tar") == 0)
		return BV_ARCHIVE_TAR;
	if (strcmp(text, "oci") != 0)
		usage_error(cmd, "--format: '%s' is none of tar, oci", text);
	return BV_ARCHIVE_OCI;
}

static void print_note(void *ctx, const char *text)
{
	(void)ctx;
	fputs("bvisor: ", stderr);
	print_quoted(stderr, text);
	fputc('\n', stderr);
}

/* ---- export ---- */

static int open_side(const char *name, const char *from, BvSide *out, BvError **err)
{
	BvSnapshotOpenOptions options = BV_SNAPSHOT_OPEN_OPTIONS_INIT;

	options.from = from;
	options.key = key_of_command();
	return names_snapshot(name) ? bv_snapshot_open(name, &options, &out->snapshot, err) : open_sandbox(name, &out->sandbox, err);
}

/* A file appears under its name when it is complete. */
static int export_to_file(const BvSide *of, const BvExportOptions *options, const char *path)
{
	char *aside = xasprintf("%s.part-%d", path, (int)getpid());
	int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), code = 0;
	BvError *err = NULL;

	if (fd < 0) {
		code = cli_fail("cannot write %s: %s", path, strerror(errno)); /* the name aside is of no use to anybody */
		free(aside);
		return code;
	}
	if (bv_snapshot_export(of, options, fd, &err) < 0)
		code = cli_fail_error(err);
	else if (fsync(fd) < 0 || rename(aside, path) < 0)
		code = cli_fail("cannot write %s: %s", path, strerror(errno));
	close(fd);
	if (code)
		unlink(aside);
	free(aside);
	return code;
}

static int export_to(const BvSide *of, BvExportOptions *options, const char *out)
{
	BvError *err = NULL;
	struct stat st;

	if (!out && isatty(STDOUT_FILENO))
		return cli_fail("an archive is not for a terminal: give -o FILE, or -o - if you mean it");
	if (!out || strcmp(out, "-") == 0)
		return bv_snapshot_export(of, options, STDOUT_FILENO, &err) < 0 ? cli_fail_error(err) : 0;
	bool dir = (stat(out, &st) == 0 && S_ISDIR(st.st_mode)) || out[strlen(out) - 1] == '/';
	if (!dir && (stat(out, &st) < 0 || S_ISREG(st.st_mode)))
		return export_to_file(of, options, out);
	if (dir && options->format != BV_ARCHIVE_OCI)
		return cli_fail("%s is a directory: only --format oci can be written to one", out);
	options->directory = dir ? out : NULL;
	int fd = dir ? -1 : open(out, O_WRONLY | O_CLOEXEC); /* a pipe, a device */
	if (!dir && fd < 0)
		return cli_fail("cannot write %s: %s", out, strerror(errno));
	int code = bv_snapshot_export(of, options, fd, &err) < 0 ? cli_fail_error(err) : 0;
	if (fd >= 0)
		close(fd);
	return code;
}

int cmd_export(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, {"format", required_argument, NULL, OPT_FORMAT}, {"output", required_argument, NULL, 'o'},
					      LONG_KEY, LONG_COMMON, {0}};
	BvExportOptions options = BV_EXPORT_OPTIONS_INIT;
	const char *from = NULL, *out = NULL;
	BvError *err = NULL;
	BvSide of = {0};
	int c;

	options.note = print_note;
	while ((c = opts_next(cmd, argc, argv, ":o:", longs)) != -1) {
		switch (c) {
		case OPT_FROM: from = optarg; break;
		case OPT_FORMAT: options.format = parse_format(cmd, optarg); break;
		case 'o': out = optarg; break;
		default: key_option(key_of_command(), c);
		}
	}
	if (out && !*out)
		usage_error(cmd, "-o: the name is empty");
	const char *name = optional_name(cmd, argc, argv);
	if (open_side(name, from, &of, &err) < 0)
		return cli_fail_error(err);
	int code = export_to(&of, &options, out);
	bv_snapshot_close(of.snapshot);
	bv_sandbox_close(of.sandbox);
	return code;
}

/* ---- import ---- */

/* The library has a descriptor, and knows no name of what it finds wrong. */
static int fail_import(int code, BvError *err, const char *from)
{
	if (code != -EBADMSG)
		return cli_fail_error(err);
	int r = cli_fail("%s: %s", strcmp(from, "-") == 0 ? "standard input" : from, bv_error_message(err));
	bv_error_free(err);
	return r;
}

int cmd_import(const Command *cmd, int argc, char **argv)
{
	static const struct option longs[] = {{"format", required_argument, NULL, OPT_FORMAT}, {"name", required_argument, NULL, OPT_NAME}, {"backend", required_argument, NULL, OPT_BACKEND},
					      {"fake-root", no_argument, NULL, OPT_FAKE_ROOT}, {"json", no_argument, NULL, OPT_JSON}, LONG_LIMITS, LONG_COMMON, {0}};
	BvImportOptions options = BV_IMPORT_OPTIONS_INIT;
	LimitOptions limits = LIMIT_OPTIONS_INIT;
	BvSandbox *sb = NULL;
	BvError *err = NULL;
	bool json = false;
	struct stat st;
	int c, fd = -1;

	options.note = print_note;
	options.limits = &limits.limits;
	while ((c = opts_next(cmd, argc, argv, ":", longs)) != -1) {
		switch (c) {
		case OPT_FORMAT: options.format = parse_format(cmd, optarg); break;
		case OPT_NAME: options.name = optarg; break;
		case OPT_BACKEND: options.backend = optarg; break;
		case OPT_FAKE_ROOT: options.flags |= BV_IMPORT_FAKE_ROOT; break;
		case OPT_JSON: json = true; break;
		default: limit_option(cmd, &limits, c);
		}
	}
	if (optind + 1 != argc)
		usage_error(cmd, "%s", optind < argc ? "one archive at a time" : "which archive? (- is standard input)");
	const char *from = argv[optind];
	bool is_stdin = strcmp(from, "-") == 0;
	if (!is_stdin && stat(from, &st) == 0 && S_ISDIR(st.st_mode)) {
		options.format = BV_ARCHIVE_OCI;
		options.directory = from;
	} else {
		fd = is_stdin ? STDIN_FILENO : open(from, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return cli_fail("cannot read %s: %s", from, strerror(errno));
	}
	int r = bv_sandbox_import(fd, &options, &sb, &err);
	if (r < 0)
		return fail_import(r, err, from);
	if (json) {
		Json j = {.out = stdout};
		json_open(&j, NULL, '{');
		json_put_string(&j, "sandbox", bv_sandbox_name(sb));
		json_close(&j, '}');
		putchar('\n');
	} else {
		printf("%s\n", bv_sandbox_name(sb));
	}
	bv_sandbox_close(sb);
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}
