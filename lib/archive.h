/* lib/archive.h - libarchive, loaded with the first export or import (as OpenSSL for snapshots: most runs need neither), and SHA-256 of streams.
 *
 * Loaded once for the whole process, under a lock; never changed afterwards. Names in archives are bytes: a scope with ARCHIVE_LOCALE makes libarchive take them for UTF-8, whatever the
 * caller's locale is; those that are none it keeps as they are. */
#ifndef LIB_ARCHIVE_H
#define LIB_ARCHIVE_H

#include "base/util.h"
#include "lib/internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#define ARCHIVE_SYMBOLS(X) \
	X(archive_error_string) X(archive_errno) X(archive_write_new) X(archive_write_set_format_pax) X(archive_write_set_format_raw) X(archive_write_add_filter_gzip) \
	X(archive_write_set_options) X(archive_write_set_bytes_in_last_block) X(archive_write_open) X(archive_write_header) X(archive_write_data) X(archive_write_finish_entry) \
	X(archive_write_close) X(archive_write_free) X(archive_read_new) X(archive_read_support_format_tar) X(archive_read_support_filter_gzip) X(archive_read_support_filter_zstd) \
	X(archive_read_support_filter_xz) X(archive_read_support_filter_bzip2) X(archive_read_open_fd) X(archive_read_next_header) X(archive_read_data_block) X(archive_read_free) \
	X(archive_entry_new) X(archive_entry_free) X(archive_entry_set_pathname) X(archive_entry_set_size) X(archive_entry_set_mode) X(archive_entry_set_filetype) X(archive_entry_set_uid) \
	X(archive_entry_set_gid) X(archive_entry_set_mtime) X(archive_entry_set_symlink) X(archive_entry_set_hardlink) X(archive_entry_xattr_add_entry) X(archive_entry_sparse_add_entry) \
	X(archive_entry_pathname) X(archive_entry_size) X(archive_entry_size_is_set) X(archive_entry_mode) X(archive_entry_filetype) X(archive_entry_uid) X(archive_entry_gid) \
	X(archive_entry_mtime) X(archive_entry_mtime_nsec) X(archive_entry_mtime_is_set) X(archive_entry_symlink) X(archive_entry_hardlink) X(archive_entry_xattr_reset) X(archive_entry_xattr_next)

typedef struct ArchiveLibrary {
#define ARCHIVE_MEMBER(f) __typeof__(f) *f;
	ARCHIVE_SYMBOLS(ARCHIVE_MEMBER)
#undef ARCHIVE_MEMBER
} ArchiveLibrary;

/* NULL with a message (-ENOSYS): it is not installed. */
const ArchiveLibrary *archive_library(BvError **err);

/* Gives the thread's locale back at the end of the scope. */
typedef struct ArchiveLocale {
	locale_t own, before;
} ArchiveLocale;
ArchiveLocale archive_locale_begin(void);
void archive_locale_end(ArchiveLocale *l);
#define ARCHIVE_LOCALE __attribute__((cleanup(archive_locale_end), unused)) ArchiveLocale archive_locale_ = archive_locale_begin()

typedef struct Sha256 Sha256;
/* NULL: out of memory, or OpenSSL is not installed (*err says so). */
Sha256 *sha256_new(BvError **err);
int sha256_add(Sha256 *h, const void *data, size_t len) MUST_CHECK;
/* "sha256:" and 64 digits; once. */
int sha256_text(Sha256 *h, char out[72]) MUST_CHECK;
void sha256_free(Sha256 *h); /* NULL is allowed */
int sha256_of(const void *data, size_t len, char out[72], BvError **err) MUST_CHECK;

#endif
