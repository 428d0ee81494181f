/* diskmeter.c - see diskmeter.h. */
#include "supervisor/diskmeter.h"
#include "supervisor/proctree.h"
#include "supervisor/supervisor.h"

#include "base/maps.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define GROWING_MAX 64 /* bodies at a time; the others are found the next time */
#define GRACE_NS 5000000 /* to end after SIGXFSZ */
#define EXCESS ((uint64_t)64 << 20) /* beyond which nobody is spared who has a growing body open */
#define DOUBT_NS 20000000 /* until who writes is not to be told from who does not */
#define PATIENCE_NS 100000000 /* with who has a growing body open, and does not seem to write to it */

/* A process that could have written what is too much. */
typedef struct Writer {
	pid_t pid;
	uint64_t written;   /* by it, at the last look */
	uint64_t since;	    /* when it was found */
	uint64_t warned_at; /* when SIGXFSZ was sent; 0: it was not */
	bool is_new, here, active;
} Writer;

struct DiskMeter {
	Supervisor *sup;
	uint64_t limit; /* bytes */
	CowGrowing growing[GROWING_MAX];
	size_t n_growing;
	Writer *writers;
	size_t n_writers, writer_room;
	_Atomic uint64_t stopped;
};

int diskmeter_new(Supervisor *sup, uint64_t limit, DiskMeter **out)
{
	DiskMeter *m = calloc(1, sizeof *m);

	if (!m)
		return -ENOMEM;
	m->sup = sup;
	m->limit = limit;
	*out = m;
	return 0;
}

void diskmeter_free(DiskMeter *m)
{
	if (m)
		free(m->writers);
	free(m);
}

uint64_t diskmeter_stopped(DiskMeter *m)
{
	return atomic_load(&m->stopped);
}

static bool is_growing(const DiskMeter *m, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < m->n_growing; i++)
		if (m->growing[i].ino == ino && (m->growing[i].dev == dev || !dev))
			return true;
	return false;
}

/* "flags:" of fdinfo, in octal. */
static bool is_for_writing(int dir, const char *fd)
{
	char path[40];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "../fdinfo/%.16s", fd);
	if (bv_read_file_at(dir, path, 4096, &text) < 0)
		return false;
	const char *at = strstr(text, "flags:");
	return at && (strtoul(at + 6, NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool writes_by_descriptor(const DiskMeter *m, pid_t pid)
{
	char path[32];
	struct dirent *e;
	struct stat st;
	bool found = false;

	snprintf(path, sizeof path, "%d/fd", pid);
	int fd = openat(m->sup->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	while (d && !found && (e = readdir(d)))
		found = e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) == 0 && is_growing(m, st.st_dev, st.st_ino) && is_for_writing(fd, e->d_name);
	if (d)
		closedir(d);
	return found;
}

typedef struct Mappings {
	const DiskMeter *meter;
	bool found;
} Mappings;

static void look_at_mapping(void *ctx, const char *path, uint64_t ino, bool shared)
{
	Mappings *m = ctx;

	(void)path; /* the device is not known: another file with this number that is mapped shared would count, for one moment and only beyond the limit */
	m->found = m->found || (shared && is_growing(m->meter, 0, ino));
}

static bool writes_by_mapping(const DiskMeter *m, pid_t pid)
{
	Mappings found = {m, false};

	IGNORE_RESULT(maps_of_process(pid, look_at_mapping, &found));
	return found.found;
}

/* Bytes that the process has written, wherever to; 0: not known. */
static uint64_t written_by(const DiskMeter *m, pid_t pid)
{
	char path[32];
	CLEAN_FREE char *text = NULL;

	snprintf(path, sizeof path, "%d/io", pid);
	if (bv_read_file_at(m->sup->proc_fd, path, 4096, &text) < 0)
		return 0;
	const char *at = strstr(text, "wchar: ");
	return at ? strtoull(at + 7, NULL, 10) : 0;
}

static Writer *writer_of(DiskMeter *m, pid_t pid)
{
	for (size_t i = 0; i < m->n_writers; i++)
		if (m->writers[i].pid == pid)
			return &m->writers[i];
	if (!BV_GROW(m->writers, m->n_writers, m->writer_room))
		return NULL;
	m->writers[m->n_writers] = (Writer){.pid = pid, .since = bv_now_ns(), .is_new = true};
	return &m->writers[m->n_writers++];
}

static int note_writer(void *ctx, pid_t pid)
{
	DiskMeter *m = ctx;

	if (!writes_by_descriptor(m, pid) && !writes_by_mapping(m, pid))
		return 0;
	Writer *w = writer_of(m, pid);
	if (!w)
		return 0;
	uint64_t now = written_by(m, pid);
	w->here = true;
	w->active = !w->is_new && now != w->written;
	w->written = now;
	return 0;
}

static void stop(DiskMeter *m, Writer *w, uint64_t now, bool at_once)
{
	bool again = w->warned_at;

	if (again && !at_once && now - w->warned_at < GRACE_NS)
		return;
	atomic_fetch_add(&m->stopped, again ? 0 : 1); /* first: its end may be told as soon as it is sent */
	if (proctree_kill(m->sup->tree, w->pid, again || at_once ? SIGKILL : SIGXFSZ) < 0)
		atomic_fetch_sub(&m->stopped, again ? 0 : 1);
	w->warned_at = now;
}

/* Who has the body open, and has written something since the last time, is it. Else who stores into memory, or is in the middle of one large call, is among all of them. Those seen for the first
 * time are looked at once more, and who was sent a signal may take a moment to end. What the kernel says of bytes written is not all (splice), and others may be there for show: so after a while, or when there is much too much, each of them
 * counts. */
static void stop_writers(DiskMeter *m)
{
	uint64_t now = bv_now_ns();
	bool sure = false; /* somebody was found, or it is too soon */
	CowQuotaUsage usage;
	size_t kept = 0;

	cowfs_quota_usage(m->sup->fs, &usage);
	bool much = usage.bytes > m->limit + EXCESS;
	for (size_t i = 0; i < m->n_writers; i++) {
		if (!m->writers[i].here)
			continue;
		sure |= m->writers[i].active || m->writers[i].is_new || (m->writers[i].warned_at && now - m->writers[i].warned_at < PATIENCE_NS);
		m->writers[kept++] = m->writers[i];
	}
	m->n_writers = kept;
	for (size_t i = 0; i < m->n_writers; i++) {
		Writer *w = &m->writers[i];
		if (w->active || much || now - w->since > PATIENCE_NS || (!sure && now - w->since > DOUBT_NS))
			stop(m, w, now, much);
		w->is_new = w->here = false;
	}
}

unsigned diskmeter_look(DiskMeter *m)
{
	m->n_growing = GROWING_MAX;
	unsigned ms = cowfs_quota_look(m->sup->fs, m->growing, &m->n_growing);

	if (m->n_growing == 0)
		return ms;
	IGNORE_RESULT(proctree_list(m->sup->tree, note_writer, m));
	stop_writers(m);
	return MIN(ms, 2U);
}
