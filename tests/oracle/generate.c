/* tests/oracle/generate.c - random operations: mostly on what is there, often on what is not, sometimes on what should not be. */
#include "tests/oracle/oracle.h"

#include <linux/fs.h>
#include <sys/xattr.h>

static const char *const names[] = {"f1", "f2", "f3", "f4", "d1", "d2", "d3", "d4", "s1", "sd", "h1", "up", "n1", "n2", "loop1", "dangling",
				    "fifo", "new\nline", "bad\xff\xfe", "."};

typedef struct Gen {
	const World *w;
	uint64_t *random;
	KeepFn *keep;
} Gen;

static unsigned below(Gen *g, unsigned n)
{
	return random_below(g->random, n);
}

static bool chance(Gen *g, unsigned percent)
{
	return below(g, 100) < percent;
}

static void existing(Gen *g, char *buf, size_t size)
{
	if (g->w->npaths)
		snprintf(buf, size, "%s", g->w->paths[below(g, (unsigned)g->w->npaths)]);
	else
		snprintf(buf, size, "%s", names[below(g, ARRAY_LEN(names))]);
}

static void add(char *buf, size_t size, const char *text)
{
	size_t len = strlen(buf);

	if (len < size)
		snprintf(buf + len, size - len, "%s", text);
}

static void some_names(Gen *g, char *buf, size_t size, unsigned count)
{
	buf[0] = 0;
	for (unsigned i = 0; i <= count; i++) {
		if (i)
			add(buf, size, "/");
		add(buf, size, names[below(g, ARRAY_LEN(names))]);
	}
}

/* Another name in the directory of an existing path, so that creations land at all depths. */
static void sibling(Gen *g, char *buf, size_t size)
{
	existing(g, buf, size);
	char *slash = strrchr(buf, '/');
	if (slash)
		slash[1] = 0;
	else
		buf[0] = 0;
	add(buf, size, names[below(g, ARRAY_LEN(names))]);
}

static const char *strange(Gen *g)
{
	static char text[4400];

	switch (below(g, 9)) {
	case 0:
		return "";
	case 1:
		return ".";
	case 2:
		return "..";
	case 3:
		return "d1/../d2/.."; /* not the root by its name: a rename of that would take it from under both sides */
	case 4: /* one byte too long for a name */
		memset(text, 'N', 256);
		text[256] = 0;
		return text;
	case 5: /* as long as a name may be */
		memset(text, 'L', 255);
		text[255] = 0;
		return text;
	case 6: /* too long for a path */
		for (int i = 0; i < 4200; i++)
			text[i] = i % 2 ? '/' : 'd';
		text[4200] = 0;
		return text;
	case 7: /* long, but a path */
		for (int i = 0; i < 4000; i++)
			text[i] = i % 2 ? '/' : '.';
		memcpy(text + 4000, "f1", 3);
		return text;
	default:
		return "f1/";
	}
}

static const char *path(Gen *g)
{
	static char buf[4400];
	char copy[4400];
	unsigned kind = below(g, 100);

	if (kind < 50)
		existing(g, buf, sizeof buf);
	else if (kind < 70)
		sibling(g, buf, sizeof buf);
	else if (kind < 93)
		some_names(g, buf, sizeof buf, below(g, 3));
	else if (kind < 97)
		existing(g, buf, sizeof buf), add(buf, sizeof buf, "/"), add(buf, sizeof buf, names[below(g, ARRAY_LEN(names))]);
	else
		return g->keep(strange(g));
	if (chance(g, 3))
		add(buf, sizeof buf, "/");
	if (chance(g, 2))
		add(buf, sizeof buf, "/.");
	if (chance(g, 2))
		add(buf, sizeof buf, "/../f2");
	if (chance(g, 1))
		add(buf, sizeof buf, "/..");
	if (chance(g, 8)) {
		snprintf(copy, sizeof copy, "@%s%.4300s", chance(g, 10) ? "//" : "/", buf);
		return g->keep(copy);
	}
	return g->keep(buf);
}

static const char *start(Gen *g, int *at)
{
	static char buf[200];

	*at = chance(g, 15) ? (int)below(g, DIR_SLOTS) : -1;
	if (*at < 0 || chance(g, 10))
		return path(g);
	some_names(g, buf, sizeof buf, below(g, 2));
	return g->keep(buf);
}

static const char *link_text(Gen *g)
{
	static char buf[300];

	switch (below(g, 6)) {
	case 0:
		snprintf(buf, sizeof buf, "@/%s", names[below(g, ARRAY_LEN(names))]);
		break;
	case 1:
		snprintf(buf, sizeof buf, "../%s", names[below(g, ARRAY_LEN(names))]);
		break;
	case 2:
		snprintf(buf, sizeof buf, "%s/%s", names[below(g, ARRAY_LEN(names))], names[below(g, ARRAY_LEN(names))]);
		break;
	case 3:
		snprintf(buf, sizeof buf, "%s/", names[below(g, ARRAY_LEN(names))]);
		break;
	default:
		snprintf(buf, sizeof buf, "%s", chance(g, 2) ? "" : names[below(g, ARRAY_LEN(names))]);
	}
	return g->keep(buf);
}

static mode_t mode(Gen *g)
{
	static const mode_t usual[] = {0644, 0755, 0600, 0700, 0777, 0666};
	static const mode_t rare[] = {0444, 0555, 0, 01777, 02775, 04755, 06711, 0070, 0007, 0300};

	/* An ordinary user is soon locked out of a tree with such directories. */
	return chance(g, geteuid() == 0 ? 30 : 3) ? rare[below(g, ARRAY_LEN(rare))] : usual[below(g, ARRAY_LEN(usual))];
}

static int open_flags(Gen *g)
{
	static const int access[] = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
	int flags = access[below(g, ARRAY_LEN(access))];

	if (chance(g, 4))
		return O_PATH | (chance(g, 50) ? O_NOFOLLOW : 0) | (chance(g, 20) ? O_DIRECTORY : 0);
	if (chance(g, 4))
		return O_TMPFILE | (chance(g, 90) ? O_RDWR : O_RDONLY) | (chance(g, 20) ? O_EXCL : 0);
	flags |= chance(g, 40) ? O_CREAT : 0;
	flags |= chance(g, 15) ? O_EXCL : 0;
	flags |= chance(g, 20) ? O_TRUNC : 0;
	flags |= chance(g, 15) ? O_APPEND : 0;
	flags |= chance(g, 5) ? O_DIRECTORY : 0;
	flags |= chance(g, 10) ? O_NOFOLLOW : 0;
	flags |= chance(g, 3) ? O_NOATIME : 0;
	return flags;
}

static unsigned resolve_flags(Gen *g)
{
	static const unsigned flags[] = {RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV};

	return chance(g, 90) ? 0 : flags[below(g, ARRAY_LEN(flags))];
}

static int64_t size(Gen *g)
{
	switch (below(g, 8)) {
	case 0:
		return 0;
	case 1:
		return below(g, 600000);
	default:
		return below(g, 9000);
	}
}

static const char *xattr_name(Gen *g)
{
	static const char *const usual[] = {"user.one", "user.two", "user.three", "user.dir"};
	static const char *const rare[] = {"trusted.t", "security.test", "user.", "foo", "", "user.other"};

	return chance(g, 85) ? usual[below(g, ARRAY_LEN(usual))] : rare[below(g, ARRAY_LEN(rare))];
}

static int64_t owner(Gen *g)
{
	static const int64_t ids[] = {0, 1, 1000, 65534, -1, -1};

	if (geteuid() != 0 && chance(g, 60))
		return chance(g, 50) ? (int64_t)geteuid() : -1;
	return ids[below(g, ARRAY_LEN(ids))];
}

static const struct {
	OpKind kind;
	unsigned weight;
} weights[] = {
	{OP_OPEN, 150},	    {OP_OPENDIR, 25},	 {OP_CLOSE, 15},	 {OP_READ, 30},	     {OP_PREAD, 20},	{OP_WRITE, 40},	     {OP_PWRITE, 40},
	{OP_FTRUNCATE, 15}, {OP_FSTAT, 25},	 {OP_FCHMOD, 8},	 {OP_FCHOWN, 8},     {OP_FUTIMENS, 8},	{OP_FSETXATTR, 5},   {OP_FSYNC, 1},
	{OP_FLINK, 12},	    {OP_REOPEN_FD, 12},	 {OP_MKDIR, 60},	 {OP_RMDIR, 40},     {OP_UNLINK, 60},	{OP_RENAME, 120},    {OP_LINK, 40},
	{OP_SYMLINK, 30},   {OP_READLINK, 15},	 {OP_MKNOD, 12},	 {OP_CHMOD, 30},     {OP_CHOWN, 20},	{OP_UTIMENS, 25},    {OP_TRUNCATE, 25},
	{OP_SETXATTR, 20},  {OP_GETXATTR, 10},	 {OP_LISTXATTR, 10},	 {OP_REMOVEXATTR, 12}, {OP_ACCESS, 15},	{OP_STAT, 60},	     {OP_LIST, 20},
	{OP_LIST_START, 8}, {OP_LIST_STEP, 20},	 {OP_LIST_END, 8},	 {OP_COMMIT, 1},     {OP_REOPEN, 3},
};

static OpKind kind(Gen *g)
{
	unsigned total = 0, pick;

	for (size_t i = 0; i < ARRAY_LEN(weights); i++)
		total += weights[i].weight;
	pick = below(g, total);
	for (size_t i = 0;; i++) {
		if (pick < weights[i].weight)
			return weights[i].kind;
		pick -= weights[i].weight;
	}
}

static void generate_change(Gen *g, Op *op)
{
	switch (op->kind) {
	case OP_RENAME: {
		static const int flags[] = {0, 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE};
		op->p2 = start(g, &op->at2);
		op->flags = flags[below(g, ARRAY_LEN(flags))];
		break;
	}
	case OP_LINK:
		op->p2 = start(g, &op->at2);
		op->flags = chance(g, 30) ? AT_SYMLINK_FOLLOW : 0;
		break;
	case OP_SYMLINK:
		op->p2 = link_text(g);
		break;
	case OP_MKNOD: {
		static const mode_t types[] = {S_IFIFO, S_IFIFO, S_IFREG, 0, S_IFSOCK, S_IFDIR};
		op->mode = types[below(g, ARRAY_LEN(types))] | mode(g);
		break;
	}
	case OP_UTIMENS:
	case OP_FUTIMENS:
		op->a = chance(g, 20) ? -1 : chance(g, 20) ? -2 : (int64_t)below(g, 100000000);
		op->b = chance(g, 20) ? -1 : chance(g, 20) ? -2 : (int64_t)below(g, 100000000);
		if (op->a == -2 && op->b == -2)
			op->b = 5;
		break;
	case OP_TRUNCATE:
	case OP_FTRUNCATE:
		op->a = size(g);
		break;
	case OP_SETXATTR:
	case OP_FSETXATTR:
		op->p2 = g->keep(xattr_name(g));
		op->a = chance(g, 5) ? 0 : chance(g, 2) ? 65537 : (int64_t)below(g, 60);
		op->flags = chance(g, 20) ? XATTR_CREATE : chance(g, 20) ? XATTR_REPLACE : 0;
		op->b = (int64_t)below(g, 1000);
		break;
	case OP_GETXATTR:
	case OP_REMOVEXATTR:
		op->p2 = g->keep(xattr_name(g));
		op->a = chance(g, 20) ? 0 : chance(g, 10) ? 3 : 100;
		break;
	case OP_CHOWN:
	case OP_FCHOWN:
		op->a = owner(g);
		op->b = owner(g);
		break;
	default:
		break;
	}
}

void op_generate(const World *w, uint64_t *random, KeepFn *keep, Op *op)
{
	Gen gen = {w, random, keep}, *g = &gen;

	*op = (Op){.kind = kind(g), .at1 = -1, .at2 = -1};
	op->p1 = start(g, &op->at1);
	op->p2 = "";
	op->slot = (int)below(g, op->kind == OP_OPENDIR || (op->kind >= OP_LIST_START && op->kind <= OP_LIST_END) ? DIR_SLOTS : FILE_SLOTS);
	op->mode = mode(g);
	op->a = size(g);
	op->b = (int64_t)below(g, chance(g, 10) ? 8000 : 500);
	if (op->kind == OP_OPEN || op->kind == OP_REOPEN_FD) {
		op->flags = open_flags(g);
		op->resolve = op->kind == OP_OPEN ? resolve_flags(g) : 0;
		if (op->kind == OP_REOPEN_FD)
			op->flags &= O_ACCMODE | O_APPEND | O_TRUNC | O_DIRECTORY;
	} else if (op->kind == OP_ACCESS) {
		op->flags = (int)below(g, 8);
	} else if (op->kind == OP_FLINK) {
		op->p2 = start(g, &op->at2);
	} else {
		op->flags = chance(g, 40) ? AT_SYMLINK_NOFOLLOW : 0;
	}
	generate_change(g, op);
}

void op_times(const Op *op, struct timespec times[2])
{
	const int64_t values[2] = {op->a, op->b};

	for (int i = 0; i < 2; i++) {
		times[i] = (struct timespec){.tv_sec = 1200000000 + values[i], .tv_nsec = values[i] * 7 % 1000000000};
		if (values[i] < 0)
			times[i] = (struct timespec){.tv_nsec = values[i] == -1 ? UTIME_NOW : UTIME_OMIT};
	}
}

static const char *const kind_names[OP_KINDS] = {
	"open",	   "opendir", "close",	 "read",    "pread",	"write",    "pwrite",	"ftruncate", "fstat",	  "fchmod",
	"fchown",  "futimens", "fsetxattr", "fsync", "flink",	"reopen-fd", "mkdir",	"rmdir",     "unlink",	  "rename",
	"link",	   "symlink", "readlink", "mknod",   "chmod",	"chown",    "utimens",	"truncate",  "setxattr",  "getxattr",
	"listxattr", "removexattr", "access", "stat", "list",	"list-start", "list-step", "list-end", "commit",	  "reopen",
};

static void escape(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 12 < size; text++) {
		if (n > 70) {
			n += (size_t)snprintf(buf + n, size - n, "..(%zu more)", strlen(text));
			break;
		}
		if ((unsigned char)*text >= ' ' && (unsigned char)*text < 127)
			buf[n++] = *text;
		else
			n += (size_t)snprintf(buf + n, size - n, "\\x%02x", (unsigned char)*text);
	}
	buf[n] = 0;
}

const char *op_text(const Op *op, char *buf, size_t size)
{
	char p1[128], p2[128];

	escape(op->p1, p1, sizeof p1);
	escape(op->p2, p2, sizeof p2);
	snprintf(buf, size, "%s at=%d \"%s\" at=%d \"%s\" slot=%d flags=0%o resolve=%u mode=0%o a=%jd b=%jd", kind_names[op->kind], op->at1, p1, op->at2,
		 p2, op->slot, (unsigned)op->flags, op->resolve, (unsigned)op->mode, (intmax_t)op->a, (intmax_t)op->b);
	return buf;
}
