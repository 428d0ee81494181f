#include "supervisor/filter.h"
#include "supervisor/table.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>

static int add_row(scmp_filter_ctx ctx, const Syscall *row)
{
	if (row->policy == POLICY_NATIVE)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, row->nr, 0);
	if (row->policy != POLICY_EMULATE || !row->native)
		return 0; /* the default: notify */
	for (unsigned i = 0; i < row->native->count; i++) {
		int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, row->nr, 1,
					 SCMP_CMP(row->native->arg, SCMP_CMP_MASKED_EQ, row->native->mask, row->native->values[i]));
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

/* libseccomp writes programs to a descriptor only. */
static int export_program(scmp_filter_ctx ctx, struct sock_filter **out, unsigned short *len)
{
	CLEAN_FD int fd = memfd_create("filter", MFD_CLOEXEC);
	CLEAN_FREE struct sock_filter *prog = NULL;

	if (fd < 0)
		return bv_neg_errno();
	int r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	off_t size = lseek(fd, 0, SEEK_END);
	prog = malloc((size_t)size);
	if (!prog)
		return -ENOMEM;
	if (pread(fd, prog, (size_t)size, 0) != (ssize_t)size)
		return -EIO;
	*len = (unsigned short)((size_t)size / sizeof *prog);
	*out = TAKE_PTR(prog);
	return 0;
}

int filter_build(struct sock_filter **out, unsigned short *len)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_NOTIFY);

	if (!ctx)
		return -ENOMEM;
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < syscall_count; i++)
		r = add_row(ctx, &syscall_table[i]);
	if (r == 0)
		r = export_program(ctx, out, len);
	seccomp_release(ctx);
	return r;
}
