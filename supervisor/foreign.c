/* supervisor/foreign.c - life of the foreign file systems: copies the environment, then lays the pins over the view. */
#include "supervisor/foreign_internal.h"

#include <fcntl.h>

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
		r = open_host_dir("/proc", &f->proc_fd);
	if (r == 0)
		r = open_host_dir("/sys", &f->sys_fd);
	return r == 0 ? sysfs_init(f) : r;
}

int foreign_init(const ForeignEnv *env, Foreign **out)
{
	Foreign *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
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
	sysfs_release(f);
	bv_close_fd(&f->proc_fd);
	bv_close_fd(&f->sys_fd);
	terminals_free(f->terminals);
	ident_free(f->ident);
	proctree_free(f->tree);
	for (char **dir = f->private_dirs; dir && *dir; dir++)
		free(*dir);
	free(f->private_dirs);
	free(f);
}

ProcTree *foreign_proctree(Foreign *f)
{
	return f->tree;
}
