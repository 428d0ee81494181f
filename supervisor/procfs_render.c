/* supervisor/procfs_render.c - texts of /proc/<pid> in which host names are replaced by the view's: maps, smaps, numa_maps, mounts,
 * mountinfo, mountstats.
 *
 * The host's file is read whole through the checked process directory, rewritten, and put into a sealed memory file: a regular
 * descriptor with pread, lseek and mmap. It shows the moment of open (see procfs.c). */
#include "supervisor/procfs_internal.h"

#include <fcntl.h>
#include <sys/mman.h>

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

/* Drops the mounts that lie in, or are made of, private directories. mountstats goes on over several lines after "device ...". */
int procfs_render_mounts(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	bool blocks = strcmp(at->name, "mountstats") == 0, drop = false;

	for (char *line; (line = strsep(&in, "\n")) && (in || *line);) {
		if (!blocks || strncmp(line, "device ", 7) == 0) {
			CLEAN_FREE char *plain = strdup(line);
			if (!plain)
				return -ENOMEM;
			unescape(plain);
			drop = foreign_is_private(f, plain);
		}
		if (!drop)
			fprintf(out, "%s\n", line);
	}
	return 0;
}

/* A read-only descriptor of a memory file with these bytes, which nobody can change any more. */
static int sealed_file(const char *name, const char *text, size_t len, const Foreign *f, int *fd)
{
	char own[40];
	CLEAN_FD int mem = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (mem < 0)
		return bv_neg_errno();
	int r = bv_write_full(mem, text, len);
	if (r < 0)
		return r;
	if (fchmod(mem, 0444) < 0 || fcntl(mem, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return bv_neg_errno();
	snprintf(own, sizeof(own), "self/fd/%d", mem); /* again, for a description of its own at position 0, read only */
	int opened = openat(f->proc_fd, own, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		return bv_neg_errno();
	*fd = opened;
	return 0;
}

int procfs_open_text(Foreign *f, const ProcPath *at, int *fd)
{
	CLEAN_FREE char *in = NULL;
	char *text = NULL;
	size_t len = 0;
	ssize_t n = bv_read_file_at(at->dirfd, at->rel, TEXT_MAX, &in);

	if (n < 0)
		return n == -ESRCH ? -ENOENT : (int)n;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	int r = at->row->render(f, at, in, out);
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		r = -ENOMEM;
	if (r == 0)
		r = sealed_file(at->name, text, len, f, fd);
	free(text);
	return r;
}
