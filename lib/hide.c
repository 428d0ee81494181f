/* lib/hide.c - what guests do not see unless the user grants it: secrets of the home directory, bvisor's own files, homes of others. */
#include "lib/internal.h"
#include "lib/mounts.h"
#include "lib/store.h"

#include "base/secret.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>

#define PASSWD_LINE 16384

/* Variables that name files with keys, tokens and passphrases. */
static const char *const secret_files[] = {"BVISOR_KEY_FILE", "BVISOR_PASSPHRASE_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
					   "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"};
static const char *const secrets[] = {".ssh", ".aws", ".gnupg", ".config/gcloud", ".config/bvisor", ".docker/config.json", ".kube", ".netrc"};

/* `show` of a path or anything above it uncovers it; `rw` only of the path itself: granting a home is not granting its keys. */
static bool is_uncovered(const char *path, const SandboxConfig *config)
{
	for (size_t i = 0; config->show && config->show[i]; i++)
		if (path_is_below(path, config->show[i]))
			return true;
	return strv_has((const char *const *)config->rw, path);
}

/* /dev, /proc and /sys of a sandbox are not the host's, so there is nothing of the host to hide in them. */
static int add_one(Strv *out, const char *path)
{
	if (path_is_below(path, "/dev") || path_is_below(path, "/proc") || path_is_below(path, "/sys") || strv_has((const char *const *)*out, path))
		return 0;
	return strv_add(out, path);
}

/* Adds the path as it is and as it resolves: a symlinked ~/.ssh leads to a place that must be hidden too. */
static int add_path(Strv *out, const char *path)
{
	char real[PATH_MAX];
	int r = add_one(out, path);

	return r == 0 && realpath(path, real) ? add_one(out, real) : r;
}

static int add_secrets(Strv *out, const char *home, const SandboxConfig *config)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(secrets) && r == 0; i++) {
		CLEAN_FREE char *joined = bv_asprintf("%s/%s", home, secrets[i]);
		CLEAN_FREE char *path = joined ? path_absolute(joined) : NULL;
		if (!path)
			return -ENOMEM;
		if (!is_uncovered(path, config))
			r = add_path(out, path);
	}
	return r;
}

/* What is not there has nothing to hide. */
static int add_named(const SandboxConfig *config, Strv *out)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(secret_files) && r == 0; i++) {
		const char *given = getenv(secret_files[i]);
		struct stat st;
		bool there = given && *given && stat(given, &st) == 0 && !S_ISDIR(st.st_mode);
		CLEAN_FREE char *path = there ? path_absolute(given) : NULL;
		if (path && !is_uncovered(path, config))
			r = add_path(out, path);
	}
	return r;
}

/* The user's home by the password file, for when $HOME is set elsewhere; without NSS, which may ask the network. NULL: not there. */
static char *home_on_record(void)
{
	FILE *file = fopen("/etc/passwd", "re");
	CLEAN_FREE char *line = malloc(PASSWD_LINE);
	struct passwd space, *entry = NULL;
	char *home = NULL;
	int rc = line ? 0 : ENOENT;

	/* ERANGE: a line that is too long, which is passed over. */
	while (file && (rc == 0 || rc == ERANGE) && ((rc = fgetpwent_r(file, &space, line, PASSWD_LINE, &entry)) != 0 || entry->pw_uid != geteuid()))
		entry = NULL;
	if (entry && entry->pw_dir && entry->pw_dir[0] == '/' && entry->pw_dir[1])
		home = strdup(entry->pw_dir);
	if (file)
		fclose(file);
	return home;
}

/* The store in its default place, if this one is elsewhere: other sandboxes are nobody's business. */
static int add_default_store(Strv *out, const char *home, const SandboxConfig *config)
{
	CLEAN_FREE char *path = bv_asprintf("%s/.local/share/bvisor", home);

	if (!path)
		return -ENOMEM;
	return access(path, F_OK) == 0 && !is_uncovered(path, config) ? add_path(out, path) : 0;
}

/* What the user trusts, and what bvisor does by default, is said there: a guest that could write it, or have it applied, would say it. */
static int add_settings(Strv *out, const SandboxConfig *config)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	CLEAN_FREE char *path = xdg && *xdg == '/' ? bv_asprintf("%s/bvisor", xdg) : NULL;
	CLEAN_FREE char *plain = path ? path_absolute(path) : NULL;

	return plain && !is_uncovered(plain, config) ? add_path(out, plain) : 0;
}

static int add_other_homes(Strv *out, const SandboxConfig *config)
{
	DIR *d = opendir("/home");
	struct dirent *e;
	int r = 0;

	while (d && r == 0 && (e = readdir(d))) {
		CLEAN_FREE char *path = e->d_name[0] == '.' ? NULL : bv_asprintf("/home/%s", e->d_name);
		if (path && faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) < 0 && errno == EACCES && !is_uncovered(path, config))
			r = strv_add(out, path);
	}
	if (d)
		closedir(d);
	return r;
}

/* What the host has bind-mounted is seen under each of its names. */
static int add_aliases(const Mounts *mounts, const SandboxConfig *config, Strv *out)
{
	CLEAN_STRV Strv aliases = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && (*out)[i]; i++)
		r = mounts_aliases(mounts, (*out)[i], &aliases);
	for (size_t i = 0; r == 0 && aliases && aliases[i]; i++)
		if (!is_uncovered(aliases[i], config))
			r = add_one(out, aliases[i]);
	return r;
}

/* Of /proc, /sys and /dev guests have views of their own. Another mount of the same, as a chroot has, would show them all processes of the host. */
static int add_kernel(const Mounts *mounts, Strv *out)
{
	CLEAN_STRV Strv points = NULL;
	int r = mounts_of_kernel(mounts, &points);

	for (size_t i = 0; r == 0 && points && points[i]; i++)
		r = add_one(out, points[i]);
	return r;
}

/* `all`: not only what has other names than those that are in the list. */
static int add_mounted(const SandboxConfig *config, bool all, Strv *out)
{
	Mounts *mounts;
	int r = mounts_read(&mounts);

	if (r < 0)
		return r;
	r = add_aliases(mounts, config, out);
	if (r == 0 && all)
		r = add_kernel(mounts, out);
	mounts_free(mounts);
	return r;
}

int hide_add_named(const SandboxConfig *config, Strv *out)
{
	int r = add_named(config, out);

	return r == 0 && *out ? add_mounted(config, false, out) : r;
}

int hide_list(const char *store, const SandboxConfig *config, Strv *out)
{
	const char *home = getenv("HOME");
	CLEAN_FREE char *recorded = home_on_record();
	CLEAN_FREE char *memory = backend_memory_root();
	CLEAN_STRV Strv list = NULL;
	int r = 0;

	if (home && home[0] == '/')
		r = add_secrets(&list, home, config);
	if (r == 0 && recorded && (!home || strcmp(home, recorded) != 0))
		r = add_secrets(&list, recorded, config);
	if (r == 0)
		r = add_named(config, &list);
	if (r == 0)
		r = add_settings(&list, config);
	if (r == 0 && home && home[0] == '/')
		r = add_default_store(&list, home, config);
	if (r == 0 && recorded)
		r = add_default_store(&list, recorded, config);
	if (r == 0)
		r = add_other_homes(&list, config);
	for (size_t i = 0; r == 0 && config->hide && config->hide[i]; i++)
		r = add_path(&list, config->hide[i]);
	if (r == 0)
		r = add_path(&list, store);
	if (r == 0 && memory && access(memory, F_OK) == 0)
		r = add_path(&list, memory);
	if (r == 0 && config->data_dir)
		r = add_path(&list, config->data_dir);
	if (r == 0)
		r = add_mounted(config, true, &list);
	if (r < 0)
		return r;
	*out = TAKE_PTR(list);
	return 0;
}

int bv_process_withholds(const char *variable)
{
	switch (secret_variable(variable)) {
	case SECRET_NONE: break;
	case SECRET_KEY: return BV_WITHHELD_KEY;
	case SECRET_PLACE: return BV_WITHHELD_PLACE;
	}
	return 0;
}
