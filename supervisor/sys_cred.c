/* sys_cred.c - getuid, setuid and their kin for sandboxes that root started, or that have a fake root (see vcred.h). Sources: credentials(7), setuid(2), setresuid(2),
 * setgroups(2), kernel/sys.c. */
#include "supervisor/handlers.h"
#include "supervisor/sysargs.h"
#include "supervisor/vcred.h"

#include <grp.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MAX_GROUPS 65536

typedef struct Ids {
	unsigned r, e, s, fs;
} Ids;

typedef struct VcredSet {
	Ids uid, gid;
	CowCred access; /* fs ids and groups, for cowfs */
	bool keeps;	/* PR_SET_KEEPCAPS: the rights of root outlast the next change of all uids to others ... */
	bool kept;	/* ... and have, until the next exec */
	gid_t *groups;
} VcredSet;

struct VcredTable {
	pthread_mutex_t lock;
	atomic_uint count;
	_Atomic(VcredSet *) sets[VCRED_MAX]; /* [0] is what the supervisor is */
};

static void set_free(VcredSet *s)
{
	if (s)
		free(s->groups);
	free(s);
}

static VcredSet *set_copy(const VcredSet *from)
{
	VcredSet *s = malloc(sizeof *s);
	size_t size = from->access.ngroups * sizeof(gid_t);

	if (!s)
		return NULL;
	*s = *from;
	s->groups = malloc(size + 1);
	if (!s->groups) {
		free(s);
		return NULL;
	}
	if (size)
		memcpy(s->groups, from->access.groups, size);
	s->access = (CowCred){.uid = s->uid.fs, .gid = s->gid.fs, .ngroups = from->access.ngroups, .groups = s->groups};
	return s;
}

int vcred_new(const CowCred *start, VcredTable **out)
{
	VcredTable *t = calloc(1, sizeof *t);
	const VcredSet first = {.uid = {start->uid, start->uid, start->uid, start->uid}, .gid = {start->gid, start->gid, start->gid, start->gid}, .access = *start};
	VcredSet *copy = t ? set_copy(&first) : NULL;

	if (!copy) {
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	atomic_store(&t->sets[0], copy);
	atomic_store(&t->count, 1);
	*out = t;
	return 0;
}

void vcred_free(VcredTable *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < atomic_load(&t->count); i++)
		set_free(atomic_load(&t->sets[i]));
	pthread_mutex_destroy(&t->lock);
	free(t);
}

bool vcred_in_use(const VcredTable *t)
{
	return atomic_load(&t->count) > 1;
}

static const VcredSet *set_of(VcredTable *t, pid_t tid)
{
	struct rlimit lim;
	unsigned n = 0;

	if (vcred_in_use(t) && prlimit(tid, RLIMIT_RTTIME, NULL, &lim) == 0 && lim.rlim_cur >= VCRED_LIMIT_BASE &&
	    lim.rlim_cur < VCRED_LIMIT_BASE + atomic_load(&t->count))
		n = (unsigned)(lim.rlim_cur - VCRED_LIMIT_BASE);
	return atomic_load(&t->sets[n]);
}

const CowCred *vcred_of(VcredTable *t, pid_t tid)
{
	return &set_of(t, tid)->access;
}

void vcred_ids(VcredTable *t, pid_t tid, VcredIds *out)
{
	const VcredSet *s = set_of(t, tid);

	*out = (VcredIds){.uid = {s->uid.r, s->uid.e, s->uid.s, s->uid.fs}, .gid = {s->gid.r, s->gid.e, s->gid.s, s->gid.fs}, .access = &s->access};
}

static bool same_set(const VcredSet *a, const VcredSet *b)
{
	return memcmp(&a->uid, &b->uid, sizeof a->uid) == 0 && memcmp(&a->gid, &b->gid, sizeof a->gid) == 0 && a->access.ngroups == b->access.ngroups &&
	       memcmp(a->access.groups, b->access.groups, a->access.ngroups * sizeof(gid_t)) == 0 && a->keeps == b->keeps && a->kept == b->kept;
}

/* The number of an equal set, made if there is none. */
static int intern(VcredTable *t, const VcredSet *want)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&t->lock);
	unsigned n = atomic_load(&t->count);
	for (unsigned i = 0; i < n && r < 0; i++)
		if (same_set(atomic_load(&t->sets[i]), want))
			r = (int)i;
	if (r < 0 && n < VCRED_MAX) {
		VcredSet *copy = set_copy(want);
		r = copy ? (int)n : -ENOMEM;
		if (copy) {
			atomic_store(&t->sets[n], copy);
			atomic_store(&t->count, n + 1);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

static int become(Call *call, const VcredSet *want)
{
	struct rlimit lim;
	int n = intern(call->sup->vcreds, want);

	if (n < 0)
		return n;
	if (prlimit(call->tid, RLIMIT_RTTIME, NULL, &lim) < 0)
		return bv_neg_errno();
	lim.rlim_cur = VCRED_LIMIT_BASE + (unsigned)n;
	if (lim.rlim_max < lim.rlim_cur)
		return -EPERM; /* the host lowered the hard limit: nothing to carry it in */
	return prlimit(call->tid, RLIMIT_RTTIME, &lim, NULL) < 0 ? bv_neg_errno() : 0;
}

static const VcredSet *current_set(Call *call)
{
	return set_of(call->sup->vcreds, call->tid);
}

static bool privileged(const VcredSet *s)
{
	return s->uid.e == 0 || s->kept;
}

static bool has_root(const Ids *uid)
{
	return uid->r == 0 || uid->e == 0 || uid->s == 0;
}

/* ---- reading ---- */

int sys_getid(Call *call)
{
	const VcredSet *s = current_set(call);

	switch (call->nr) {
	case __NR_getuid:
		return (int)s->uid.r;
	case __NR_geteuid:
		return (int)s->uid.e;
	case __NR_getgid:
		return (int)s->gid.r;
	default:
		return (int)s->gid.e;
	}
}

int sys_getresid(Call *call)
{
	const VcredSet *s = current_set(call);
	const Ids *ids = call->nr == __NR_getresuid ? &s->uid : &s->gid;
	const unsigned three[3] = {ids->r, ids->e, ids->s};

	for (int i = 0; i < 3; i++) {
		int r = mem_write(call, call->args[i], &three[i], sizeof three[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int sys_getgroups(Call *call)
{
	const VcredSet *s = current_set(call);
	int size = ARG_INT(call, 0);

	if (size < 0 || (size && (size_t)size < s->access.ngroups))
		return -EINVAL;
	if (size == 0)
		return (int)s->access.ngroups;
	int r = mem_write(call, call->args[1], s->access.groups, s->access.ngroups * sizeof(gid_t));
	return r < 0 ? r : (int)s->access.ngroups;
}

/* ---- changing ---- */

static bool is_one_of(unsigned id, const Ids *ids)
{
	return id == ids->r || id == ids->e || id == ids->s;
}

/* setresuid/gid: -1 leaves an id as it is. */
static int set_res(const VcredSet *s, Ids *ids, unsigned r, unsigned e, unsigned sv)
{
	const unsigned want[3] = {r, e, sv};

	for (int i = 0; i < 3; i++)
		if (want[i] != (unsigned)-1 && !privileged(s) && !is_one_of(want[i], ids))
			return -EPERM;
	if (r != (unsigned)-1)
		ids->r = r;
	if (e != (unsigned)-1)
		ids->e = e;
	if (sv != (unsigned)-1)
		ids->s = sv;
	ids->fs = ids->e;
	return 0;
}

static int set_re(const VcredSet *s, Ids *ids, unsigned r, unsigned e)
{
	const Ids old = *ids;

	if (!privileged(s)) {
		if (r != (unsigned)-1 && r != old.r && r != old.e)
			return -EPERM;
		if (e != (unsigned)-1 && !is_one_of(e, &old))
			return -EPERM;
	}
	if (r != (unsigned)-1)
		ids->r = r;
	if (e != (unsigned)-1)
		ids->e = e;
	if (r != (unsigned)-1 || (e != (unsigned)-1 && e != old.r))
		ids->s = ids->e;
	ids->fs = ids->e;
	return 0;
}

static int set_one(const VcredSet *s, Ids *ids, unsigned id)
{
	if (id == (unsigned)-1)
		return -EINVAL;
	if (privileged(s))
		ids->r = ids->s = id;
	else if (id != ids->r && id != ids->s)
		return -EPERM;
	ids->e = ids->fs = id;
	return 0;
}

int sys_setid(Call *call)
{
	const VcredSet *old = current_set(call);
	VcredSet next = *old;
	unsigned a = (unsigned)call->args[0], b = (unsigned)call->args[1], c = (unsigned)call->args[2];
	bool user = call->nr == __NR_setuid || call->nr == __NR_setreuid || call->nr == __NR_setresuid;
	Ids *ids = user ? &next.uid : &next.gid;
	int r;

	if (call->nr == __NR_setuid || call->nr == __NR_setgid)
		r = set_one(old, ids, a);
	else if (call->nr == __NR_setreuid || call->nr == __NR_setregid)
		r = set_re(old, ids, a, b);
	else
		r = set_res(old, ids, a, b, c);
	if (user && has_root(&old->uid) && !has_root(&next.uid))
		next.kept = old->keeps;
	return r < 0 ? r : become(call, &next);
}

/* setpriv(1) changes its uids before its gids and groups. The kernel notes it, too, which means nothing to who has no capability. */
int sys_keepcaps(Call *call)
{
	VcredSet next;

	if (call->args[1] > 1)
		return -EINVAL;
	if (!call->sup->emulates_ids)
		return CALL_CONTINUE;
	next = *current_set(call);
	next.keeps = call->args[1];
	int r = become(call, &next);
	return r < 0 ? r : CALL_CONTINUE;
}

void vcred_before_exec(Call *call)
{
	VcredSet next;

	if (!vcred_in_use(call->sup->vcreds))
		return;
	next = *current_set(call);
	if (!next.keeps && !next.kept)
		return;
	next.keeps = next.kept = false;
	IGNORE_RESULT(become(call, &next)); /* it is no boundary */
}

/* Never fail: the previous id is the answer, also when nothing was changed. */
int sys_setfsid(Call *call)
{
	const VcredSet *old = current_set(call);
	VcredSet next = *old;
	Ids *ids = call->nr == __NR_setfsuid ? &next.uid : &next.gid;
	unsigned id = (unsigned)call->args[0], before = ids->fs;

	if (id != (unsigned)-1 && (privileged(old) || is_one_of(id, ids) || id == ids->fs)) {
		ids->fs = id;
		IGNORE_RESULT(become(call, &next)); /* as documented: the caller asks again to see */
	}
	return (int)before;
}

int sys_setgroups(Call *call)
{
	const VcredSet *old = current_set(call);
	VcredSet next = *old;
	int n = ARG_INT(call, 0);

	if (!privileged(old))
		return -EPERM;
	if (n < 0 || n > MAX_GROUPS)
		return -EINVAL;
	CLEAN_FREE gid_t *groups = calloc((size_t)n + 1, sizeof *groups);
	if (!groups)
		return -ENOMEM;
	int r = mem_read(call, call->args[1], groups, (size_t)n * sizeof *groups);
	if (r < 0)
		return r;
	next.access.ngroups = (size_t)n;
	next.access.groups = groups;
	return become(call, &next);
}
