/* supervisor/devfs.c - /dev: an empty directory over the host's, with an allow-list of harmless devices pinned into it.
 *
 * No block device, console, kvm, fuse, net/tun or mqueue: a device node is a door to the host. What a guest makes in /dev (a file, a
 * link; device nodes are refused to everyone) is its own, and no change of the tree. /dev/shm starts empty and is the sandbox's own. */
#include "supervisor/foreign_internal.h"

static int pin_devices(Cowfs *fs)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };

	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		if (access(devices[i], F_OK) < 0)
			continue; /* a container without it: the guest does not have it either */
		int r = cowfs_pin_device(fs, devices[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pin_links(Cowfs *fs)
{
	static const struct {
		const char *path, *target;
	} links[] = {
		{ "/dev/fd", "/proc/self/fd" },
		{ "/dev/stdin", "/proc/self/fd/0" },
		{ "/dev/stdout", "/proc/self/fd/1" },
		{ "/dev/stderr", "/proc/self/fd/2" },
		{ "/dev/ptmx", "pts/ptmx" },
		{ "/dev/tty", "pts/tty" },
	};

	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		int r = cowfs_pin_symlink(fs, links[i].path, links[i].target);
		if (r < 0)
			return r;
	}
	return 0;
}

int devfs_pin(Foreign *f)
{
	Cowfs *fs = f->env.fs;
	int r = cowfs_pin_dir(fs, "/dev", 0755);

	if (r == 0)
		r = pin_devices(fs);
	if (r == 0)
		r = pin_links(fs);
	if (r == 0)
		r = cowfs_pin_dir(fs, "/dev/shm", 01777);
	if (r == 0)
		r = cowfs_pin_foreign(fs, "/dev/pts", &devpts_ops, f, &f->fs[FOREIGN_PTS]);
	return r;
}
