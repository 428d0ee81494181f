/* run [-a] [-i TEXT] COMMAND [ARGUMENT...]: runs a command in a new sandbox, shows what it changed, and with -a makes the changes on this machine. With -i the command finds TEXT in the file that
 * $INPUT names.
 *
 *	cc -o run run.c $(pkg-config --cflags --libs bvisor)
 *	./run sh -c 'echo hello > greeting'
 *
 * It exits with the command's exit code, 128 and its signal, or 125 if the sandbox failed. */
#include <bvisor/bvisor.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT "/tmp/run-input"

static int show_change(void *ctx, const BvChange *change)
{
	(void)ctx;
	printf("%c %s\n", (char)change->kind, change->path);
	return 0;
}

static int show_left(void *ctx, const BvApplyItem *item)
{
	(void)ctx;
	if (item->result == BV_CONFLICT || item->result == BV_APPLY_FAILED)
		fprintf(stderr, "run: %s is left as it is: %s\n", item->path, item->reason ? item->reason : "");
	return 0;
}

/* Runs it with our own stdin, stdout and stderr, and waits for its end. */
static int run(BvSandbox *sandbox, const char *const *argv, BvStatus *status, BvError **err)
{
	BvSpawnOptions options = BV_SPAWN_OPTIONS_INIT;
	BvProcess *process = NULL;
	int r;

	options.argv = argv;
	r = bv_sandbox_spawn(sandbox, &options, &process, err);
	if (r == 0)
		r = bv_process_wait(process, -1, status, err);
	bv_process_close(process);
	return r;
}

static int run_in(BvSandbox *sandbox, const char *input, const char *const *argv, int apply, BvStatus *status, BvError **err)
{
	int r = input ? bv_sandbox_write_file(sandbox, INPUT, input, strlen(input), 0, 0644, err) : 0;

	if (r == 0)
		r = run(sandbox, argv, status, err);
	if (r == 0 && input)
		r = bv_sandbox_remove_file(sandbox, INPUT, 0, err);
	if (r == 0)
		r = bv_sandbox_diff(sandbox, NULL, show_change, NULL, err);
	if (r == 0 && apply)
		r = bv_sandbox_apply(sandbox, NULL, show_left, NULL, err);
	return r;
}

int main(int argc, char **argv)
{
	BvCreateOptions create = BV_CREATE_OPTIONS_INIT;
	const char *env[] = {"INPUT=" INPUT, NULL};
	BvSandbox *sandbox = NULL;
	BvStatus status = {125, 0, 0};
	const char *input = NULL;
	BvError *err = NULL;
	int apply = 0, option, r;

	while ((option = getopt(argc, argv, "+ai:")) != -1) {
		if (option == 'a')
			apply = 1;
		else if (option == 'i')
			input = optarg;
		else
			return 125;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: run [-a] [-i TEXT] COMMAND [ARGUMENT...]\n");
		return 125;
	}
	create.flags = BV_CREATE_EPHEMERAL; /* nothing of it is left when the handle is closed */
	create.env = env;
	r = bv_sandbox_create(&create, &sandbox, &err);
	if (r == 0)
		r = run_in(sandbox, input, (const char *const *)argv + optind, apply, &status, &err);
	bv_sandbox_close(sandbox);
	if (r < 0 && strcmp(bv_error_stage(err), "exec") == 0) /* the command's own fault */
		fprintf(stderr, "run: %s: %s\n", argv[optind], bv_error_message(err));
	else if (r < 0)
		fprintf(stderr, "run: %s\n", bv_error_message(err));
	bv_error_free(err);
	return r < 0 ? 125 : status.signal ? 128 + status.signal : status.exit_code;
}
