/* base/util.h - what every layer uses: ownership helpers, checked arithmetic, small file helpers.
 *
 * Conventions of the whole project:
 *  - Functions return 0 (or a count) on success and a negative errno on failure; outputs are untouched on failure.
 *  - `struct S` with functions `S_verb(S *)`; init/release for embedded objects, new/free for heap objects,
 *    get/put for reference counts, take for handing over. free/release/put accept NULL and half-built objects.
 *  - `_locked` says: the caller holds the lock named at the head of the file. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK __attribute__((warn_unused_result))
/* For a failure that changes nothing: say why beside it. */
#define IGNORE_RESULT(call) \
	do { \
		__typeof__(call) ignored_ = (call); \
		(void)ignored_; \
	} while (0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Cleanup attributes: `CLEAN_FD int fd = -1;` closes at scope end, `return TAKE_FD(fd);` hands it over. */
static inline void bv_close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
		*fd = -1;
	}
}
static inline void bv_free_ptr(void *p)
{
	free(*(void **)p);
}
#define CLEAN_FD __attribute__((cleanup(bv_close_fd)))
#define CLEAN_FREE __attribute__((cleanup(bv_free_ptr)))
static inline int bv_take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}
#define TAKE_FD(fd) bv_take_fd(&(fd))
/* dup(2), close-on-exec: the host program's own children get none of our descriptors. */
static inline int bv_dup(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
#define TAKE_PTR(p) \
	__extension__({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})

/* Room for one more at the end of an array that grows: `items` (malloc'ed, or NULL while `room` is 0) has `n` elements and room for `room`, a size_t.
 * False: no memory, and nothing was changed. */
#define BV_GROW(items, n, room) \
	__extension__({ \
		void *grown_ = bv_grow((items), (n), &(room), sizeof *(items)); \
		if (grown_) \
			(items) = grown_; \
		grown_ != NULL; \
	})
void *bv_grow(void *items, size_t n, size_t *room, size_t size) MUST_CHECK;

/* errno as a negative value; never 0, so that a failing call cannot read as success. */
static inline int bv_neg_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* A malloc'ed printf. NULL when out of memory. */
char *bv_asprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Replaces *err (freeing what it held) by a formatted message for people; err may be NULL. Returns `code`, so that
 * `return bv_fail(err, -EINVAL, "...")` reads as one step. Out of memory leaves *err NULL. */
int bv_fail(char **err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Reads/writes all `len` bytes, going on after EINTR and short counts. bv_read_full returns the bytes read (short only
 * at end of file); bv_write_full returns 0. Else negative errno. */
ssize_t bv_read_full(int fd, void *buf, size_t len) MUST_CHECK;
int bv_write_full(int fd, const void *buf, size_t len) MUST_CHECK;
/* A whole small file (`/proc` files too) into a malloc'ed, NUL-terminated buffer of at most `max` bytes (-EFBIG beyond).
 * Returns its length; *out is the caller's to free. */
ssize_t bv_read_file_at(int dirfd, const char *path, size_t max, char **out) MUST_CHECK;
/* openat(2) of what is no symbolic link (-ELOOP), without O_CREAT. Unlike O_NOFOLLOW that is no flag which the holder of the descriptor finds by
 * F_GETFL (on kernels without openat2 it is). A descriptor, or -1 and errno. */
int bv_openat_plain(int dirfd, const char *path, int flags) MUST_CHECK;
/* The first `size` bytes of `from` into the empty file `to`, which gets that size; holes stay holes. clone: share the blocks where the file system
 * can. What `from` lost meanwhile reads as zeroes. 0 or negative errno. */
int bv_copy_data(int from, int to, uint64_t size, bool clone) MUST_CHECK;
/* Makes the `n` descriptors (at most 16) 3, 4, ... in this order, all close-on-exec, and closes every other one from there on: for a child that was just forked. fds[] gets the new numbers.
 * -EMFILE, -EBADF. */
int bv_keep_fds(int *fds, size_t n) MUST_CHECK;
/* mkdir -p with mode 0700 for what is missing. 0 or negative errno. */
int bv_mkdir_all(const char *path) MUST_CHECK;
/* Removes a tree below dirfd, never following a symlink, never leaving the file system it started on. A missing tree is success. */
int bv_remove_tree_at(int dirfd, const char *path) MUST_CHECK;
/* Coarse monotonic time in nanoseconds (about 4 ms steps, a few ns to read). */
uint64_t bv_now_coarse_ns(void);
uint64_t bv_now_ns(void);

#endif
