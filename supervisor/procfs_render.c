/* supervisor/procfs_render.c - how a text of /proc that is not the host's own gets into a descriptor, and the texts of /proc/<pid> in which host names are
 * replaced by the view's: maps, smaps, numa_maps; and status, in which ids are those of vcred.h.
 *
 * The host's file is read whole through the checked process directory, rewritten, and put into a sealed memory file: a regular
 * descriptor with pread, lseek and mmap. It shows the moment of open (see procfs.c), but for those few that are kept up to date. */
#include "supervisor/procfs_internal.h"
#include "supervisor/vcred.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { TEXT_MAX = 256 * 1024 * 1024 };

/* \ooo as seq_file writes it, in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

static void put_escaped(FILE *out, const char *s, const char *special)
{
	for (; *s; s++) {
		if (strchr(special, *s))
			fprintf(out, "\\%03o", (unsigned char)*s);
		else
			putc(*s, out);
	}
}

/* The program's own mapping may lie on a name that was made for the exec only: the kernel's exe link has the same text. */
typedef struct ExeText {
	char host[PATH_MAX + 16], shown[PATH_MAX];
} ExeText;

static void load_exe(const Foreign *f, const ProcPath *at, ExeText *exe)
{
	if (foreign_readlinkat(at->ref->fd, "exe", exe->host, sizeof(exe->host)) < 0 ||
	    f->env.exe_of(f->env.sup, at->ref->tgid, exe->shown, sizeof(exe->shown)) < 0)
		exe->host[0] = 0;
}

static void put_path(const Foreign *f, const ExeText *exe, char *host, FILE *out, const char *special)
{
	char shown[PATH_MAX + 32];

	unescape(host);
	if (strcmp(host, exe->host) == 0)
		snprintf(shown, sizeof(shown), "%s", exe->shown);
	else
		foreign_guest_text(f, host, shown, sizeof(shown));
	put_escaped(out, shown, special);
}

/* The path column of a line "from-to perms offset dev inode   /path", NULL for every other line. */
static char *maps_path(char *line)
{
	char *at = line;

	for (int column = 0; column < 5; column++) {
		at = strchr(at, ' ');
		if (!at)
			return NULL;
		at += strspn(at, " ");
	}
	return *at == '/' ? at : NULL;
}

int procfs_render_maps(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	ExeText exe;

	load_exe(f, at, &exe);
	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		char *path = maps_path(line);
		if (path) {
			fwrite(line, 1, (size_t)(path - line), out);
			put_path(f, &exe, path, out, "\n");
		} else {
			fputs(line, out);
		}
		putc('\n', out);
	}
	return 0;
}

int procfs_render_numa_maps(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	ExeText exe;

	load_exe(f, at, &exe);
	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		char *path = strstr(line, " file=");
		if (path) {
			char *rest;
			path += strlen(" file=");
			fwrite(line, 1, (size_t)(path - line), out);
			rest = path + strcspn(path, " ");
			char end = *rest;
			*rest = 0;
			put_path(f, &exe, path, out, "\n\t= ");
			if (end)
				fprintf(out, " %s", rest + 1);
		} else {
			fputs(line, out);
		}
		putc('\n', out);
	}
	return 0;
}

static void put_ids(FILE *out, const char *what, const unsigned ids[4])
{
	fprintf(out, "%s:\t%u\t%u\t%u\t%u\n", what, ids[0], ids[1], ids[2], ids[3]);
}

/* Each line ends with a space after the last group, as the kernel's. */
static void put_groups(FILE *out, const CowCred *cred)
{
	fputs("Groups:\t", out);
	for (size_t i = 0; i < cred->ngroups; i++)
		fprintf(out, "%u ", cred->groups[i]);
	fputs(cred->ngroups ? "\n" : " \n", out);
}

/* The ids are those that getuid(2) and its kin tell. */
int procfs_render_status(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	VcredIds ids;

	f->env.ids_of(f->env.sup, at->tid, &ids);
	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		if (strncmp(line, "Uid:", 4) == 0)
			put_ids(out, "Uid", ids.uid);
		else if (strncmp(line, "Gid:", 4) == 0)
			put_ids(out, "Gid", ids.gid);
		else if (strncmp(line, "Groups:", 7) == 0)
			put_groups(out, ids.access);
		else
			fprintf(out, "%s\n", line);
	}
	return 0;
}

/* The text that a row's file has for a guest; the caller's to free. */
static int make_text(const Foreign *f, const ProcPath *at, char **text, size_t *len)
{
	CLEAN_FREE char *in = NULL;
	ssize_t n = bv_read_file_at(at->dirfd, at->rel, TEXT_MAX, &in);

	if (n < 0)
		return n == -ESRCH ? -ENOENT : (int)n;
	FILE *out = open_memstream(text, len);
	if (!out)
		return -ENOMEM;
	int r = at->row->render(f, at, in, out);
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		r = r < 0 ? r : -ENOMEM;
	return r;
}

int procfs_open_text(Foreign *f, const ProcPath *at, int *fd)
{
	CLEAN_FREE char *text = NULL;
	size_t len = 0;
	int r = make_text(f, at, &text, &len);

	return r < 0 ? r : foreign_sealed_file(f, at->name, text, len, O_RDONLY, fd);
}

/* ---- texts that programs keep open, and read again from the start: top, vmstat, free -s ----
 *
 * Each is one memory file, which all guests open for reading, and which is written anew with each open and, while somebody has it open, some
 * times a second (foreign_tick). A lease tells whether anybody has. `lock` protects all of it. */

enum { LIVE_MAX = 8 };
#define LIVE_PERIOD 400000000ULL

typedef struct LiveText {
	const ProcRow *row;
	int fd; /* for writing */
	bool held;
} LiveText;

struct LiveTexts {
	pthread_mutex_t lock;
	LiveText texts[LIVE_MAX];
	size_t count;
	atomic_bool held; /* one of them may be open */
	uint64_t ticked;
};

int live_new(LiveTexts **out)
{
	LiveTexts *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	return 0;
}

void live_free(LiveTexts *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++)
		close(l->texts[i].fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Opened again: the descriptor that memfd_create gives does not count as one that writes, and would be taken for somebody else's. */
static int make_file(const Foreign *f, const char *name)
{
	CLEAN_FD int first = memfd_create(name, MFD_CLOEXEC), fd = -1;

	if (first < 0 || foreign_reopen(f, first, O_RDWR, &fd) < 0 || fchmod(fd, 0444) < 0)
		return -1;
	if (fcntl(fd, F_SETSIG, SIGURG) < 0) /* a lease that is broken tells so by a signal, by default a deadly one */
		return -1;
	return TAKE_FD(fd);
}

static LiveText *text_of_locked(const Foreign *f, const ProcRow *row, const char *name)
{
	LiveTexts *l = f->live;

	for (size_t i = 0; i < l->count; i++)
		if (l->texts[i].row == row)
			return &l->texts[i];
	if (l->count == LIVE_MAX)
		return NULL;
	int fd = make_file(f, name);
	if (fd < 0)
		return NULL;
	l->texts[l->count] = (LiveText){ .row = row, .fd = fd };
	return &l->texts[l->count++];
}

static int write_locked(const Foreign *f, const ProcPath *at, const LiveText *t)
{
	CLEAN_FREE char *text = NULL;
	size_t len = 0;
	int r = make_text(f, at, &text, &len);

	if (r < 0)
		return r;
	if (pwrite(t->fd, text, len, 0) != (ssize_t)len || ftruncate(t->fd, (off_t)len) < 0)
		return bv_neg_errno();
	return 0;
}

int procfs_open_live(Foreign *f, const ProcPath *at, int *fd)
{
	LiveTexts *l = f->live;
	int r = -ENOMEM;

	if (at->may_block)
		pthread_mutex_lock(&l->lock);
	else if (pthread_mutex_trylock(&l->lock) != 0) /* one is being written */
		return -EINPROGRESS;
	LiveText *t = text_of_locked(f, at->row, at->name);
	if (t)
		r = write_locked(f, at, t);
	if (r == 0)
		r = foreign_reopen(f, t->fd, O_RDONLY, fd);
	if (r == 0) {
		t->held = true;
		atomic_store(&l->held, true);
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* The kernel gives a lease for writing only to who alone has the file open. */
static bool is_open_elsewhere(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return errno == EAGAIN;
	IGNORE_RESULT(fcntl(fd, F_SETLEASE, F_UNLCK));
	return false;
}

static void refresh_locked(const Foreign *f, LiveText *t)
{
	ProcPath at = { .row = t->row, .may_block = true, .dirfd = f->proc_fd };
	const char *slash;

	snprintf(at.rel, sizeof(at.rel), "%s", t->row->path);
	slash = strrchr(at.rel, '/');
	at.name = slash ? slash + 1 : at.rel;
	t->held = is_open_elsewhere(t->fd);
	if (t->held)
		IGNORE_RESULT(write_locked(f, &at, t)); /* the last text stays */
}

bool foreign_tick(Foreign *f)
{
	LiveTexts *l = f->live;
	uint64_t now = bv_now_coarse_ns();
	bool held = false;

	if (!atomic_load(&l->held))
		return false;
	pthread_mutex_lock(&l->lock);
	if (now - l->ticked < LIVE_PERIOD) {
		held = true;
	} else {
		l->ticked = now;
		for (size_t i = 0; i < l->count; i++) {
			if (l->texts[i].held)
				refresh_locked(f, &l->texts[i]);
			held |= l->texts[i].held;
		}
		atomic_store(&l->held, held);
	}
	pthread_mutex_unlock(&l->lock);
	return held;
}
