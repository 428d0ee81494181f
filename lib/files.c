/* lib/files.c - files of a sandbox, changed from outside: each call is one process of bvisor's own in the sandbox (`file` in supervisor/control.h), whose exit code is the answer.
 *
 * What comes from the sandbox is not believed: lengths are checked, and what the process says of a file is passed on as what it says. */
#include "lib/files.h"
#include "lib/process.h"
#include "supervisor/control.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

_Static_assert(FILE_APPEND == (int)BV_FILE_APPEND && FILE_EXCLUSIVE == (int)BV_FILE_EXCLUSIVE && FILE_PARENTS == (int)BV_FILE_PARENTS && FILE_NO_FOLLOW == (int)BV_FILE_NO_FOLLOW && FILE_RECURSIVE == (int)BV_FILE_RECURSIVE &&
		       FILE_NO_REPLACE == (int)BV_FILE_NO_REPLACE,
	       "the flags go through as they are");

static cJSON *file_request(const BvSandbox *sb, const void *ctx)
{
	const FileCall *c = ctx;
	cJSON *req = conn_request("file");

	(void)sb;
	if (req && cJSON_AddStringToObject(req, "call", c->call) && cJSON_AddStringToObject(req, "path", c->path) && (!c->to || cJSON_AddStringToObject(req, "to", c->to)) &&
	    cJSON_AddNumberToObject(req, "flags", c->flags) && cJSON_AddNumberToObject(req, "mode", c->mode) && cJSON_AddNumberToObject(req, "umask", own_umask()))
		return req;
	cJSON_Delete(req);
	return NULL;
}

static int check_path(const char *path, BvError **err)
{
	if (path[0] != '/')
		return lib_fail(err, -EINVAL, "%s: not an absolute path", path[0] ? path : "\"\"");
	return strlen(path) >= PATH_MAX ? lib_fail(err, -ENAMETOOLONG, "%.60s...: %s", path, strerror(ENAMETOOLONG)) : 0;
}

int file_begin(BvSandbox *sb, const FileCall *c, BvProcess **out, BvError **err)
{
	const ProcessAsk ask = {file_request, c, &c->fd, c->fd >= 0};
	int r = check_path(c->path, err);

	if (r == 0 && c->to)
		r = check_path(c->to, err);
	if (r == 0 && (c->flags & ~c->allowed))
		r = lib_fail(err, -EINVAL, "%s: a flag that means nothing for this", c->path);
	if (r < 0)
		return r;
	r = process_begin(sb, &ask, out, err);
	if (r < 0)
		lib_error_stage(err, "");
	return r;
}

static int killed(const BvSandbox *sb, int signal)
{
	if (signal == SIGXFSZ)
		return sb->config.limits.disk ? -EDQUOT : -EFBIG;
	return -ECANCELED;
}

int file_end(BvSandbox *sb, const FileCall *c, BvProcess *p, BvError **err)
{
	BvStatus status;
	int r = bv_process_wait(p, -1, &status, err);

	if (r < 0)
		return r;
	r = status.signal ? killed(sb, status.signal) : -status.exit_code;
	if (r == 0)
		return 0;
	const char *name = bv_sandbox_name(sb), *remark = bv_process_remark(p), *to = c->to ? c->to : "";
	const char *arrow = c->to ? " -> " : "", *colon = remark ? ": " : "";
	if (r == -ECANCELED)
		return lib_fail(err, r, "%s%s%s in sandbox '%s': the process that does this there was killed (signal %d); it may be done in part", c->path, arrow, to, name, status.signal);
	return lib_fail(err, r, "%s%s%s in sandbox '%s': %s%s%s", c->path, arrow, to, name, strerror(-r), colon, remark ? remark : "");
}

static int call(BvSandbox *sb, const FileCall *c, BvError **err)
{
	BvProcess *p = NULL;
	int r = file_begin(sb, c, &p, err);

	if (r == 0)
		r = file_end(sb, c, p, err);
	bv_process_close(p);
	return r;
}

/* Sealed: from now on nobody changes it. */
static int data_fd(const void *data, size_t len)
{
	CLEAN_FD int fd = memfd_create("bvisor-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? bv_neg_errno() : bv_write_full(fd, data, len);

	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = bv_neg_errno();
	return r < 0 ? r : TAKE_FD(fd);
}

int bv_sandbox_write_file(BvSandbox *sb, const char *path, const void *data, size_t len, unsigned flags, mode_t mode, BvError **err)
{
	CLEAN_FD int fd = data_fd(data, len);
	const FileCall c = {.call = "write", .path = path, .flags = flags, .allowed = BV_FILE_APPEND | BV_FILE_EXCLUSIVE | BV_FILE_PARENTS, .mode = mode, .fd = fd};

	return fd < 0 ? lib_fail(err, fd, "cannot keep the bytes for %s: %s", path, strerror(-fd)) : call(sb, &c, err);
}

int bv_sandbox_make_dir(BvSandbox *sb, const char *path, unsigned flags, mode_t mode, BvError **err)
{
	const FileCall c = {.call = "mkdir", .path = path, .flags = flags, .allowed = BV_FILE_PARENTS, .mode = mode, .fd = -1};

	return call(sb, &c, err);
}

int bv_sandbox_remove_file(BvSandbox *sb, const char *path, unsigned flags, BvError **err)
{
	const FileCall c = {.call = "remove", .path = path, .flags = flags, .allowed = BV_FILE_RECURSIVE, .fd = -1};

	return call(sb, &c, err);
}

int bv_sandbox_rename_file(BvSandbox *sb, const char *from, const char *to, unsigned flags, BvError **err)
{
	const FileCall c = {.call = "rename", .path = from, .to = to, .flags = flags, .allowed = BV_FILE_NO_REPLACE, .fd = -1};

	return call(sb, &c, err);
}

/* ---- stat ---- */

typedef struct Answer {
	FileStat stat;
	char target[PATH_MAX + 1];
} Answer;

static int receive_stat(int sock, const FileCall *c, Answer *a, BvError **err)
{
	ssize_t n = recv(sock, a, sizeof(a->stat) + PATH_MAX, MSG_DONTWAIT);

	if (n < (ssize_t)sizeof(a->stat) || a->stat.target_len != (size_t)n - sizeof(a->stat))
		return lib_fail(err, -EPROTO, "%s: the answer from the sandbox makes no sense", c->path);
	a->target[a->stat.target_len] = '\0';
	return 0;
}

static int show(const FileCall *c, const Answer *a, int (*visit)(void *, const BvEntry *), void *ctx, BvError **err)
{
	const FileStat *st = &a->stat;
	CLEAN_FREE char *path = path_absolute(c->path);

	if (!path)
		return lib_fail(err, -ENOMEM, "out of memory");
	const BvEntry e = {.path = path,
			   .name = path_last(path),
			   .mode = st->mode,
			   .uid = st->uid,
			   .gid = st->gid,
			   .bytes = st->bytes,
			   .ino = st->ino,
			   .links = st->links,
			   .mtime_sec = st->mtime_sec,
			   .mtime_nsec = (long)st->mtime_nsec,
			   .target = st->target_len ? a->target : NULL};
	return visit(ctx, &e);
}

int bv_sandbox_stat(BvSandbox *sb, const char *path, unsigned flags, int (*visit)(void *, const BvEntry *), void *ctx, BvError **err)
{
	Answer answer = {0};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return lib_fail(err, bv_neg_errno(), "cannot make a socket: %s", strerror(errno));
	CLEAN_FD int ours = pair[0], theirs = pair[1];
	const FileCall c = {.call = "stat", .path = path, .flags = flags, .allowed = BV_FILE_NO_FOLLOW, .fd = theirs};
	int r = call(sb, &c, err);
	if (r == 0)
		r = receive_stat(ours, &c, &answer, err);
	return r < 0 ? r : show(&c, &answer, visit, ctx, err);
}
