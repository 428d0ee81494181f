/* supervisor/foreign_text.c - helpers of the foreign file systems: host calls in the form the ops want, and path texts for guests.
 *
 * Invariant F5: what leaves here for a guest names neither the store nor the run directory. */
#include "supervisor/foreign_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define UNREACHABLE "(unreachable)" /* d_path's own word for a file that has no name here */

int foreign_statx(int dirfd, const char *path, int at_flags, unsigned mask, struct statx *out)
{
	struct statx st;

	if (statx(dirfd, path, at_flags | AT_NO_AUTOMOUNT | (*path ? 0 : AT_EMPTY_PATH), mask, &st) < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	*out = st;
	return 0;
}

int foreign_list(int fd, bool (*shown)(void *ctx, const char *name), void *ctx,
		 int (*emit)(void *ectx, const char *name, uint64_t ino, unsigned char d_type), void *ectx)
{
	DIR *d = fdopendir(fd);
	int r = 0;

	if (!d) {
		r = bv_neg_errno();
		close(fd);
		return r;
	}
	while (r == 0) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (!e) {
			r = errno ? bv_neg_errno() : 0;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && shown(ctx, e->d_name))
			r = emit(ectx, e->d_name, e->d_ino, e->d_type);
	}
	closedir(d);
	return r;
}

int foreign_open_flags(int flags)
{
	/* O_NOCTTY always: a terminal must never become the supervisor's own. */
	return (flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_DIRECTORY | O_PATH | O_SYNC)) | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
}

ssize_t foreign_cut(const char *text, char *buf, size_t size)
{
	size_t len = MIN(strlen(text), size);

	memcpy(buf, text, len);
	return (ssize_t)len;
}

ssize_t foreign_readlinkat(int dirfd, const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(dirfd, path, buf, size);

	if (n < 0)
		return errno == ESRCH ? -ENOENT : bv_neg_errno();
	if ((size_t)n >= size)
		return -ERANGE;
	buf[n] = 0;
	return n;
}

static bool mentions(const char *text, const char *dir)
{
	size_t len = strlen(dir);

	for (const char *at = strstr(text, dir); at; at = strstr(at + 1, dir)) {
		bool starts = at == text || strchr(" \t=:,", at[-1]);
		bool ends = at[len] == 0 || strchr("/ \t\n=:,", at[len]);
		if (starts && ends)
			return true;
	}
	return false;
}

bool foreign_is_private(const Foreign *f, const char *text)
{
	for (char **dir = f->private_dirs; *dir; dir++)
		if (mentions(text, *dir))
			return true;
	return false;
}

/* Objects of the kernel whose names only look like paths. */
static bool is_kernel_name(const char *text)
{
	static const char *const prefixes[] = { "/memfd:", "/SYSV", "/[", "/dev/zero", "/anon_hugepage", "/dmabuf:", "/dev/" };

	if (text[0] != '/')
		return true;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

void foreign_guest_text(const Foreign *f, const char *host, char *buf, size_t size)
{
	char path[PATH_MAX], shown[PATH_MAX];
	size_t len = strlen(host);
	const char *suffix = "";
	bool removed = false; /* its blob has a name as long as somebody may have it open */

	if (is_kernel_name(host) && !foreign_is_private(f, host)) {
		snprintf(buf, size, "%s", host);
		return;
	}
	if (len > strlen(DELETED) && strcmp(host + len - strlen(DELETED), DELETED) == 0) {
		len -= strlen(DELETED);
		suffix = DELETED;
	}
	if (len >= sizeof(path)) {
		snprintf(buf, size, "%s", UNREACHABLE);
		return;
	}
	memcpy(path, host, len);
	path[len] = 0;
	ssize_t n = cowfs_virtual_of_host(f->env.fs, path, &removed, shown, sizeof(shown));
	if (n < 0 || (size_t)n >= sizeof(shown))
		snprintf(shown, sizeof(shown), "%s", path);
	else
		shown[n] = 0;
	if (removed)
		suffix = DELETED;
	if (foreign_is_private(f, shown))
		snprintf(buf, size, "%s%s", UNREACHABLE, suffix);
	else
		snprintf(buf, size, "%s%s", shown, suffix);
}

int foreign_reopen(const Foreign *f, int own, int flags, int *fd)
{
	char path[40];

	snprintf(path, sizeof(path), "self/fd/%d", own);
	int opened = openat(f->proc_fd, path, (flags & (O_PATH | O_ACCMODE)) | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}

int foreign_sealed_file(const Foreign *f, const char *name, const char *text, size_t len, int flags, int *fd)
{
	CLEAN_FD int mem = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (mem < 0)
		return bv_neg_errno();
	int r = bv_write_full(mem, text, len);
	if (r < 0)
		return r;
	if (fchmod(mem, 0444) < 0 || fcntl(mem, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return bv_neg_errno();
	return foreign_reopen(f, mem, flags, fd);
}
