/* lib/applied.c - see applied.h. */
#include "lib/applied.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define APPLIED_FILE "applied"
#define APPLIED_HEAD "bvisor-applied 1"
#define APPLIED_MAX (1 << 30)

void applied_release(Applied *applied)
{
	for (size_t i = 0; i < applied->count; i++)
		free(applied->items[i].path);
	free(applied->items);
	memset(applied, 0, sizeof(*applied));
}

static bool parse_record(const char *text, AppliedItem *out)
{
	CowIdentity id = {.known = true};
	int64_t ms, cs;
	int used = 0;

	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %ld %" SCNd64 " %ld %" SCNu32 " %" SCNu32 " %" SCNu32 " %n", &id.dev, &id.ino, &id.size,
		   &ms, &id.mtime.tv_nsec, &cs, &id.ctime.tv_nsec, &id.mode, &id.uid, &id.gid, &used) < 10 ||
	    text[used] != '/')
		return false;
	id.mtime.tv_sec = (time_t)ms;
	id.ctime.tv_sec = (time_t)cs;
	*out = (AppliedItem){.path = strdup(text + used), .is = id};
	return out->path != NULL;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const AppliedItem *)a)->path, ((const AppliedItem *)b)->path);
}

int applied_load(int dirfd, Applied *out)
{
	CLEAN_FREE char *text = NULL;
	ssize_t len = bv_read_file_at(dirfd, APPLIED_FILE, APPLIED_MAX, &text);
	Applied a = {0};
	size_t records = 0;

	if (len < 0 && len != -ENOENT)
		return (int)len;
	for (ssize_t i = 0; i < len; i++)
		records += text[i] == '\0';
	a.items = calloc(records + 1, sizeof(AppliedItem));
	if (!a.items)
		return -ENOMEM;
	if (len > 0 && strcmp(text, APPLIED_HEAD) == 0)
		for (const char *p = text + sizeof(APPLIED_HEAD); p < text + len && a.count < records; p += strlen(p) + 1)
			if (parse_record(p, &a.items[a.count]))
				a.count++;
	qsort(a.items, a.count, sizeof(*a.items), by_path);
	*out = a;
	return 0;
}

bool applied_matches(const Applied *applied, const char *path, const struct statx *host)
{
	AppliedItem key = {.path = (char *)(uintptr_t)path};
	const AppliedItem *item = applied->count > 0 ? bsearch(&key, applied->items, applied->count, sizeof(key), by_path) : NULL;
	const CowIdentity *is = item ? &item->is : NULL;

	if (!is || is->dev != host_dev(host) || is->ino != host->stx_ino || is->mode != host->stx_mode || is->uid != host->stx_uid || is->gid != host->stx_gid)
		return false;
	if (S_ISDIR(host->stx_mode)) /* its size and times follow its entries */
		return true;
	return is->size == host->stx_size && is->mtime.tv_sec == host->stx_mtime.tv_sec && is->mtime.tv_nsec == (long)host->stx_mtime.tv_nsec &&
	       is->ctime.tv_sec == host->stx_ctime.tv_sec && is->ctime.tv_nsec == (long)host->stx_ctime.tv_nsec;
}

bool applied_has_object(const Applied *applied, const CowIdentity *object)
{
	for (size_t i = 0; i < applied->count; i++)
		if (applied->items[i].is.ino == object->ino && ((applied->items[i].is.mode ^ object->mode) & S_IFMT) == 0)
			return true;
	return false;
}

static void print_record(FILE *out, const AppliedItem *item)
{
	const CowIdentity *is = &item->is;

	if (!is->known)
		return;
	fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %ld %" PRId64 " %ld %" PRIu32 " %" PRIu32 " %" PRIu32 " %s", is->dev, is->ino, is->size,
		(int64_t)is->mtime.tv_sec, is->mtime.tv_nsec, (int64_t)is->ctime.tv_sec, is->ctime.tv_nsec, is->mode, is->uid, is->gid, item->path);
	fputc('\0', out);
}

/* Both lists are sorted; of a path in both the fresh one counts. */
static void print_merged(FILE *out, const Applied *old, const AppliedItem *fresh, size_t count)
{
	size_t i = 0, k = 0;

	fputs(APPLIED_HEAD, out);
	fputc('\0', out);
	while (i < old->count || k < count) {
		int order = i == old->count ? 1 : k == count ? -1 : strcmp(old->items[i].path, fresh[k].path);
		if (order < 0) {
			print_record(out, &old->items[i++]);
		} else {
			i += order == 0;
			print_record(out, &fresh[k++]);
		}
	}
}

int applied_update(int dirfd, const Applied *old, AppliedItem *fresh, size_t count)
{
	int fd = openat(dirfd, APPLIED_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool failed;

	if (!out)
		return bv_neg_errno();
	qsort(fresh, count, sizeof(*fresh), by_path);
	print_merged(out, old, fresh, count);
	failed = fflush(out) != 0 || ferror(out) || fsync(fd) < 0;
	if (fclose(out) != 0 || failed)
		return bv_neg_errno();
	return renameat(dirfd, APPLIED_FILE ".new", dirfd, APPLIED_FILE) < 0 ? bv_neg_errno() : 0;
}
