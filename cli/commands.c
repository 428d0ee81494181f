/* cli/commands.c - the table of commands: the one source of what they are, for the dispatch, the help and the completion. */
#include "cli/cli.h"

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
#define LIMIT_OPTIONS_BUT_EFFORT \
	"  --memory SIZE      limit of memory for all that runs in it together (500M, 2G); beyond that a process is killed\n" \
	"  --cpus N           of processors (2, 0.5)\n" \
	"  --pids N           of processes and threads\n" \
	"  --disk SIZE        of what it changes\n" \
	"  --disk-files N     of how many files and directories it changes\n" \
	"  --io-read SIZE, --io-write SIZE  of bytes per second from and to each disk\n" \
	"  --nofile N         of open descriptors of each process\n"
#define LIMIT_OPTIONS LIMIT_OPTIONS_BUT_EFFORT \
	"  --best-effort      warn of a limit that cannot be enforced here (or --pidns), instead of failing\n"
#define COPY_LIMIT_OPTIONS LIMIT_OPTIONS_BUT_EFFORT \
	"  --best-effort      warn, when a command starts, of a limit that cannot be enforced here, instead of failing\n"
#define CONFIG_OPTIONS \
	"  --profile NAME     with the values of [profile.NAME] in the bvisor.toml of the user or the project (or $BVISOR_PROFILE)\n" \
	"  --no-config        without any bvisor.toml\n"
#define SYNC_OPTION \
	"  --sync WHEN        when changes go to the bucket: on-snapshot (default), or continuous: all the time, as NAME.sync\n"
#define SPOOL_OPTION \
	"  --spool-size SIZE  keep at most so much here of what is in the bucket, too (20G): the rest is fetched again when it is opened\n"
#define CREATE_OPTIONS \
	"  --name NAME        name of the new sandbox (default: one is made up; the newest ten of these are kept)\n" \
	"  --backend B        where its data go: dir (in the store), dir:PATH, tmpfs (memory), or\n" \
	"                     s3://BUCKET/PREFIX (in the store, and its snapshots there)\n" \
	"  --rw PATH          changes below PATH go straight to the host (repeatable)\n" \
	"  --hide PATH        the command does not see PATH (repeatable)\n" \
	"  --show PATH        take PATH off the default hidden list: ~/.ssh ~/.aws ~/.gnupg ~/.config/gcloud ~/.config/bvisor\n" \
	"                     ~/.docker/config.json ~/.kube ~/.netrc and homes that you cannot read (repeatable)\n" \
	"  --net NET          internet (default): public addresses only; none (default with an --allow of names or addresses);\n" \
	"                     host: the network as it is, with all that listens on this machine and near it\n" \
	"  --allow RULE       the command may reach this, too: NAME, *.NAME, ADDRESS, ADDRESS/BITS or [ADDRESS], each perhaps with\n" \
	"                     :PORT or :FROM-TO; :PORT anywhere; unix:PATH, a socket of the host (repeatable)\n" \
	"  --dns SERVERS      whom names are asked of: ADDRESS[:PORT],... (default: the host's name servers)\n" \
	"  --publish PORT     what listens at PORT in a sandbox without the host's network is reached from the host, too, at\n" \
	"                     127.0.0.1; HOSTPORT:PORT or ADDRESS:HOSTPORT:PORT: there (repeatable)\n" \
	"  --ro               every change that the command tries fails with EROFS\n" \
	"  --fake-root        the command sees itself as root, as whom it can install packages; owners are kept in the sandbox alone\n" \
	"  --pidns            a pid namespace of its own, where root starts it: small pids, and the kernel, too, keeps its processes apart\n" \
	"  --hostname NAME    what the command sees as the host's name\n" \
	"  --kernel-release R what it sees as the kernel's release, such as 6.1.0-18-amd64\n"
#define HELP_OPTION "  --help             show this\n"
#define FROM_OPTION "  --from PLACE       where the snapshot is: dir:PATH or s3://BUCKET/PREFIX (default: as for restore)\n" KEY_OPTION_HELP
#define COPY_OPTIONS \
	"  --as NAME            give the copy another name\n" KEY_OPTION_HELP \
	"  --from-key-file FILE, --from-passphrase-file FILE, --to-key-file FILE, --to-passphrase-file FILE\n" \
	"                       the same for one of the two places\n"
#define JSON_OPTION "  --json             print JSON\n"

static const Command commands[] = {
	{"run", "[OPTION...] [--] COMMAND [ARGUMENT...]", "Run a command on a copy-on-write view of the host; the sandbox stays for diff, apply and exec",
	 CREATE_OPTIONS
	 "  --rm               discard the sandbox when the command ends\n" CONFIG_OPTIONS LIMIT_OPTIONS SYNC_OPTION SPOOL_OPTION COMMAND_OPTIONS HELP_OPTION
	 "\nExit code: that of the command; 124 timeout or output limit, 125 error of bvisor, 126 not executable, 127 not found, 128+N ended by signal N.\n",
	 cmd_run,
	 "  bvisor run -- npm ci                          try an install; see `bvisor diff`, then `bvisor apply` or `bvisor rm`\n"
	 "  bvisor run --name look -it -- bash            look around: nothing in this shell is real\n"
	 "  bvisor run --rw ./out -- make                 below ./out changes go straight to the host\n"
	 "  bvisor run --net none --allow git.example.org:443 --memory 2G --timeout 10m -- ./agent\n",
	 COMMAND_NO_PLACES},
	{"exec", "[OPTION...] [NAME] -- COMMAND [ARGUMENT...]", "Run one more command in a sandbox, running or stopped (default: the newest)",
	 COMMAND_OPTIONS HELP_OPTION, cmd_exec,
	 "  bvisor exec -- make test                 in the newest sandbox\n"
	 "  bvisor exec look -- cat /etc/hostname    in the one of that name\n",
	 COMMAND_NO_PLACES},
	{"diff", "[OPTION...] [[BEFORE] NAME] [--] [PATH...]", "Show what a sandbox or snapshot changed: A added, M modified, D deleted, T other type, R renamed",
	 "  -p, --patch        the changed lines, as a unified diff\n"
	 "  --stat             how many lines changed in each file\n"
	 "  --name-only        paths only\n"
	 "  --json             one object with all changes\n"
	 "  --html             one page for a browser, with all changes side by side; it needs nothing else\n"
	 "  -o, --output FILE  where to (-: standard output)\n"
	 "  --raw              also what was changed and changed back\n"
	 "  --color WHEN       always, never, auto (on a terminal)\n"
	 "  --no-pager         do not use a pager on a terminal ($BVISOR_PAGER, $PAGER, less)\n" FROM_OPTION HELP_OPTION
	 "\nA first argument without a slash is the name of a sandbox, or NAME@N, state N of a snapshot (NAME@: the newest), which is compared with the host; or with\n"
	 "BEFORE, if that is given, too. The others are paths: only they and what is below them are shown; that nothing differs at one is said.\n",
	 cmd_diff,
	 "  bvisor diff                    what the newest sandbox changed\n"
	 "  bvisor diff -p look ./src      the lines that changed below ./src\n"
	 "  bvisor diff --html -o look.html look\n"
	 "  bvisor diff work@3 work@       what changed between two states of a snapshot\n"},
	{"apply", "[OPTION...] [NAME] [--] [PATH...]", "Make a sandbox's changes on the host, where the host is unchanged since; what it changed itself is left",
	 "  --dry-run          say what would be done, change nothing\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\nWith paths, only they and what is below them; one where the sandbox changed nothing is an error, and nothing is applied. Exit code 1 when\n"
	 "there were conflicts or failures. An apply that was interrupted is finished by the next one.\n",
	 cmd_apply,
	 "  bvisor apply --dry-run look    what would be done\n"
	 "  bvisor apply look src docs     take over these two directories; the rest stays in the sandbox\n"},
	{"cat", "[OPTION...] [NAME | NAME@N] [--] PATH...", "Print files as a sandbox, or state N of a snapshot, has them", FROM_OPTION HELP_OPTION
	 "\nOf a snapshot only what the files need is fetched. NAME@ is its newest state. What it did not change is the host's.\n",
	 cmd_cat,
	 "  bvisor cat look /etc/hosts     the file as the sandbox has it\n"
	 "  bvisor cat work@3 src/main.c   ... as state 3 of the snapshot has it\n"},
	{"snapshot", "[OPTION...] [NAME]", "Keep the state of a sandbox, running or not, in a directory or an S3 bucket",
	 "  --to PLACE           dir:PATH, or s3://BUCKET/PREFIX (default: $BVISOR_SNAPSHOTS, else snapshots/ in the store)\n"
	 "  --as NAME            the snapshot's name (default: the sandbox's); each snapshot of a name is a further state of it\n"
	 "  -m, --message TEXT   for the listing\n"
	 "  --tag TAG            a word to find or to keep it by (repeatable)\n"
	 "  --with-base          carry the files of this machine that commands have opened or executed, for machines that lack them\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_snapshot,
	 "  bvisor snapshot work -m \"before the upgrade\"\n"
	 "  bvisor snapshot work --to s3://bucket/team\n"},
	{"sync", "[OPTION...] [NAME]", "Bring what a sandbox is now to its backend, a bucket, as NAME.sync",
	 "  --follow             again and again, until its last command has ended\n"
	 "  --interval DURATION  between two states of --follow (default: 5s)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_sync,
	 "  bvisor sync agent\n"
	 "  bvisor sync agent --follow --interval 10s\n"},
	{"verify", "[--json] [NAME]", "List files of the host that a sandbox rests on and that have changed since", JSON_OPTION HELP_OPTION, cmd_verify,
	 "  bvisor verify look\n"},
	{"fork", "[OPTION...] SNAPSHOT[@NUMBER]|SANDBOX NEW", "Make sandboxes that go on from one state, each its own way",
	 "  -n, --count N        so many: NEW-1, NEW-2, ...\n"
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --refs-only          only names of snapshots, no sandboxes here\n" COPY_LIMIT_OPTIONS KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\nA fork of a sandbox has the limits of that sandbox, but for those that are given; one of a snapshot those that are given.\n",
	 cmd_fork,
	 "  bvisor fork work try -n 3      three sandboxes that go on from what work is now\n"
	 "  bvisor fork work@2 other       one, from state 2\n"},
	{"log", "[OPTION...] [NAME]", "List the states of a sandbox, newest first",
	 "  --from PLACE         where they are (default: as for snapshot)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION, cmd_log,
	 "  bvisor log work\n"},
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
	 "  --strict             not if files of this host that it rests on have changed\n" COPY_LIMIT_OPTIONS KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_restore,
	 "  bvisor restore work --name again                    the newest state as a new sandbox\n"
	 "  bvisor restore work@3 --from s3://bucket/team\n"
	 "  bvisor restore work@3 --in-place                    put work itself back\n"},
	{"snapshots", "[OPTION...] [NAME] | rm SNAPSHOT[@NUMBER]... | prune [NAME...] --keep-last N ...", "List snapshots, or the states of one; remove some",
	 "  --from PLACE         where they are (default: as for snapshot)\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\n`bvisor snapshots rm` removes states, or all states of a name; `bvisor snapshots prune` those that no rule keeps:\n"
	 "  --keep-last N, --keep-hourly N, --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N, --keep-tag TAG\n"
	 "  --dry-run            say what would be removed, change nothing\n"
	 "Each answers --help. A snapshot with the name rm or prune is listed by `bvisor snapshots -- NAME`.\n",
	 cmd_snapshots,
	 "  bvisor snapshots work\n"
	 "  bvisor snapshots rm work@3\n"
	 "  bvisor snapshots prune --keep-daily 7 --keep-weekly 5\n"},
	{"ls", "[OPTION...] [NAME [PATH] | NAME@N [PATH]]", "List the sandboxes, newest first; or a directory of a sandbox, or of state N of a snapshot",
	 "  -l                 types, modes, owners, sizes and times, and what was deleted\n"
	 "  -R, --recursive    what is below, too\n" FROM_OPTION JSON_OPTION HELP_OPTION
	 "\nOf a sandbox all that a command in it would see; of a snapshot what it changed, and what leads there. Default: the root directory.\n",
	 cmd_ls,
	 "  bvisor ls                      all sandboxes\n"
	 "  bvisor ls -l look /etc         a directory as the sandbox has it\n"
	 "  bvisor ls -R work@3 src        ... as a snapshot has it\n"},
	{"export", "[OPTION...] [NAME | NAME@N]", "Write the changes of a sandbox or snapshot as an archive: a tar, or an OCI image with one layer",
	 "  --format FORMAT      tar (default; pax, deletions as .wh.NAME) or oci\n"
	 "  -o, --output FILE    where to (-: standard output); for oci also a directory: one that is there, or a name with a slash at its end\n" FROM_OPTION HELP_OPTION, cmd_export,
	 "  bvisor export look -o changes.tar\n"
	 "  bvisor export work@3 --format oci -o image/\n"},
	{"import", "[OPTION...] ARCHIVE", "Make a new sandbox with the changes of a tar, or of an OCI image (-: standard input; or its directory)",
	 "  --format FORMAT      tar (default) or oci; a directory is always oci\n"
	 "  --name NAME          name of the new sandbox (default: one is made up)\n"
	 "  --backend B          as for run\n"
	 "  --fake-root          as for run: what is root's in the archive is the commands' own\n" COPY_LIMIT_OPTIONS JSON_OPTION HELP_OPTION,
	 cmd_import,
	 "  bvisor import changes.tar --name look\n"
	 "  bvisor import image/           a directory with an OCI image\n"},
	{"push", "[OPTION...] --to PLACE SNAPSHOT[@NUMBER]...", "Copy snapshots into another place: all states that it lacks, or one",
	 "  --from PLACE         where they are (default: as for snapshot)\n"
	 "  --to PLACE           where they shall be, too\n" COPY_OPTIONS JSON_OPTION HELP_OPTION,
	 cmd_push,
	 "  bvisor push --to s3://bucket/team work\n"},
	{"pull", "[OPTION...] --from PLACE SNAPSHOT[@NUMBER]...", "Copy snapshots from another place: all states that are lacking here, or one",
	 "  --from PLACE         where they are\n"
	 "  --to PLACE           where they shall be, too (default: as for snapshot)\n" COPY_OPTIONS JSON_OPTION HELP_OPTION,
	 cmd_pull,
	 "  bvisor pull --from s3://bucket/team work@3 --as theirs\n"},
	{"gc", "[OPTION...]", "Free what no snapshot needs any more: one round condemns, a later one removes",
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --grace DURATION     how long it stays condemned, at least 1h (default)\n"
	 "  --alone              nobody else uses the place now: free everything at once, without that time\n"
	 "  --dry-run            say what would be done, change nothing\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION,
	 cmd_gc,
	 "  bvisor gc --dry-run\n"
	 "  bvisor gc --alone              nobody else uses the place now\n"},
	{"fsck", "[OPTION...]", "Check that all which snapshots need is there and is what was stored",
	 "  --from PLACE         where the snapshots are (default: as for snapshot)\n"
	 "  --read-data          read and compare every byte\n"
	 "  --repair-index       first make a lost index again, from what is there\n" KEY_OPTION_HELP JSON_OPTION HELP_OPTION
	 "\nEach damaged object is named, and each snapshot that it hurts. Exit code 0: all is well, 1: damage, 125: it could not be checked.\n",
	 cmd_fsck,
	 "  bvisor fsck\n"
	 "  bvisor fsck --from s3://bucket/team --read-data\n"},
	{"ps", "[--json] [NAME]", "List the processes of a running sandbox", JSON_OPTION HELP_OPTION, cmd_ps,
	 "  bvisor ps look\n"},
	{"kill", "[-s SIGNAL] [NAME]", "Send a signal to every process of a sandbox",
	 "  -s, --signal SIGNAL  name or number (default: KILL)\n" HELP_OPTION, cmd_kill,
	 "  bvisor kill look               every process of it\n"
	 "  bvisor kill -s TERM look\n"},
	{"rm", "[-f] [--all | NAME...]", "Delete sandboxes and everything in them (default: the newest)",
	 "  -f, --force        also when a command is running in it, which is killed\n"
	 "  --all              every stopped sandbox (with --force: every one)\n" HELP_OPTION,
	 cmd_rm,
	 "  bvisor rm look\n"
	 "  bvisor rm --all                every stopped one\n"},
	{"net", "[OPTION...] [NAME]", "Show what a sandbox may reach over the network, and what was refused; or change it, at once if it runs",
	 "  --net NET          internet or none (of a stopped one also host)\n"
	 "  --allow RULE       a further rule (repeatable)\n"
	 "  --deny RULE        take that rule off (repeatable)\n" JSON_OPTION HELP_OPTION,
	 cmd_net,
	 "  bvisor net look                                    what it may reach, and what was refused\n"
	 "  bvisor net look --allow packages.example:443        ... this, too, from now on\n"},
	{"stats", "[--json] [NAME]", "Show counters of a running sandbox (JSON): unsupported calls, features, objects",
	 JSON_OPTION HELP_OPTION, cmd_stats,
	 "  bvisor stats look\n"},
	{"mcp", "[OPTION...]", "Serve one new sandbox to an agent, as tools of the Model Context Protocol on standard input and output",
	 CREATE_OPTIONS CONFIG_OPTIONS
	 "  --allow-apply      offer the tool that makes the changes on the host\n"
	 "  --allow-snapshot NAME  let it restore, and add to, snapshots of this name, too (repeatable)\n" LIMIT_OPTIONS SYNC_OPTION SPOOL_OPTION
	 "  --cwd DIR          what relative paths and commands start from (default: here)\n"
	 "  --env NAME=VALUE   set a variable; --env NAME takes its present value\n"
	 "  --clear-env        start from an empty environment\n"
	 "  --timeout DURATION end a command after it, if the call does not say otherwise\n"
	 "  --output-limit SIZE  end a command when it has written more\n" KEY_OPTION_HELP HELP_OPTION
	 "\nThe tools: run, read_file, write_file, list_files, diff, snapshot, restore; apply with --allow-apply. The end of standard input ends it, and with it the\n"
	 "sandbox, unless that has a --name.\n",
	 cmd_mcp,
	 "  claude mcp add sandbox -- bvisor mcp --net none --memory 4G\n"
	 "  bvisor mcp --name work --profile agent\n",
	 COMMAND_NO_PLACES | COMMAND_THREADS},
	{"config", "[OPTION...]", "Show what the bvisor.toml of the user and of the project set, and which of it counts",
	 "  --profile NAME     as if that profile were chosen\n" JSON_OPTION HELP_OPTION
	 "\nExit code 1: some of it is refused, as the project's file is not trusted.\n",
	 cmd_config,
	 "  bvisor config\n"
	 "  bvisor config --profile agent --json\n",
	 COMMAND_NO_PLACES},
	{"trust", "[OPTION...] [FILE | DIRECTORY]", "Let a project's bvisor.toml, as it is now, loosen the sandbox (default: the nearest one)",
	 "  --revoke           not any more\n"
	 "  --list             what is trusted\n" JSON_OPTION HELP_OPTION
	 "\nWhen the file changes it has to be trusted again. Without trust it may only tighten the sandbox.\n",
	 cmd_trust,
	 "  bvisor trust\n"
	 "  bvisor trust --revoke ~/src/project\n",
	 COMMAND_NO_PLACES},
	{"completion", "bash | zsh | fish", "Print the completion of bvisor's commands for a shell", HELP_OPTION
	 "\nAn installed bvisor has it where the shells look for it.\n",
	 cmd_completion,
	 "  source <(bvisor completion bash)              in ~/.bashrc\n"
	 "  source <(bvisor completion zsh)               in ~/.zshrc, after compinit\n"
	 "  bvisor completion fish | source               in ~/.config/fish/config.fish\n",
	 COMMAND_NO_PLACES},
	{"__complete", "WORD...", "Say what the last word may become, for the scripts of `bvisor completion`", HELP_OPTION, cmd_complete, NULL, COMMAND_NO_PLACES | COMMAND_HIDDEN},
	{"doctor", "[--json]", "Try, really, what bvisor needs of this machine; exit code 0 only if it can run here", JSON_OPTION HELP_OPTION, cmd_doctor,
	 "  bvisor doctor\n"},
};

const Command *command_at(size_t i)
{
	return i < ARRAY_LEN(commands) ? &commands[i] : NULL;
}

const Command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}
