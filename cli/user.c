/* cli/user.c - --user UID:GID of root: from here on this process is that user, and so is all that it starts.
 *
 * The kernel itself then judges what guests do natively, what the supervisor opens for them, and what later looks at the sandbox find; nothing is left that a mistake could
 * give away. The program is executed anew, so that no memory of root's stays in a process that the user may look into. The sandbox is the user's: he has it
 * in his own store, and root names it with --user again. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORES "/var/lib/bvisor" /* of users without a home */

typedef struct User {
	uid_t uid;
	gid_t gid;
	const struct passwd *entry; /* NULL: the password file does not know him */
	bool group_given;
} User;

static char **own_argv;

void user_remember_argv(char **argv)
{
	own_argv = argv;
}

/* -1 is no id: it means "none" to the kernel. */
static bool parse_id(const char *text, unsigned *id)
{
	char *end = NULL;
	unsigned long n = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;

	if (!end || *end || n >= UINT32_MAX)
		return false;
	*id = (unsigned)n;
	return true;
}

static void parse_group(const Command *cmd, const char *text, const char *group, User *u)
{
	const struct group *entry = parse_id(group, &u->gid) ? NULL : getgrnam(group);

	if (!parse_id(group, &u->gid) && !entry)
		usage_error(cmd, "--user: '%s': there is no group '%s'", text, group);
	if (entry)
		u->gid = entry->gr_gid;
	u->group_given = true;
}

static User parse_user(const Command *cmd, const char *text)
{
	const char *colon = strchr(text, ':');
	char *name = xasprintf("%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	User u = {0};

	u.entry = parse_id(name, &u.uid) ? getpwuid(u.uid) : getpwnam(name);
	if (!parse_id(name, &u.uid) && !u.entry)
		usage_error(cmd, "--user: '%s': there is no user '%s'", text, name);
	if (u.entry) {
		u.uid = u.entry->pw_uid;
		u.gid = u.entry->pw_gid;
	}
	if (colon)
		parse_group(cmd, text, colon + 1, &u);
	else if (!u.entry)
		usage_error(cmd, "--user: user %s is not in the password file: give the group, too (%s:GID)", text, text);
	free(name);
	return u;
}

/* ---- his environment ---- */

static bool has_home(const User *u)
{
	struct stat st;

	return u->entry && stat(u->entry->pw_dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == u->uid;
}

/* Made by root, as the user may be unable to make a directory anywhere. */
static int make_store(const User *u, const char *path)
{
	struct stat st;

	if ((mkdir(STORES, 0711) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST))
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (st.st_uid != u->uid && (st.st_uid != 0 || fchown(fd, u->uid, u->gid) < 0))
		r = -EPERM;
	if (fd >= 0)
		close(fd);
	return r;
}

static void set_store(const User *u)
{
	if (getenv("BVISOR_HOME") || has_home(u))
		return;
	char *path = xasprintf(STORES "/%u", u->uid);
	int r = make_store(u, path);

	if (r < 0)
		exit(cli_fail("cannot make the store %s for user %u, who has no home: %s (it can be put elsewhere with BVISOR_HOME)", path, u->uid, strerror(-r)));
	setenv("BVISOR_HOME", path, 1);
	free(path);
}

/* Root's places and keys are not his; but for those of bvisor that somebody has named for this. */
static bool is_his(const char *entry)
{
	int withheld = bv_process_withholds(entry);

	return withheld == BV_WITHHELD_PLACE || (!withheld && strncmp(entry, "XDG_", 4) != 0);
}

static void set_user_environment(const User *u)
{
	size_t kept = 0;

	for (char **e = environ; *e; e++)
		if (is_his(*e))
			environ[kept++] = *e;
	environ[kept] = NULL;
	setenv("HOME", u->entry ? u->entry->pw_dir : "/", 1);
	if (u->entry) {
		setenv("USER", u->entry->pw_name, 1);
		setenv("LOGNAME", u->entry->pw_name, 1);
	} else {
		unsetenv("USER");
		unsetenv("LOGNAME");
	}
	set_store(u);
}

/* ---- becoming him ---- */

static bool is_user(const User *u)
{
	return getuid() == u->uid && geteuid() == u->uid && getgid() == u->gid && getegid() == u->gid;
}

/* With a group he is in that one alone. */
static int take_identity(const User *u)
{
	int r = u->group_given ? setgroups(0, NULL) : initgroups(u->entry->pw_name, u->gid);

	if (r < 0 || setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return -errno;
	return is_user(u) ? 0 : -EPERM;
}

void become_user(const Command *cmd, const char *text)
{
	const User u = parse_user(cmd, text);

	if (is_user(&u))
		return;
	if (geteuid() != 0)
		exit(cli_fail("--user %s: only root can run commands as somebody else", text));
	set_user_environment(&u);
	int r = take_identity(&u);
	if (r < 0)
		exit(cli_fail("--user %s: cannot become user %u, group %u: %s", text, u.uid, u.gid, strerror(-r)));
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what root has open is not his, either */
	execv("/proc/self/exe", own_argv); /* which meets the same option again, and finds that it is so */
	exit(cli_fail("--user %s: user %u cannot execute this program: %s", text, u.uid, strerror(errno)));
}
