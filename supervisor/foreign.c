/* supervisor/foreign.c - life of the foreign file systems: copies the environment, then lays the pins over the view. */
#include "supervisor/foreign_internal.h"

#include <fcntl.h>
#include <sys/stat.h>

static int copy_private_dirs(Foreign *f, const ForeignEnv *env)
{
	size_t n = 0, at = 0;

	while (env->private_dirs && env->private_dirs[n])
		n++;
	f->private_dirs = calloc(n + 2, sizeof(*f->private_dirs));
	if (!f->private_dirs)
		return -ENOMEM;
	for (size_t i = 0; i <= n; i++) {
		const char *dir = i < n ? env->private_dirs[i] : env->scratch_dir;
		if (!dir || !*dir)
			continue;
		f->private_dirs[at] = strdup(dir);
		if (!f->private_dirs[at])
			return -ENOMEM;
		at++;
	}
	/* The caller's strings need not outlive this call. */
	f->env.private_dirs = NULL;
	f->env.scratch_dir = NULL;
	return 0;
}

static int open_host_dir(const char *path, int *fd)
{
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? bv_neg_errno() : 0;
}

static int make_parts(Foreign *f, const ForeignEnv *env)
{
	int r = copy_private_dirs(f, env);

	if (r == 0)
		r = proctree_new(env->init_pid, &f->tree);
	if (r == 0)
		r = ident_new(&f->ident);
	if (r == 0)
		r = terminals_new(&f->terminals);
	if (r == 0)
		r = live_new(&f->live);
	if (r == 0)
		r = open_host_dir("/proc", &f->proc_fd);
	if (r == 0)
		r = open_host_dir("/sys", &f->sys_fd);
	return r;
}

int foreign_init(const ForeignEnv *env, Foreign **out)
{
	Foreign *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->given_lock = malloc(sizeof(*f->given_lock));
	if (!f->given_lock) {
		free(f);
		return -ENOMEM;
	}
	pthread_mutex_init(f->given_lock, NULL);
	f->env = *env;
	f->proc_fd = f->sys_fd = -1;
	int r = make_parts(f, env);
	if (r == 0)
		r = cowfs_pin_foreign(env->fs, "/proc", &procfs_ops, f, &f->fs[FOREIGN_PROC]);
	if (r == 0)
		r = cowfs_pin_foreign(env->fs, "/sys", &sysfs_ops, f, &f->fs[FOREIGN_SYS]);
	if (r == 0)
		r = devfs_pin(f);
	if (r < 0) {
		foreign_free(f);
		return r;
	}
	*out = f;
	return 0;
}

void foreign_free(Foreign *f)
{
	if (!f)
		return;
	bv_close_fd(&f->proc_fd);
	bv_close_fd(&f->sys_fd);
	terminals_free(f->terminals);
	live_free(f->live);
	ident_free(f->ident);
	proctree_free(f->tree);
	for (char **dir = f->private_dirs; dir && *dir; dir++)
		free(*dir);
	free(f->private_dirs);
	pthread_mutex_destroy(f->given_lock);
	free(f->given_lock);
	free(f);
}

ProcTree *foreign_proctree(Foreign *f)
{
	return f->tree;
}

bool foreign_was_opened(Foreign *f)
{
	return ident_used(f->ident);
}

static bool is_known_given(const Foreign *f, dev_t dev, ino_t ino)
{
	bool found = false;

	pthread_mutex_lock(f->given_lock);
	for (size_t i = 0; i < GIVEN_MAX && !found; i++)
		found = f->given[i].ino == ino && f->given[i].dev == dev && ino;
	pthread_mutex_unlock(f->given_lock);
	return found;
}

bool foreign_is_given(const Foreign *f, const struct stat *st)
{
	if (f->env.is_given)
		return f->env.is_given(f->env.sup, st->st_dev, st->st_ino);
	return is_known_given(f, st->st_dev, st->st_ino);
}

int foreign_add_given(Foreign *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bv_neg_errno();
	if (S_ISCHR(st.st_mode)) { /* /dev/null is the same object for everybody */
		int r = foreign_add_terminal(f, fd);
		return r == -ENOTTY ? 0 : r;
	}
	if (S_ISDIR(st.st_mode) || is_known_given(f, st.st_dev, st.st_ino)) /* a directory is always the view's */
		return 0;
	pthread_mutex_lock(f->given_lock);
	f->given[f->given_next] = (Given){ .dev = st.st_dev, .ino = st.st_ino };
	f->given_next = (f->given_next + 1) % GIVEN_MAX;
	pthread_mutex_unlock(f->given_lock);
	return 0;
}
