/* supervisor/procfs_net.c - /proc/<pid>/net: of the tables of sockets those that a process of the sandbox holds, of the counters nothing. Interfaces, addresses
 * and routes are as they are: they are what a guest's packets take, and netlink and ioctl tell the same.
 *
 * A socket that nobody holds any more (TIME_WAIT, the last packets of a closed one) has no owner that could be told: it is not shown. */
#include "supervisor/net_owner.h"
#include "supervisor/procfs_internal.h"


typedef struct Inodes {
	unsigned long long *items;
	size_t count, room;
} Inodes;

static int add_socket(void *ctx, pid_t pid, int fd, uint64_t ino)
{
	Inodes *list = ctx;

	(void)pid, (void)fd;
	if (!BV_GROW(list->items, list->count, list->room))
		return -ENOMEM;
	list->items[list->count++] = ino;
	return 0;
}

static int compare(const void *a, const void *b)
{
	unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;

	return (x > y) - (x < y);
}

static int collect(const Foreign *f, Inodes *out)
{
	Inodes list = { 0 };
	int r = proctree_sockets(f->tree, add_socket, &list);

	if (r < 0) {
		free(list.items);
		return r;
	}
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), compare);
	*out = list;
	return 0;
}

/* The column `number` of a line, or NULL. */
static char *column(char *line, int number)
{
	char *at = line + strspn(line, " ");

	for (; number > 0 && *at; number--) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return *at ? at : NULL;
}

static bool is_held(const Inodes *held, const char *text)
{
	unsigned long long inode = text ? strtoull(text, NULL, 10) : 0;

	return inode && held->count && bsearch(&inode, held->items, held->count, sizeof(inode), compare);
}

/* The name of a unix socket: in the view, and without what keeps sandboxes apart in the abstract name space (sys_sock.c). */
static void put_unix(const Foreign *f, char *line, FILE *out)
{
	char *path = column(line, 7), shown[PATH_MAX + 32] = "", prefix[32];

	if (path) {
		size_t len = (size_t)snprintf(prefix, sizeof(prefix), "@bv%x:", (unsigned)f->env.init_pid);
		if (strncmp(path, prefix, len) == 0)
			snprintf(shown, sizeof(shown), "@%s", path + len);
		else if (path[0] == '/' && strncmp(path, "/proc/", 6) != 0)
			foreign_guest_text(f, path, shown, sizeof(shown));
		*path = 0;
	}
	fprintf(out, "%s%s\n", line, shown);
}

/* An address of the sandbox's own as guests know it, in its place. */
static void show_end(const Foreign *f, const char *table, char *text)
{
	struct sockaddr_in6 a;
	uint32_t words[4];
	char shown[48];
	size_t n = 0;

	if (!text || !f->env.show_address || !net_parse_end(text, &a) || !f->env.show_address(f->env.sup, table[0] == 't' ? IPPROTO_TCP : IPPROTO_UDP, &a))
		return;
	memcpy(words, &a.sin6_addr, sizeof(words));
	for (size_t i = text[8] == ':' ? 3 : 0; i < 4; i++)
		n += (size_t)snprintf(shown + n, sizeof(shown) - n, "%08X", words[i]);
	n += (size_t)snprintf(shown + n, sizeof(shown) - n, ":%04X", ntohs(a.sin6_port));
	memcpy(text, shown, n);
}

/* Tables whose rows have the socket's inode in one column. */
int procfs_render_sockets(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	bool unix_names = strcmp(at->name, "unix") == 0;
	Inodes held = { 0 };

	if (!at->may_block)
		return -EINPROGRESS;
	int r = collect(f, &held);
	if (r < 0)
		return r;
	for (char *line = strsep(&in, "\n"), *title = line; line && (in || *line); line = strsep(&in, "\n")) {
		if (line == title)
			fprintf(out, "%s\n", line);
		else if (unix_names && is_held(&held, column(line, 6)))
			put_unix(f, line, out);
		else if (!unix_names && is_held(&held, column(line, 9))) {
			show_end(f, at->name, column(line, 1));
			show_end(f, at->name, column(line, 2));
			fprintf(out, "%s\n", line);
		}
	}
	free(held.items);
	return 0;
}

/* Every number that stands for itself becomes 0, in its place. */
int procfs_render_counters(const Foreign *f, const ProcPath *at, char *in, FILE *out)
{
	bool starts = false;

	(void)f, (void)at;
	for (char *c = in; *c;) {
		size_t n = starts ? strspn(c, "-0123456789") : 0;
		if (n) {
			fprintf(out, "%*d", (int)n, 0);
			c += n;
			starts = false;
		} else {
			starts = *c == ' ' || *c == '\t';
			putc(*c++, out);
		}
	}
	return 0;
}
