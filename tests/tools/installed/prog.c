/* A user of the installed library: makes a sandbox, runs a command in it, prints what that printed. */
#include <bvisor/bvisor.h>
#include <stdio.h>

int main(void)
{
	BvError *err = NULL;
	BvSandbox *sandbox = NULL;
	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
	BvSpawnOptions spawn = BV_SPAWN_OPTIONS_INIT;
	const char *const argv[] = {"echo", "inside", NULL};
	BvOutput out;

	spawn.argv = argv;
	if (bv_sandbox_create(&create, &sandbox, &err) < 0 || bv_sandbox_exec(sandbox, &spawn, NULL, 0, 10000, &out, &err) < 0) {
		fprintf(stderr, "%s\n", bv_error_message(err));
		return 1;
	}
	fwrite(out.out, 1, out.out_len, stdout);
	bv_free(out.out);
	bv_free(out.err);
	bv_sandbox_close(sandbox);
	return out.status.exit_code;
}
