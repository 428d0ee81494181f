#include "base/util.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

void *bv_grow(void *items, size_t n, size_t *room, size_t size)
{
	size_t more = MAX((size_t)8, *room * 2);

	if (n < *room)
		return items;
	void *bigger = more < n || more > SIZE_MAX / size ? NULL : realloc(items, more * size);
	if (bigger)
		*room = more;
	return bigger;
}

char *bv_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

int bv_fail(char **err, int code, const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	if (!err)
		return code;
	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	free(*err);
	*err = s;
	return code;
}

ssize_t bv_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int bv_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		done += (size_t)n;
	}
	return 0;
}

ssize_t bv_read_file_at(int dirfd, const char *path, size_t max, char **out)
{
	CLEAN_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	CLEAN_FREE char *buf = NULL;
	size_t len = 0, cap = 0;

	if (fd < 0)
		return bv_neg_errno();
	for (;;) {
		if (len + 1 >= cap) {
			size_t want = cap ? cap * 2 : 4096;
			char *bigger = realloc(buf, want);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
			cap = want;
		}
		ssize_t n = read(fd, buf + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bv_neg_errno();
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = 0;
	*out = TAKE_PTR(buf);
	return (ssize_t)len;
}

int bv_openat_plain(int dirfd, const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_NO_SYMLINKS};
	long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);

	return fd >= 0 || errno != ENOSYS ? (int)fd : openat(dirfd, path, flags | O_NOFOLLOW);
}

int bv_keep_fds(int *fds, size_t n)
{
	int high[16];

	for (size_t i = 0; i < n; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + (int)n);
		if (high[i] < 0)
			return bv_neg_errno();
	}
	for (size_t i = 0; i < n; i++) {
		fds[i] = 3 + (int)i;
		if (dup3(high[i], fds[i], O_CLOEXEC) < 0)
			return bv_neg_errno();
	}
	return close_range(3 + (unsigned)n, ~0U, 0) < 0 ? bv_neg_errno() : 0;
}

int bv_mkdir_all(const char *path)
{
	CLEAN_FREE char *p = strdup(path);

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		if (mkdir(p, 0700) < 0 && errno != EEXIST)
			return bv_neg_errno();
		*s = '/';
	}
	if (mkdir(p, 0700) < 0 && errno != EEXIST)
		return bv_neg_errno();
	return 0;
}

static int remove_children(int dirfd, dev_t dev)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = bv_neg_errno();
		close(dirfd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		struct stat st;
		if (unlinkat(dirfd, e->d_name, 0) == 0 || errno == ENOENT) /* somebody else removes it, too */
			continue;
		if (errno != EISDIR && errno != EPERM) {
			r = bv_neg_errno();
			break;
		}
		int child = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0 && errno == ENOENT)
			continue;
		if (child < 0) {
			r = bv_neg_errno();
			break;
		}
		if (fstat(child, &st) < 0 || st.st_dev != dev) {
			close(child);
			r = -EXDEV;
			break;
		}
		r = remove_children(child, dev);
		if (r == 0 && unlinkat(dirfd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = bv_neg_errno();
	}
	closedir(d);
	return r;
}

int bv_remove_tree_at(int dirfd, const char *path)
{
	struct stat st;
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno == ENOTDIR || errno == ELOOP)
			return unlinkat(dirfd, path, 0) < 0 ? bv_neg_errno() : 0;
		return bv_neg_errno();
	}
	if (fstat(fd, &st) < 0) {
		r = bv_neg_errno();
		close(fd);
		return r;
	}
	r = remove_children(fd, st.st_dev); /* closes fd */
	if (r == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = bv_neg_errno();
	return r;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t bv_now_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t bv_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

bool bv_path_of_code(const void *code, char out[PATH_MAX])
{
	Dl_info own, program;

	if (!dladdr(code, &own))
		return false;
	if (dladdr((void *)(uintptr_t)getauxval(AT_PHDR), &program) && program.dli_fbase != own.dli_fbase)
		return own.dli_fname && own.dli_fname[0] == '/' && realpath(own.dli_fname, out);
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

/* Sanitizers put themselves before the C library, which this would undo; they refuse it. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_SYMBOLS_FIRST 0
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_SYMBOLS_FIRST 0
#endif
#ifndef OWN_SYMBOLS_FIRST
#define OWN_SYMBOLS_FIRST RTLD_DEEPBIND
#endif

void *bv_load_library(const char *path)
{
	return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | OWN_SYMBOLS_FIRST);
}

char **bv_environ(void)
{
	void *program = dlopen(NULL, RTLD_LAZY);
	char ***variable = program ? dlsym(program, "environ") : NULL;
	char **list = variable ? *variable : environ;

	if (program)
		dlclose(program);
	return list;
}
