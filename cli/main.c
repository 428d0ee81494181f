/* cli/main.c - the table of commands. */
#include "cli/cli.h"
#include "lib/embed.h"
#include "supervisor/run.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#define COMMAND_OPTIONS \
	"  --cwd DIR          start the command in DIR of the view (default: here)\n" \
	"  --env NAME=VALUE   set a variable; --env NAME takes its present value\n" \
	"  --clear-env        start from an empty environment\n" \
	"  --timeout DURATION send TERM after it, KILL 2 s later; exit code 124\n" \
	"  --output-limit SIZE  end the command when it has written more to stdout and stderr; exit code 124\n" \
	"  --trace FILE       write every intercepted system call to FILE\n" \
	"  -i, --interactive  keep the three descriptors as they are, even on a terminal\n" \
	"  -t, --tty          give the command a terminal of its own (the default on a terminal)\n" \
	"  -d, --detach       do not wait: the command goes on in the background\n" \
	"  --user UID:GID     of root: run as this user, who has the sandbox in his own store (see bvisor --help)\n" \
	"  --generations      keep what the sandbox is when the command has ended, as a snapshot (see log)\n" KEY_OPTION_HELP
#define LIMIT_OPTIONS \
	"  --memory SIZE      limit of memory for all that runs in it together (500M, 2G); beyond that a process is killed\n" \
	"  --cpus N           of processors (2, 0.5)\n" \
	"  --pids N           of processes and threads\n" \
	"  --disk SIZE        of what it changes; --disk-files N: of how many files and directories\n" \
	"  --io-read SIZE, --io-write SIZE  of bytes per second from and to each disk\n" \
	"  --nofile N         of open descriptors of each process\n" \
	"  --best-effort      warn of a limit that cannot be enforced here (or --pidns), instead of failing\n"
#define SYNC_OPTION \
	"  --sync WHEN        when changes go to the bucket: on-snapshot (default), or continuous: all the time, as NAME.sync\n"
#define SPOOL_OPTION \
	"  --spool-size SIZE  keep at most so much here of what is in the bucket, too (20G): the rest is fetched again when it is opened\n"
#define HELP_OPTION "  --help             show this\n"
#define FROM_OPTION "  --from PLACE       where the snapshot is: dir:PATH or s3://BUCKET/PREFIX (default: as for restore)\n" KEY_OPTION_HELP
#define COPY_OPTIONS \
	"  --as NAME            give the copy another name\n" KEY_OPTION_HELP \
	"  --from-key-file FILE, --from-passphrase-file FILE, --to-key-file FILE, --to-passphrase-file FILE\n" \
	"                       the same for one of the two places\n"
#define JSON_OPTION "  --json             print JSON\n"

static const Command commands[] = {
	{"run", "[OPTION...] [--] COMMAND [ARGUMENT...]", "Run a command on a copy-on-write view of the host; the sandbox stays for diff, apply and exec",
	 "  --name NAME        name of the new sandbox (default: one is made up; the newest ten of these are kept)\n"
	 "  --backend B        where its data go: dir (in the store), dir:PATH, tmpfs (memory), or\n"
	 "                     s3://BUCKET/PREFIX (in the store, and its snapshots there)\n"
	 "  --rw PATH          changes below PATH go straight to the host (repeatable)\n"
	 "  --hide PATH        the command does not see PATH (repeatable)\n"
	 "  --show PATH        take PATH off the default hidden list: ~/.ssh ~/.aws ~/.gnupg ~/.config/gcloud ~/.docker/config.json\n"
	 "                     ~/.kube ~/.netrc and homes that you cannot read (repeatable)\n"
	 "  --net NET          internet (default): public addresses only; none (default with an --allow of names or addresses);\n"
	 "                     host: the network as it is, with all that listens on this machine and near it\n"
	 "  --allow RULE       the command may reach this, too: NAME, *.NAME, ADDRESS, ADDRESS/BITS or [ADDRESS], each perhaps with\n"
	 "                     :PORT or :FROM-TO; :PORT anywhere; unix:PATH, a socket of the host (repeatable)\n"
	 "  --dns SERVERS      whom names are asked of: ADDRESS[:PORT],... (default: the host's name servers)\n"
	 "  --publish PORT     what listens at PORT in a sandbox without the host's network is reached from the host, too, at\n"
	 "                     127.0.0.1; HOSTPORT:PORT or ADDRESS:HOSTPORT:PORT: there (repeatable)\n"
	 "  --ro               every change that the command tries fails with EROFS\n"
	 "  --fake-root        the command sees itself as root, as whom it can install packages; owners are kept in the sandbox alone\n"
	 "  --pidns            a pid namespace of its own, where root starts it: small pids, and the kernel, too, keeps its processes apart\n"
	 "  --hostname NAME    what the command sees as the host's name\n"
	 "  --kernel-release R what it sees as the kernel's release, such as 6.1.0-18-amd64\n"
	 "  --rm               discard the sandbox when the command ends\n" LIMIT_OPTIONS SYNC_OPTION SPOOL_OPTION COMMAND_OPTIONS HELP_OPTION
	 "\nExit code: that of the command; 124 timeout or output limit, 125 error of bvisor, 126 not executable, 127 not found, 128+N ended by signal N.\n",
	 cmd_run},
	{"exec", "[OPTION...] [NAME] -- COMMAND [ARGUMENT...]", "Run one more command in a sandbox, running or stopped (default: the newest)",
	 COMMAND_OPTIONS HELP_OPTION, cmd_exec},
	{"diff", "[OPTION...] [[BEFORE] NAME] [--] [PATH...]", "Show what a sandbox or snapshot changed: A added, M modified, D deleted, T other type, R renamed",
	 "  -p, --patch        the changed lines, as a unified diff\n"
	 "  --stat             how many lines changed in each file\n"
	 "  --name-only        paths only\n"
	 "  --json             one object with all changes\n"
	 "  --raw              also what was changed and changed back\n"
	 "  --color WHEN       always, never, auto (on a terminal)\n"
	 "  --no-pager         do not use a pager on a terminal ($BVISOR_PAGER, $PAGER, less)\n" FROM_OPTION HELP_OPTION
	 "\nA first argument without a slash is the name of a sandbox, or NAME@N, state N of a snapshot (NAME@: the newest), which is compared with the host; or with\n"
	 "BEFORE, if that is given, too. The others are paths: only they and what is below them are shown.\n",
	 cmd_diff},
	{"apply", "[OPTION...] [NAME] [--] [PATH...]", "Make a sandbox's changes on the host, where the host is unchanged since; what it changed itself is left",
	 "  --dry-run          say what would be done, change nothing\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\nWith paths, only they and what is below them. Exit code 1 when there were conflicts or failures. An apply that was interrupted is\n"
	 "finished by the next one.\n",
	 cmd_apply},
	{"cat", "[OPTION...] [NAME | NAME@N] [--] PATH...", "Print files as a sandbox, or state N of a snapshot, has them", FROM_OPTION HELP_OPTION
	 "\nOf a snapshot only what the files need is fetched. NAME@ is its newest state. What it did not change is the host's.\n",
	 cmd_cat},
	{"snapshot", "[OPTION...] [NAME]", "Keep the state of a sandbox, running or not, in a directory or an S3 bucket",
	 "  --to PLACE           dir:PATH, or s3://BUCKET/PREFIX (default: $BVISOR_SNAPSHOTS, else snapshots/ in the store)\n"
	 "  --as NAME            the snapshot's name (default: the sandbox's); each snapshot of a name is a further state of it\n"
	 "  -m, --message TEXT   for the listing\n"
	 "  --tag TAG            a word to find or to keep it by (repeatable)\n"
	 "  --with-base          carry the files of this machine that commands have opened or executed, for machines that lack them\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_snapshot},
	{"sync", "[OPTION...] [NAME]", "Bring what a sandbox is now to its backend, a bucket, as NAME.sync",
	 "  --follow             again and again, until its last command has ended\n"
	 "  --interval DURATION  between two states of --follow (default: 5s)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_sync},
	{"verify", "[--json] [NAME]", "List files of the host that a sandbox rests on and that have changed since", JSON_OPTION HELP_OPTION, cmd_verify},
	{"fork", "[OPTION...] SNAPSHOT[@NUMBER]|SANDBOX NEW", "Make sandboxes that go on from one state, each its own way",
	 "  -n, --count N        so many: NEW-1, NEW-2, ...\n"
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --refs-only          only names of snapshots, no sandboxes here\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_fork},
	{"log", "[OPTION...] [NAME]", "List the states of a sandbox, newest first",
	 "  --from PLACE         where they are (default: as for snapshot)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION, cmd_log},
	{"restore", "[OPTION...] SNAPSHOT[@NUMBER]", "Make a new sandbox from a snapshot: its newest state, or the one with that number",
	 "  --from PLACE         where the snapshot is (default: as for snapshot)\n"
	 "  --name NAME          name of the new sandbox (default: one is made up)\n"
	 "  --backend B          as for run\n"
	 "  --show PATH          as for run (repeatable)\n"
	 "  --sync WHEN          as for run\n"
	 "  --spool-size SIZE    as for run\n"
	 "  --prefetch           fetch all files now, not when they are opened\n"
	 "  --in-place           put the stopped sandbox of that name (or --name) back to this state; what\n"
	 "                       it is now is kept as a state first\n"
	 "  --strict             not if files of this host that it rests on have changed\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_restore},
	{"snapshots", "[OPTION...] [NAME] | rm SNAPSHOT[@NUMBER]... | prune [NAME...] --keep-last N ...", "List snapshots, or the states of one; remove some",
	 "  --from PLACE         where they are (default: as for snapshot)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\n`bvisor snapshots rm` removes states, or all states of a name; `bvisor snapshots prune` those that no rule keeps:\n"
	 "  --keep-last N, --keep-hourly N, --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N, --keep-tag TAG\n"
	 "  --dry-run            say what would be removed, change nothing\n"
	 "Each answers --help. A snapshot with the name rm or prune is listed by `bvisor snapshots -- NAME`.\n",
	 cmd_snapshots},
	{"ls", "[OPTION...] [NAME [PATH] | NAME@N [PATH]]", "List the sandboxes, newest first; or a directory of a sandbox, or of state N of a snapshot",
	 "  -l                 types, modes, owners, sizes and times, and what was deleted\n"
	 "  -R, --recursive    what is below, too\n" FROM_OPTION JSON_OPTION HELP_OPTION
	 "\nOf a sandbox all that a command in it would see; of a snapshot what it changed, and what leads there. Default: the root directory.\n",
	 cmd_ls},
	{"export", "[OPTION...] [NAME | NAME@N]", "Write the changes of a sandbox or snapshot as an archive: a tar, or an OCI image with one layer",
	 "  --format FORMAT      tar (default; pax, deletions as .wh.NAME) or oci\n"
	 "  -o, --output FILE    where to (-: standard output); for oci also a directory: one that is there, or a name with a slash at its end\n" FROM_OPTION HELP_OPTION, cmd_export},
	{"import", "[OPTION...] ARCHIVE", "Make a new sandbox with the changes of a tar, or of an OCI image (-: standard input; or its directory)",
	 "  --format FORMAT      tar (default) or oci; a directory is always oci\n"
	 "  --name NAME          name of the new sandbox (default: one is made up)\n"
	 "  --backend B          as for run\n"
	 "  --fake-root          as for run: what is root's in the archive is the commands' own\n" JSON_OPTION HELP_OPTION,
	 cmd_import},
	{"push", "[OPTION...] --to PLACE SNAPSHOT[@NUMBER]...", "Copy snapshots into another place: all states that it lacks, or one",
	 "  --from PLACE         where they are (default: as for snapshot)\n"
	 "  --to PLACE           where they shall be, too\n" COPY_OPTIONS JSON_OPTION HELP_OPTION,
	 cmd_push},
	{"pull", "[OPTION...] --from PLACE SNAPSHOT[@NUMBER]...", "Copy snapshots from another place: all states that are lacking here, or one",
	 "  --from PLACE         where they are\n"
	 "  --to PLACE           where they shall be, too (default: as for snapshot)\n" COPY_OPTIONS JSON_OPTION HELP_OPTION,
	 cmd_pull},
	{"gc", "[OPTION...]", "Free what no snapshot needs any more: one round condemns, a later one removes",
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --grace DURATION     how long it stays condemned, at least 1h (default)\n"
	 "  --alone              nobody else uses the place now: free everything at once, without that time\n"
	 "  --dry-run            say what would be done, change nothing\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_gc},
	{"fsck", "[OPTION...]", "Check that all which snapshots need is there and is what was stored",
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --read-data          read and compare every byte\n"
	 "  --repair-index       first make a lost index again, from what is there\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\nEach damaged object is named, and each snapshot that it hurts. Exit code 0: all is well, 1: damage, 125: it could not be checked.\n",
	 cmd_fsck},
	{"ps", "[--json] [NAME]", "List the processes of a running sandbox", JSON_OPTION HELP_OPTION, cmd_ps},
	{"kill", "[-s SIGNAL] [NAME]", "Send a signal to every process of a sandbox",
	 "  -s, --signal SIGNAL  name or number (default: KILL)\n" HELP_OPTION, cmd_kill},
	{"rm", "[-f] [--all | NAME...]", "Delete sandboxes and everything in them (default: the newest)",
	 "  -f, --force        also when a command is running in it, which is killed\n"
	 "  --all              every stopped sandbox (with --force: every one)\n" HELP_OPTION,
	 cmd_rm},
	{"net", "[OPTION...] [NAME]", "Show what a sandbox may reach over the network, and what was refused; or change it, at once if it runs",
	 "  --net NET          internet or none (of a stopped one also host)\n"
	 "  --allow RULE       a further rule (repeatable)\n"
	 "  --deny RULE        take that rule off (repeatable)\n" JSON_OPTION HELP_OPTION,
	 cmd_net},
	{"stats", "[--json] [NAME]", "Show counters of a running sandbox (JSON): unsupported calls, features, objects",
	 JSON_OPTION HELP_OPTION, cmd_stats},
	{"doctor", "[--json]", "Try, really, what bvisor needs of this machine; exit code 0 only if it can run here", JSON_OPTION HELP_OPTION, cmd_doctor},
};

static const Command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_overview(FILE *out)
{
	fputs("usage: bvisor [--user UID:GID] COMMAND [ARGUMENT...]\n\n"
	      "Runs commands on a copy-on-write view of the host, shows what they changed, and makes those changes on request.\n\n",
	      out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].summary);
	fputs("\n`bvisor COMMAND --help` shows its options. Sandboxes are kept in $BVISOR_HOME, else $XDG_DATA_HOME/bvisor, else\n"
	      "~/.local/share/bvisor. With --user, of root, everything is done as that user, with the sandboxes that are his.\n",
	      out);
}

/* Output that did not arrive (a full disk) is an error; a pager or head(1) that left early is not. */
static int finish(int code)
{
	if (fflush(stdout) != 0 && errno != EPIPE)
		return cli_fail("cannot write the output: %s", strerror(errno));
	return code;
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

static void embed_supervisor(int argc, char **argv)
{
	title = argv[0];
	title_room = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]); /* they lie one behind the other */
	launch_embed(run_supervisor);
}

/* A descriptor that we were started without must not become one of ours: output would go into it. What stands there instead fails as a closed one does, and,
 * as it is close-on-exec, a command that inherits it finds it closed. */
static void occupy_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd)
			_exit(EXIT_BVISOR); /* nobody could be told more */
}

int main(int argc, char **argv)
{
	const Command *cmd;
	const int all_argc = argc;
	char **const all_argv = argv;

	occupy_standard_descriptors();
	user_remember_argv(argv);
	if (argc > 1 && strcmp(argv[1], "--user") == 0) {
		if (argc < 3)
			usage_error(NULL, "option '--user' needs a value");
		become_user(NULL, argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc < 2)
		usage_error(NULL, "no command given");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		cmd = argc > 2 ? find_command(argv[2]) : NULL;
		if (cmd)
			print_help(cmd);
		else
			print_overview(stdout);
		return finish(0);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("bvisor %s\n", bv_version());
		return finish(0);
	}
	cmd = find_command(argv[1]);
	if (!cmd)
		usage_error(NULL, "unknown %s '%s'", argv[1][0] == '-' ? "option" : "command", argv[1]);
	/* Packs of snapshots go back to the kernel. Else the C library learns to keep blocks of that size, and each thread has some: 200 MiB instead of 125. */
	mallopt(M_MMAP_THRESHOLD, 8 << 20);
	embed_supervisor(all_argc, all_argv);
	return finish(cmd->run(cmd, argc - 1, argv + 1));
}
