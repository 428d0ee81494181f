/* sys_exec.c - execve and execveat (design section 5).
 *
 * CONTINUE only if the kernel, resolving the guest's own string, arrives at the very object that the view resolved, that object is an untouched host
 * file, and so is every interpreter it names ("#!" line, PT_INTERP). Otherwise the call is rewritten: a path that the kernel can
 * execute, and for "#!" the new argument list, with the script's virtual path. Landlock is the floor if the guest changes its memory in between: it can at
 * worst run a host program it could run anyway. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"
#include "supervisor/vcred.h"

#include <elf.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define BANG_MAX 256	/* BINPRM_BUF_SIZE */
#define BANG_DEPTH 5	/* more is ELOOP: exec_binprm() */
#define MAX_ARGS 0x20000 /* pointers copied for a rewritten script */

/* One step of a "#!" line. */
typedef struct Bang {
	char interp[BANG_MAX];
	char arg[BANG_MAX]; /* empty: none */
} Bang;

typedef struct ExecPlan {
	CowExec target;		/* what the kernel executes in the end */
	bool native;		/* the kernel does the same by itself */
	unsigned n_bangs;
	Bang bangs[BANG_DEPTH]; /* outermost script first */
} ExecPlan;

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* fs/binfmt_script.c: spaces and tabs around, the rest of the line is one argument. 1: parsed, 0: no script, or -ENOEXEC. */
static int parse_bang(const char *buf, size_t len, Bang *out)
{
	if (len < 2 || buf[0] != '#' || buf[1] != '!')
		return 0;
	const char *end = memchr(buf, '\n', len);
	bool cut = !end && len == BANG_MAX;
	if (!end)
		end = buf + (cut ? len - 1 : len); /* the kernel's buffer keeps its last byte for the NUL */
	const char *p = buf + 2;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	const char *name = p;
	while (p < end && *p != ' ' && *p != '\t' && *p != 0)
		p++;
	if (p == name || (cut && p == end))
		return -ENOEXEC;
	memcpy(out->interp, name, (size_t)(p - name));
	out->interp[p - name] = 0;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	memcpy(out->arg, p, (size_t)(end - p));
	out->arg[end - p] = 0;
	return 1;
}

/* From the beginning of the file in head[0..len) if it is in there, else from the file. */
static bool read_part(int fd, const char *head, size_t len, uint64_t at, void *buf, size_t size)
{
	if (at > len || size > len - at)
		return pread(fd, buf, size, (off_t)at) == (ssize_t)size;
	memcpy(buf, head + at, size);
	return true;
}

/* PT_INTERP of an ELF file. 1: there is one (its header in *ph at *ph_at, its text in buf), 0: none or no ELF. */
static int elf_interp(int fd, const char *head, size_t len, Elf64_Phdr *ph, uint64_t *ph_at, char *buf, size_t size)
{
	Elf64_Ehdr eh;

	if (len < sizeof eh || memcmp(head, ELFMAG, SELFMAG) != 0 || head[EI_CLASS] != ELFCLASS64)
		return 0;
	memcpy(&eh, head, sizeof eh);
	if (eh.e_phentsize != sizeof *ph)
		return 0;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		*ph_at = eh.e_phoff + i * sizeof *ph;
		if (!read_part(fd, head, len, *ph_at, ph, sizeof *ph))
			return 0;
		if (ph->p_type != PT_INTERP)
			continue;
		if (ph->p_filesz < 2 || ph->p_filesz > size || !read_part(fd, head, len, ph->p_offset, buf, ph->p_filesz))
			return 0;
		return buf[ph->p_filesz - 1] == 0;
	}
	return 0;
}

/* A copy of the program whose PT_INTERP names `interp`: for a program interpreter that only the sandbox has. The text is appended; the kernel
 * finds it by file offset. */
static int patched_copy(Call *call, ExecPlan *plan, const char *interp, Elf64_Phdr ph, uint64_t ph_at)
{
	static atomic_uint counter;
	char path[PATH_MAX];
	const char *slash = strrchr(plan->target.host_path, '/');
	unsigned n = atomic_fetch_add(&counter, 1);
	struct stat st;

	if (fstat(plan->target.fd, &st) < 0)
		return bv_neg_errno();
	snprintf(path, sizeof path, "%s/i%u", call->sup->exec_dir, n);
	int r = bv_mkdir_all(path);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "%s/i%u/%.255s", call->sup->exec_dir, n, slash ? slash + 1 : "a.out");
	CLEAN_FD int out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	off_t from = 0;
	while (out >= 0 && from < st.st_size)
		if (copy_file_range(plan->target.fd, &from, out, NULL, (size_t)(st.st_size - from), 0) <= 0)
			return bv_neg_errno();
	ph.p_offset = (uint64_t)st.st_size;
	ph.p_filesz = ph.p_memsz = strlen(interp) + 1;
	if (out < 0 || pwrite(out, interp, ph.p_filesz, st.st_size) != (ssize_t)ph.p_filesz || pwrite(out, &ph, sizeof ph, (off_t)ph_at) != sizeof ph)
		return bv_neg_errno();
	snprintf(plan->target.host_path, sizeof plan->target.host_path, "%s", path);
	plan->native = false;
	return 0;
}

/* Is the program interpreter the same file for the kernel and in the view? If not, the program is executed from a patched copy. */
static int check_elf_interp(Call *call, ExecPlan *plan, const char *head, size_t len)
{
	char interp[PATH_MAX];
	CowExec ld = {.fd = -1};
	Elf64_Phdr ph;
	uint64_t ph_at;

	if (!elf_interp(plan->target.fd, head, len, &ph, &ph_at, interp, sizeof interp))
		return 0;
	int r = cowfs_exec_place(call->sup->fs, &call->req, NULL, interp, 0, call->sup->exec_dir, &ld);
	if (r < 0)
		return r;
	if (!(ld.lower && same_file(ld.fd, interp)))
		r = patched_copy(call, plan, ld.host_path, ph, ph_at);
	close(ld.fd);
	return r;
}

/* Follows "#!" lines from the target to the ELF file in the end. */
static int follow_bangs(Call *call, ExecPlan *plan)
{
	char head[1024]; /* mostly the headers and the name of the program interpreter, too */

	for (;;) {
		Bang bang;
		ssize_t len = pread(plan->target.fd, head, sizeof head, 0);
		if (len < 0)
			return bv_neg_errno();
		int r = parse_bang(head, MIN((size_t)len, BANG_MAX), &bang);
		if (r == 0)
			return check_elf_interp(call, plan, head, (size_t)len);
		if (r < 0)
			return plan->native ? 0 : r; /* the kernel says ENOEXEC itself */
		if (plan->n_bangs == BANG_DEPTH)
			return -ELOOP;
		plan->bangs[plan->n_bangs++] = bang;
		CLEAN_LOC CowLoc cwd = {0};
		if (bang.interp[0] != '/') {
			r = guest_cwd_loc(call->sup, call->tid, &cwd);
			if (r < 0)
				return r;
		}
		CowExec next = {.fd = -1};
		r = cowfs_exec_place(call->sup->fs, &call->req, cwd.kind ? &cwd : NULL, bang.interp, 0, call->sup->exec_dir, &next);
		if (r < 0)
			return r;
		close(plan->target.fd);
		plan->target = next;
		if (!next.lower || bang.interp[0] != '/' || !same_file(next.fd, bang.interp))
			plan->native = false;
	}
}

/* The words of the rewritten argument list in front of the guest's own argv[1..]: for nested scripts the innermost interpreter first. */
static size_t bang_words(const ExecPlan *plan, const char *script, const char *words[2 * BANG_DEPTH + 1])
{
	size_t n = 0;

	for (unsigned i = plan->n_bangs; i-- > 0;) {
		words[n++] = plan->bangs[i].interp;
		if (plan->bangs[i].arg[0])
			words[n++] = plan->bangs[i].arg;
	}
	words[n++] = script;
	return n;
}

static int read_argv(Call *call, uint64_t addr, uint64_t **out, size_t *count)
{
	size_t room = 0, n = 0;
	CLEAN_FREE uint64_t *v = NULL;

	for (; addr; n++) {
		if (!BV_GROW(v, n, room))
			return -ENOMEM;
		int r = mem_read(call, addr + 8 * n, &v[n], 8);
		if (r < 0)
			return r;
		if (v[n] == 0)
			break;
		if (n >= MAX_ARGS)
			return -E2BIG;
	}
	*out = TAKE_PTR(v);
	*count = n;
	return 0;
}

/* Copies text with its NUL to data + at, which has room for it; returns the place behind. */
static uint64_t put_string(char *data, uint64_t at, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(data + at, text, len);
	return at + len;
}

/* Lays out: [argv pointers][path][words...]; pointers to our words are relocated, the guest's own stay. */
static int rewrite_script(Call *call, const ExecPlan *plan, const char *script, uint64_t argv, uint64_t envp)
{
	const char *words[2 * BANG_DEPTH + 1];
	uint32_t relocs[2 * BANG_DEPTH + 1];
	CLEAN_FREE uint64_t *old = NULL;
	CLEAN_FREE char *data = NULL;
	size_t n_words = bang_words(plan, script, words), n_old, len;

	int r = read_argv(call, argv, &old, &n_old);
	if (r < 0)
		return r;
	size_t rest = n_old ? n_old - 1 : 0, slots = n_words + rest + 1;
	len = slots * 8 + strlen(plan->target.host_path) + 1;
	for (size_t i = 0; i < n_words; i++)
		len += strlen(words[i]) + 1;
	data = calloc(1, len);
	if (!data)
		return -ENOMEM;
	uint64_t at = slots * 8;
	uint64_t path_at = at;
	at = put_string(data, at, plan->target.host_path);
	for (size_t i = 0; i < n_words; i++) {
		memcpy(data + 8 * i, &at, 8);
		relocs[i] = (uint32_t)(8 * i);
		at = put_string(data, at, words[i]);
	}
	if (rest)
		memcpy(data + 8 * n_words, old + 1, 8 * rest);
	const Rewrite rw = {.nr = SYS_execve, .args = {path_at, 0, envp}, .arg_offsets = 3, .data = data, .len = len, .relocs = relocs, .n_relocs = n_words};
	return call_rewrite(call, &rw);
}

static int rewrite_plain(Call *call, const ExecPlan *plan, uint64_t argv, uint64_t envp)
{
	const Rewrite rw = {.nr = SYS_execve,
			    .args = {0, argv, envp},
			    .arg_offsets = 1,
			    .data = plan->target.host_path,
			    .len = strlen(plan->target.host_path) + 1};

	return call_rewrite(call, &rw);
}

static void note_link(Call *call, const ExecPlan *plan)
{
	size_t n = strlen(call->sup->exec_dir);

	if (strncmp(plan->target.host_path, call->sup->exec_dir, n) == 0)
		task_link(call->sup, plan->target.host_path);
}

/* A memory file named by path, as in /proc/self/fd/N: it has no place in the view, the kernel finds it by the guest's descriptor. */
static int exec_memory(Call *call, const PathArg *p, uint64_t argv, uint64_t envp)
{
	CLEAN_LOC CowLoc file = {0};
	char path[PATH_MAX], text[16];

	if (cowfs_resolve(call->sup->fs, &call->req, patharg_at(p), p->path, 0, 0, &file) < 0 || file.kind != COW_FOREIGN)
		return -EACCES;
	size_t len = strlen(file.path);
	if (len < 2 || file.path[len - 1] != '/') /* cowfs.h, follow(): such a path is an object without a place */
		return -EACCES;
	file.path[len - 1] = 0;
	ssize_t n = readlinkat(call->sup->proc_fd, file.path, text, sizeof text);
	if (n < 7 || memcmp(text, "/memfd:", 7) != 0)
		return -EACCES;
	if (strncmp(p->path, "/proc/self/fd/", 14) == 0)
		return CALL_CONTINUE;
	snprintf(path, sizeof path, "/proc/%s", file.path);
	const Rewrite rw = {.nr = SYS_execve, .args = {0, argv, envp}, .arg_offsets = 1, .data = path, .len = strlen(path) + 1};
	return call_rewrite(call, &rw);
}

static int do_exec(Call *call, int dirfd, uint64_t path, uint64_t argv, uint64_t envp, int flags)
{
	CLEAN_PATH PathArg p = {0};
	ExecPlan plan = {.target = {.fd = -1}};
	char kernel_path[PATH_MAX + 48];

	int r = patharg_get(call, dirfd, path, flags & AT_EMPTY_PATH, &p);
	if (r == -EXDEV)
		return CALL_CONTINUE; /* a memfd: anonymous memory of the guest's own, by descriptor */
	if (r == 0)
		r = cowfs_exec_place(call->sup->fs, &call->req, patharg_at(&p), p.path, walk_flags(flags), call->sup->exec_dir, &plan.target);
	if (r == -EACCES)
		return exec_memory(call, &p, argv, envp);
	if (r < 0)
		return r;
	if (p.path[0] == '/')
		snprintf(kernel_path, sizeof kernel_path, "%s", p.path);
	else if (dirfd == AT_FDCWD)
		snprintf(kernel_path, sizeof kernel_path, "/proc/%d/cwd/%s", call->tid, p.path);
	else
		snprintf(kernel_path, sizeof kernel_path, "/proc/%d/fd/%d%s%s", call->tid, dirfd, p.path[0] ? "/" : "", p.path);
	/* By descriptor the kernel executes what the guest has open, upper or lower. */
	plan.native = p.path[0] == 0 || (plan.target.lower && same_file(plan.target.fd, kernel_path));
	r = follow_bangs(call, &plan);
	/* The kernel names the process after the file, which must not be the blob. (It did so after the descriptor's number before 6.14 and releases of older ones that
	 * have taken this over: which those are no release tells.) */
	if (p.path[0] == 0 && plan.n_bangs == 0 && !plan.target.lower)
		plan.native = false;
	if (r == 0 && plan.native) {
		r = CALL_CONTINUE;
	} else if (r == 0) {
		note_link(call, &plan);
		if (plan.n_bangs == 0) {
			r = rewrite_plain(call, &plan, argv, envp);
		} else if (dirfd == AT_FDCWD || p.path[0] == '/') {
			r = rewrite_script(call, &plan, p.path, argv, envp);
		} else { /* the kernel's name for it: fs/exec.c alloc_bprm() */
			snprintf(kernel_path, sizeof kernel_path, "/dev/fd/%d%s%s", dirfd, p.path[0] ? "/" : "", p.path);
			r = rewrite_script(call, &plan, kernel_path, argv, envp);
		}
	}
	bv_close_fd(&plan.target.fd);
	return r;
}

int sys_execve(Call *call)
{
	if (task_take_expected(call))
		return CALL_CONTINUE;
	vcred_before_exec(call);
	return do_exec(call, AT_FDCWD, call->args[0], call->args[1], call->args[2], 0);
}

int sys_execveat(Call *call)
{
	int flags = ARG_INT(call, 4);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	vcred_before_exec(call);
	return do_exec(call, ARG_FD(call, 0), call->args[1], call->args[2], call->args[3], flags);
}
