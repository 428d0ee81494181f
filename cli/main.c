/* cli/main.c - what is before a command: the options of bvisor itself, and which command it is. */
#include "cli/cli.h"
#include "cli/config.h"
#include "lib/embed.h"
#include "supervisor/run.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

static void print_overview(FILE *out)
{
	fputs("usage: bvisor [--user UID:GID] [--profile NAME | --no-config] [--color WHEN] COMMAND [ARGUMENT...]\n\n"
	      "Runs commands on a copy-on-write view of the host, shows what they changed, and makes those changes on request.\n\n",
	      out);
	for (size_t i = 0; command_at(i); i++)
		if (!(command_at(i)->flags & COMMAND_HIDDEN))
			fprintf(out, "  %-10s  %s\n", command_at(i)->name, command_at(i)->summary);
	fputs("\n`bvisor COMMAND --help` shows its options. Sandboxes are kept in $BVISOR_HOME, else $XDG_DATA_HOME/bvisor, else\n"
	      "~/.local/share/bvisor. With --user, of root, everything is done as that user, with the sandboxes that are his.\n"
	      "Defaults are read from ~/.config/bvisor/bvisor.toml and the project's bvisor.toml (`bvisor config` shows them); --profile chooses\n"
	      "one of their profiles, --no-config leaves them out. --color is always, never or auto (on a terminal, unless $NO_COLOR is set).\n",
	      out);
}

/* ---- the supervisor, as a fork of this program ---- */

static char *title;
static size_t title_room;

/* What ps shows must not be the user's command line. */
static void run_supervisor(void)
{
	prctl(PR_SET_NAME, "bvisor-supervisor"); /* the kernel keeps 15 bytes */
	memset(title, 0, title_room);
	snprintf(title, title_room, "bvisor-supervisor");
	supervisor_run();
}

static void embed_supervisor(const Command *cmd, int argc, char **argv)
{
	title = argv[0];
	title_room = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]); /* they lie one behind the other */
	launch_embed(cmd->flags & COMMAND_THREADS ? NULL : run_supervisor);
}

/* A descriptor that we were started without must not become one of ours: output would go into it. What stands there instead fails as a closed one does, and,
 * as it is close-on-exec, a command that inherits it finds it closed. */
static void occupy_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd)
			_exit(EXIT_BVISOR); /* nobody could be told more */
}

/* The options before the command; returns how many arguments they are. */
static int own_options(int argc, char **argv)
{
	int at = 1;

	for (; at < argc; at++) {
		bool user = strcmp(argv[at], "--user") == 0, profile = strcmp(argv[at], "--profile") == 0, colors = strcmp(argv[at], "--color") == 0;
		if ((user || profile || colors) && at + 1 == argc)
			usage_error(NULL, "option '%s' needs a value", argv[at]);
		if (user)
			become_user(NULL, argv[++at]);
		else if (profile)
			config_choose(argv[++at]);
		else if (colors)
			color_choose(NULL, argv[++at]);
		else if (strcmp(argv[at], "--no-config") == 0)
			config_disable();
		else
			break;
	}
	return at - 1;
}

static _Noreturn void unknown_command(const char *word)
{
	static const char *const options[] = {"--help", "--version", "--user", "--profile", "--no-config", "--color"};
	bool option = word[0] == '-';
	Nearest nearest = nearest_begin(word);

	for (size_t i = 0; !option && command_at(i); i++)
		nearest_offer(&nearest, command_at(i)->name);
	for (size_t i = 0; option && i < ARRAY_LEN(options); i++)
		nearest_offer(&nearest, options[i]);
	if (nearest_found(&nearest))
		usage_error(NULL, "unknown %s '%s': is '%s' meant?", option ? "option" : "command", word, nearest_found(&nearest));
	usage_error(NULL, "unknown %s '%s'", option ? "option" : "command", word);
}

/* Help is there also where a file is wrong. */
static bool wants_help(int argc, char **argv)
{
	return argc > 2 && strcmp(argv[2], "--help") == 0;
}

static int help(const char *command)
{
	const Command *cmd = command ? find_command(command) : NULL;

	if (command && !cmd)
		unknown_command(command);
	if (cmd)
		print_help(cmd);
	else
		print_overview(stdout);
	return cli_finish(0);
}

int main(int argc, char **argv)
{
	const Command *cmd;
	const int all_argc = argc;
	char **const all_argv = argv;

	occupy_standard_descriptors();
	user_remember_argv(argv);
	int own = own_options(argc, argv);
	argc -= own;
	argv += own;
	if (argc < 2)
		usage_error(NULL, "no command given");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	if (strcmp(argv[1], "--version") == 0) {
		printf("bvisor %s\n", bv_version());
		return cli_finish(0);
	}
	cmd = find_command(argv[1]);
	if (!cmd)
		unknown_command(argv[1]);
	/* Packs of snapshots go back to the kernel. Else the C library learns to keep blocks of that size, and each thread has some: 200 MiB instead of 125. */
	mallopt(M_MMAP_THRESHOLD, 8 << 20);
	if (!(cmd->flags & COMMAND_NO_PLACES) && !wants_help(argc, argv))
		config_set_places();
	embed_supervisor(cmd, all_argc, all_argv);
	return cli_finish(cmd->run(cmd, argc - 1, argv + 1));
}
