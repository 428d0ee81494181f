/* The filter that is written out by hand and the one that libseccomp builds from the same table give the same verdict. */
#include "supervisor/filter.h"
#include "supervisor/table.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>

/* Classic BPF as far as seccomp programs use it. */
static uint32_t verdict(const struct sock_filter *prog, const struct seccomp_data *d)
{
	uint32_t acc = 0;

	for (unsigned pc = 0;; pc++) {
		const struct sock_filter *i = &prog[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&acc, (const char *)d + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += acc == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += acc > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += acc >= i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %#x", i->code);
		}
	}
}

static bool is_native(const Syscall *row, unsigned flags)
{
	return row->policy == POLICY_NATIVE || (row->where && !(flags & row->where));
}

static void add_rules(scmp_filter_ctx ctx, int nr, const ArgNative *a)
{
	const ArgNative *first = a->also ? a : NULL, *last = first ? first->also : a;

	for (unsigned v = 0; v < last->count; v++) {
		struct scmp_arg_cmp cmp[2] = {SCMP_CMP(last->arg, SCMP_CMP_MASKED_EQ, last->mask, last->values[v])};
		if (first)
			cmp[1] = SCMP_CMP(first->arg, SCMP_CMP_MASKED_EQ, first->mask, first->values[0]);
		int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, first ? 2 : 1, cmp);
		assert_true(r == 0 || r == -EEXIST);
	}
}

static struct sock_filter *libseccomp_program(unsigned flags)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_NOTIFY);

	assert_non_null(ctx);
	assert_int_equal(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), 0);
	for (size_t i = 0; i < syscall_count; i++) {
		const Syscall *row = &syscall_table[i];
		if (is_native(row, flags))
			assert_int_equal(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, row->nr, 0), 0);
		if (is_native(row, flags) || !row->native)
			continue;
		for (const ArgNative *a = row->native; a; a = a->otherwise)
			add_rules(ctx, row->nr, a);
	}
	int fd = memfd_create("filter", MFD_CLOEXEC);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	seccomp_release(ctx);
	off_t size = lseek(fd, 0, SEEK_END);
	struct sock_filter *prog = malloc((size_t)size);
	assert_int_equal(pread(fd, prog, (size_t)size, 0), size);
	close(fd);
	return prog;
}

static void compare(const struct sock_filter *ours, const struct sock_filter *theirs, const struct seccomp_data *d)
{
	uint32_t a = verdict(ours, d), b = verdict(theirs, d);

	if (a != b)
		fail_msg("call %d arch %#x args %#llx %#llx: %#x, libseccomp %#x", d->nr, d->arch, (unsigned long long)d->args[0],
			 (unsigned long long)d->args[1], a, b);
}

static uint32_t our_arch(void)
{
#if defined(__x86_64__)
	return AUDIT_ARCH_X86_64;
#else
	return AUDIT_ARCH_AARCH64;
#endif
}

/* The first of an alternative holds while those of the second are tried, and each value of all others. */
static void compare_row(const struct sock_filter *ours, const struct sock_filter *theirs, const Syscall *row)
{
	for (const ArgNative *way = row->native; way; way = way->otherwise) {
		struct seccomp_data d = {.nr = row->nr, .arch = our_arch()};
		for (const ArgNative *a = way; a; a = a->also)
			for (unsigned v = 0; v < a->count; v++) {
				uint64_t value = a->values[v];
				const uint64_t tries[] = {value + 1, value - 1, value | 1ULL << 32, value | 1ULL << 63, ~value, value ^ 4, value};
				for (size_t t = 0; t < ARRAY_LEN(tries); t++) {
					d.args[a->arg] = tries[t];
					compare(ours, theirs, &d);
				}
			}
	}
}

static void compare_all(unsigned flags)
{
	struct sock_filter *ours, *theirs = libseccomp_program(flags);
	unsigned short len;

	assert_int_equal(filter_build(flags, &ours, &len), 0);
	for (int nr = 0; nr < 1200; nr++) {
		const Syscall *row = syscall_find(nr);
		struct seccomp_data d = {.nr = nr, .arch = our_arch()};
		compare(ours, theirs, &d);
		if (!row || !row->native)
			continue;
		compare_row(ours, theirs, row);
	}
	free(ours);
	free(theirs);
}

static void every_call_gets_the_verdict_that_libseccomp_gives(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags <= FILTER_ALL; flags++)
		compare_all(flags);
}

static void foreign_calling_conventions_get_enosys(void **state)
{
	struct sock_filter *ours;
	unsigned short len;

	(void)state;
	assert_int_equal(filter_build(FILTER_ROOT, &ours, &len), 0);
	for (int nr = 0; nr < 600; nr++) {
		struct seccomp_data i386 = {.nr = nr, .arch = AUDIT_ARCH_I386};
		struct seccomp_data x32 = {.nr = nr | 0x40000000, .arch = our_arch()};
		assert_int_equal(verdict(ours, &i386), SECCOMP_RET_ERRNO | ENOSYS);
		assert_int_equal(verdict(ours, &x32), SECCOMP_RET_ERRNO | ENOSYS);
	}
	free(ours);
}

static void a_row_is_found_by_its_number_and_no_number_has_two(void **state)
{
	(void)state;
	for (size_t i = 0; i < syscall_count; i++) {
		const Syscall *row = &syscall_table[i];
		assert_ptr_equal(syscall_find(row->nr), row);
		assert_non_null(row->reason);
		assert_true(row->policy != POLICY_EMULATE || row->handler);
		assert_true(row->policy != POLICY_REFUSE || row->error > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_call_gets_the_verdict_that_libseccomp_gives),
	    cmocka_unit_test(foreign_calling_conventions_get_enosys),
	    cmocka_unit_test(a_row_is_found_by_its_number_and_no_number_has_two),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
