/* cgroup_leaf.c - see cgroup.h: making, keeping and removing leaves. */
#include "supervisor/cgroup_internal.h"

#include "base/fdpass.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PREFIX "bvisor-"
#define MAKE_TRIES 20
#define REMOVE_TRIES 1000 /* of 5 ms: what was killed takes a moment to be gone */

/* ---- files of a group ---- */

int cgroup_write(const CgroupLeaf *leaf, const char *file, const char *text)
{
	CLEAN_FD int fd = openat(leaf->dir, file, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? bv_neg_errno() : bv_write_full(fd, text, strlen(text));
}

int cgroup_write_number(const CgroupLeaf *leaf, const char *file, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	return cgroup_write(leaf, file, text);
}

uint64_t cgroup_number(const CgroupLeaf *leaf, const char *file, const char *key, uint64_t otherwise)
{
	CLEAN_FREE char *text = NULL;
	size_t len = key ? strlen(key) : 0;

	if (bv_read_file_at(leaf->dir, file, 65536, &text) < 0)
		return otherwise;
	const char *at = text;
	while (key && at && (strncmp(at, key, len) != 0 || at[len] != ' ')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return otherwise;
	at += key ? len + 1 : 0;
	return *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : otherwise;
}

/* What the group itself allows: bytes, tasks, thousandths of a processor; UINT64_MAX: no bound. */
static uint64_t bound_of(const char *group, CgroupKind kind, bool v2)
{
	static const char *const files[2][CGROUP_KINDS] = {{"memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max", NULL}, {"memory.max", "cpu.max", "pids.max", NULL}};
	CgroupLeaf at = {.dir = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	CLEAN_FREE char *text = NULL;
	uint64_t bound = UINT64_MAX, period = 100000;

	if (at.dir >= 0 && files[v2][kind])
		bound = cgroup_number(&at, files[v2][kind], NULL, UINT64_MAX);
	if (kind == CGROUP_CPU && bound != UINT64_MAX) {
		if (!v2)
			period = cgroup_number(&at, "cpu.cfs_period_us", NULL, period);
		else if (bv_read_file_at(at.dir, "cpu.max", 64, &text) > 0 && strchr(text, ' '))
			period = strtoull(strchr(text, ' '), NULL, 10);
		bound = period ? bound * 1000 / period : UINT64_MAX;
	}
	bv_close_fd(&at.dir);
	return bound;
}

/* Cuts the last component off; false: it was the root of the hierarchy, and stays. */
static bool go_up(char *group, const char *mount)
{
	char *slash = strrchr(group, '/');

	if (strlen(group) <= strlen(mount) || !slash)
		return false;
	*slash = '\0';
	return true;
}

static uint64_t ceiling_of(const CgroupPlace *place, CgroupKind kind)
{
	CLEAN_FREE char *at = strdup(place->own);
	uint64_t least = UINT64_MAX;

	for (bool more = at; more; more = go_up(at, place->mount)) {
		uint64_t bound = bound_of(at, kind, place->v2);
		least = MIN(least, bound);
	}
	return least;
}

/* ---- leaves ---- */

static bool is_locked_leaf(const CgroupLeaf *leaf)
{
	struct stat ours, named;

	return flock(leaf->dir, LOCK_EX | LOCK_NB) == 0 && fstat(leaf->dir, &ours) == 0 && fstatat(leaf->parent, leaf->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* What a supervisor has left that was killed together with its keeper. One with processes in it stays: they are being killed. */
static void sweep(int parent)
{
	CLEAN_FD int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return;
	fd = -1; /* belongs to d */
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		CLEAN_FD int leaf = openat(parent, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (leaf >= 0 && flock(leaf, LOCK_EX | LOCK_NB) == 0)
			unlinkat(parent, e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

/* Between its making and its lock, somebody else's sweep may take it for a leftover. */
static int make_leaf(const char *place, bool v2, const char *name, CgroupLeaf *leaf)
{
	CLEAN_FD int parent = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0)
		return bv_neg_errno();
	sweep(parent);
	for (unsigned i = 0; i < MAKE_TRIES; i++) {
		*leaf = (CgroupLeaf){.v2 = v2, .parent = parent, .dir = -1};
		snprintf(leaf->name, sizeof leaf->name, PREFIX "%s-%d%s%.0u", name, getpid(), i ? "-" : "", i);
		if (mkdirat(parent, leaf->name, 0755) < 0 && errno != EEXIST)
			return bv_neg_errno();
		leaf->dir = openat(parent, leaf->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (leaf->dir >= 0 && is_locked_leaf(leaf)) {
			leaf->path = bv_asprintf("%s/%s", place, leaf->name);
			leaf->parent = TAKE_FD(parent);
			return leaf->path ? 0 : -ENOMEM;
		}
		bv_close_fd(&leaf->dir);
	}
	return -EBUSY;
}

static void release_leaf(CgroupLeaf *leaf)
{
	bv_close_fd(&leaf->dir);
	bv_close_fd(&leaf->parent);
	free(leaf->path);
}

/* ---- where: v1 ---- */

static int add_v1(Cgroup *g, CgroupKind kind, const CgroupPlace *place, const char *name)
{
	for (size_t i = 0; i < g->count; i++) { /* two controllers in one hierarchy */
		size_t len = strlen(place->own);
		if (strncmp(g->leaves[i].path, place->own, len) == 0 && strcmp(g->leaves[i].path + len + 1, g->leaves[i].name) == 0) {
			g->of[kind] = &g->leaves[i];
			return 0;
		}
	}
	CgroupLeaf *leaf = &g->leaves[g->count];
	int r = make_leaf(place->own, false, name, leaf);
	if (r == 0) {
		g->of[kind] = leaf;
		g->count++;
		return 0;
	}
	g->why[kind] = bv_asprintf("no control group can be made in %s: %s; it has to belong to this user", place->own, strerror(-r));
	return g->why[kind] ? 0 : -ENOMEM;
}

/* ---- where: v2 ---- */

static unsigned bits(unsigned set)
{
	return (unsigned)__builtin_popcount(set);
}

/* Only the root of the hierarchy, which has no type, may have processes and children with controllers. Any other group with processes would become a threaded one by handing on pids or cpu, and its
 * children could not be entered. */
static bool can_have_leaves(int group)
{
	CLEAN_FREE char *type = NULL, *members = NULL;

	if (faccessat(group, ".", W_OK, AT_EACCESS) < 0 || faccessat(group, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return false;
	if (bv_read_file_at(group, "cgroup.type", 64, &type) < 0)
		return true;
	return strcmp(type, "domain\n") == 0 && bv_read_file_at(group, "cgroup.procs", 16 << 20, &members) == 0;
}

/* Which of the controllers a child of this group would have: they are handed on from now on, if that may be. */
static unsigned hand_on(const char *group, unsigned kinds)
{
	CgroupLeaf at = {.dir = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	CLEAN_FREE char *given = NULL;
	unsigned got = 0;
	char text[32];

	bool may = at.dir >= 0 && can_have_leaves(at.dir) && bv_read_file_at(at.dir, "cgroup.subtree_control", 4096, &given) >= 0;
	for (int k = 0; may && k < CGROUP_KINDS; k++) {
		if (!(kinds >> k & 1))
			continue;
		const char *word = cgroup_word((CgroupKind)k, true);
		snprintf(text, sizeof text, "+%s", word);
		if (cgroup_has_word(given, word, ' ') || cgroup_write(&at, "cgroup.subtree_control", text) == 0)
			got |= 1U << k;
	}
	bv_close_fd(&at.dir);
	return got;
}

static unsigned bounded_kinds(const char *group)
{
	unsigned set = 0;

	for (int k = 0; k < CGROUP_KINDS; k++)
		if (bound_of(group, (CgroupKind)k, true) != UINT64_MAX)
			set |= 1U << k;
	return set;
}

/* The nearest group with most of the controllers; who leaves a group with limits takes these along, or does not go there. */
static char *choose_v2(const CgroupPlace *place, unsigned kinds, unsigned *got)
{
	CLEAN_FREE char *at = strdup(place->own);
	char *best = NULL;
	unsigned left = 0;

	*got = 0;
	for (bool more = at; more && *got != kinds; more = go_up(at, place->mount)) {
		unsigned given = hand_on(at, kinds | left);
		if ((given & left) == left && bits(given & kinds) > bits(*got)) {
			free(best);
			best = strdup(at);
			*got = best ? given & kinds : 0;
		}
		left |= bounded_kinds(at);
	}
	return best;
}

static int copy_bounds(const CgroupLeaf *leaf, const char *from)
{
	static const char *const files[] = {"memory.max", "pids.max", "cpu.max"};
	CLEAN_FD int dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? bv_neg_errno() : 0;

	for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++) {
		CLEAN_FREE char *text = NULL, *ours = NULL;
		if (bv_read_file_at(dir, files[i], 64, &text) <= 0 || strncmp(text, "max", 3) == 0)
			continue;
		if (bv_read_file_at(leaf->dir, files[i], 64, &ours) > 0 && strncmp(ours, "max", 3) != 0 && strtoull(ours, NULL, 10) <= strtoull(text, NULL, 10))
			continue; /* of an inner group, and stricter */
		r = cgroup_write(leaf, files[i], text);
	}
	return r;
}

static int add_v2(Cgroup *g, unsigned kinds, const CgroupPlace *place, const char *name)
{
	unsigned got;
	CLEAN_FREE char *chosen = choose_v2(place, kinds, &got);
	CgroupLeaf *leaf = &g->leaves[g->count];
	int r = chosen ? make_leaf(chosen, true, name, leaf) : -EACCES;

	if (r == 0) {
		g->count++;
		CLEAN_FREE char *at = strdup(place->own);
		while (at && r == 0 && strcmp(at, chosen) != 0) {
			r = copy_bounds(leaf, at);
			if (!go_up(at, place->mount))
				break;
		}
	}
	for (int k = 0; k < CGROUP_KINDS; k++) {
		if (r == 0 && (kinds & got) >> k & 1) {
			g->of[k] = leaf;
		} else if (kinds >> k & 1) {
			g->why[k] = bv_asprintf("no control group from %s upwards may be used%s%s; `systemd-run --user --scope -p Delegate=yes bvisor ...` gives it one", place->own,
						r == -EACCES || r == 0 ? "" : ": ", r == -EACCES || r == 0 ? "" : strerror(-r));
			if (!g->why[k])
				return -ENOMEM;
		}
	}
	return 0;
}

int cgroup_make(const CgroupSource *source, unsigned kinds, const char *name, Cgroup *out)
{
	CgroupPlace unified = {0};
	unsigned in_unified = 0;
	int r = 0;

	*out = (Cgroup){.alive = -1};
	for (int k = 0; k < CGROUP_KINDS && r == 0; k++) {
		CgroupPlace place = {0};
		out->ceiling[k] = UINT64_MAX;
		if (!(kinds >> k & 1))
			continue;
		if (cgroup_find(source, (CgroupKind)k, &place) < 0) {
			out->why[k] = bv_asprintf("no control group with the controller %s is mounted here", cgroup_word((CgroupKind)k, true));
			r = out->why[k] ? 0 : -ENOMEM;
			continue;
		}
		out->ceiling[k] = ceiling_of(&place, (CgroupKind)k);
		if (place.v2) {
			cgroup_place_release(&unified);
			unified = place;
			in_unified |= 1U << k;
		} else {
			r = add_v1(out, (CgroupKind)k, &place, name);
			cgroup_place_release(&place);
		}
	}
	if (r == 0 && in_unified)
		r = add_v2(out, in_unified, &unified, name);
	cgroup_place_release(&unified);
	return r;
}

int cgroup_doors(const Cgroup *group, int fds[CGROUP_KINDS])
{
	for (size_t i = 0; i < group->count; i++) {
		fds[i] = openat(group->leaves[i].dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (fds[i] < 0) {
			int r = bv_neg_errno();
			while (i-- > 0)
				bv_close_fd(&fds[i]);
			return r;
		}
	}
	return (int)group->count;
}

/* ---- the end ---- */

static void kill_members(int leaf)
{
	CLEAN_FREE char *text = NULL;

	if (bv_read_file_at(leaf, "cgroup.procs", 16 << 20, &text) < 0)
		return;
	for (char *at = text, *end; *at; at = end) {
		long pid = strtol(at, &end, 10);
		if (end == at)
			break;
		if (pid > 0)
			kill((pid_t)pid, SIGKILL);
		end += *end == '\n';
	}
}

/* True: it is gone. */
static bool remove_leaf(int parent, const char *name)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	CLEAN_FD int leaf = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leaf >= 0)
		kill_members(leaf);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static void remove_leaves(const Cgroup *g, const int *parents)
{
	for (unsigned i = 0; i < REMOVE_TRIES; i++) {
		size_t gone = 0;
		for (size_t k = 0; k < g->count; k++)
			gone += remove_leaf(parents[k], g->leaves[k].name);
		if (gone == g->count)
			return;
		usleep(5000);
	}
}

/* What removing and killing take; a keeper of root has no more. */
static void keep_powers(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	const uint32_t keep = 1U << CAP_DAC_OVERRIDE | 1U << CAP_KILL;

	if (syscall(SYS_capget, &h, d) < 0)
		return;
	d[0].effective &= keep;
	d[0].permitted &= keep;
	d[0].inheritable = d[1].effective = d[1].permitted = d[1].inheritable = 0;
	syscall(SYS_capset, &h, d);
}

/* A process for each connection that comes. */
static void make_senders(const Sender *sender, int end, int door)
{
	char byte;

	for (int sock = -1; bv_recv_fds(end, &byte, 1, &sock, 1) > 0; bv_close_fd(&sock))
		if (sock >= 0 && door >= 0 && fork() == 0)
			sender_main(sender, sock, door);
}

/* Root's are spared when memory is short: without the keeper, groups may be left, and without the sender, messages are lost. Others cannot have that. */
static void be_spared(void)
{
	CLEAN_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		IGNORE_RESULT(bv_write_full(fd, "-999", 4));
}

static _Noreturn void keeper_main(const Cgroup *g, int end, const Sender *sender)
{
	int fds[CGROUP_KINDS + 2] = {end};
	size_t n = 1;

	for (size_t i = 0; i < g->count; i++)
		fds[n++] = g->leaves[i].parent;
	int door = sender ? openat(g->of[CGROUP_MEMORY]->dir, "cgroup.procs", O_WRONLY | O_CLOEXEC) : -1;
	if (door >= 0)
		fds[n++] = door;
	prctl(PR_SET_NAME, "bvisor-cgroup", 0, 0, 0);
	setsid();
	be_spared();
	keep_powers();
	signal(SIGCHLD, SIG_IGN); /* nobody asks how a sender has ended */
	if (bv_keep_fds(fds, n) < 0) /* not even the locks of the leaves stay open here */
		_exit(1);
	make_senders(sender, fds[0], door >= 0 ? fds[n - 1] : -1);
	remove_leaves(g, fds + 1);
	_exit(0);
}

int cgroup_keep(Cgroup *group, const Sender *sender)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return bv_neg_errno();
	pid_t pid = fork();
	if (pid == 0)
		keeper_main(group, ends[0], sender);
	int r = pid < 0 ? bv_neg_errno() : 0;
	close(ends[0]);
	if (r < 0)
		close(ends[1]);
	else
		group->alive = ends[1];
	return r;
}

void cgroup_remove(Cgroup *group)
{
	int parents[CGROUP_KINDS];

	for (size_t i = 0; i < group->count; i++)
		parents[i] = group->leaves[i].parent;
	remove_leaves(group, parents);
	for (size_t i = 0; i < group->count; i++)
		release_leaf(&group->leaves[i]);
	for (int k = 0; k < CGROUP_KINDS; k++)
		free(TAKE_PTR(group->why[k]));
	bv_close_fd(&group->alive);
	group->count = 0;
}
