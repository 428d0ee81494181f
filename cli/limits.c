/* cli/limits.c - the limits of a sandbox as options: of every command that makes one. */
#include "cli/cli.h"

bool limit_option(const Command *cmd, LimitOptions *o, int option)
{
	BvLimits *l = &o->limits;

	switch (option) {
	case OPT_MEMORY: l->memory = parse_size(cmd, "--memory", optarg); break;
	case OPT_CPUS: l->cpus = parse_cpus(cmd, "--cpus", optarg); break;
	case OPT_PIDS: l->pids = parse_limit(cmd, "--pids", optarg); break;
	case OPT_IO_READ: l->io_read = parse_size(cmd, "--io-read", optarg); break;
	case OPT_IO_WRITE: l->io_write = parse_size(cmd, "--io-write", optarg); break;
	case OPT_DISK: l->disk = parse_size(cmd, "--disk", optarg); break;
	case OPT_DISK_FILES: l->disk_files = parse_limit(cmd, "--disk-files", optarg); break;
	case OPT_NOFILE: l->nofile = parse_limit(cmd, "--nofile", optarg); break;
	case OPT_BEST_EFFORT: l->flags |= BV_LIMITS_BEST_EFFORT; break;
	default: return false;
	}
	o->given = true;
	return true;
}

int limits_inherit(LimitOptions *o, BvSandbox *from, BvError **err)
{
	BvLimits theirs = BV_LIMITS_INIT, *l = &o->limits;
	int r = bv_sandbox_given_limits(from, &theirs, err);

	if (r < 0)
		return r;
	l->flags |= theirs.flags;
	l->cpus = l->cpus > 0 ? l->cpus : theirs.cpus;
	l->memory = l->memory ? l->memory : theirs.memory;
	l->pids = l->pids ? l->pids : theirs.pids;
	l->io_read = l->io_read ? l->io_read : theirs.io_read;
	l->io_write = l->io_write ? l->io_write : theirs.io_write;
	l->disk = l->disk ? l->disk : theirs.disk;
	l->disk_files = l->disk_files ? l->disk_files : theirs.disk_files;
	l->nofile = l->nofile ? l->nofile : theirs.nofile;
	return 0;
}
