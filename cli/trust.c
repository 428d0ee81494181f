/* cli/trust.c - which project files the user has looked at: a copy of each below his own configuration, which no guest sees or writes.
 *
 * A record is the path, a NUL, and the bytes of the file; its own name is a checksum of the path, so that there is one for each path. That two paths had the same name would cost the first its trust
 * and give none to the second: what counts is inside. A copy, rather than a checksum of the file: nothing can be made to look like it, and no library is needed. */
#include "cli/config.h"
#include "cli/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_MAX = PATH_MAX + TOML_MAX + 1 };

static char *trust_dir(void)
{
	return config_dir() ? xasprintf("%s/trusted", config_dir()) : NULL;
}

/* malloc'ed; NULL: there is no home. */
static char *record_path(const char *path)
{
	char *dir = trust_dir(), *joined;

	if (!dir)
		return NULL;
	joined = xasprintf("%s/%016" PRIx64, dir, hash_bytes(path, strlen(path)));
	free(dir);
	return joined;
}

/* A whole file, malloc'ed with a NUL behind it; NULL: there is none. What a project has made of its file since may be a FIFO. */
static char *read_whole(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *in = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	char *bytes = in ? xrealloc(NULL, RECORD_MAX + 2) : NULL;

	if (!in) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	*len = fread(bytes, 1, RECORD_MAX + 1, in);
	bytes[*len] = '\0';
	fclose(in);
	return bytes;
}

static bool is_record_of(const char *record, size_t len, const char *path, const char *bytes, size_t n)
{
	size_t path_len = strlen(path);

	return len == path_len + 1 + n && memcmp(record, path, path_len + 1) == 0 && memcmp(record + path_len + 1, bytes, n) == 0;
}

bool trust_has(const ConfigFile *file)
{
	char *path = record_path(file->path);
	size_t len = 0;
	char *record = path ? read_whole(path, &len) : NULL;
	bool has = record && is_record_of(record, len, file->path, file->bytes, file->len);

	free(record);
	free(path);
	return has;
}

/* mkdir -p of the directory and its parents, as far as they are missing. */
static int make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		int r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		if (slash)
			*slash = '/';
		if (r < 0 || !slash)
			return r;
	}
}

/* Aside, then in one step: a record is there as a whole or not at all. */
static int write_record(const char *path, const ConfigFile *file)
{
	char *aside = xasprintf("%s.%d", path, (int)getpid());
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out)
		r = -errno;
	else if (fwrite(file->path, 1, strlen(file->path) + 1, out) == 0 || fwrite(file->bytes, 1, file->len, out) != file->len)
		r = -errno;
	if (out && fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(aside, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(aside);
	free(aside);
	return r;
}

int trust_add(const ConfigFile *file)
{
	char *dir = trust_dir(), *path = record_path(file->path);
	int r = dir ? make_dirs(dir) : 0;

	if (!dir)
		return cli_fail("there is no place to remember it: $HOME is not set");
	if (r == 0)
		r = write_record(path, file);
	if (r < 0)
		cli_fail("cannot remember it in %s: %s", path, strerror(-r));
	free(dir);
	free(path);
	return r < 0 ? EXIT_BVISOR : 0;
}

int trust_remove(const char *path)
{
	char *record = record_path(path);
	int r = record && unlink(record) == 0 ? 0 : -1;

	if (r < 0 && record && errno != ENOENT)
		r = cli_fail("cannot remove %s: %s", record, strerror(errno));
	free(record);
	return r;
}

static void visit_record(const char *dir, const char *name, void (*visit)(void *ctx, const char *path, bool current), void *ctx)
{
	char *path = xasprintf("%s/%s", dir, name);
	size_t len = 0, now_len = 0;
	char *record = read_whole(path, &len);
	const char *end = record ? memchr(record, '\0', len) : NULL;

	if (end) {
		char *now = read_whole(record, &now_len);
		visit(ctx, record, now && is_record_of(record, len, record, now, now_len));
		free(now);
	}
	free(record);
	free(path);
}

int trust_each(void (*visit)(void *ctx, const char *path, bool current), void *ctx)
{
	char *dir = trust_dir();
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strlen(e->d_name) == 16)
			visit_record(dir, e->d_name, visit, ctx);
	if (d)
		closedir(d);
	free(dir);
	return 0;
}
