/* cli/config.h - defaults from files: the user's own, and the project's, a bvisor.toml in the current directory or the nearest one above it.
 *
 * Trust. A project's file comes with its files: whoever wrote those, or an agent whose changes were applied, wrote it. Unless the user has said `bvisor trust`, which keeps a copy of
 * what he has seen, it may only tighten what is so without it, and name the sandbox's host; anything else is an error, never passed over. What is compared is what is then used: a file is read once.
 *
 * Order. The command line, then the environment (for places), the profile, the project's file, the user's file; in each of the latter two a profile of the project comes before the user's. A list
 * takes the place of a lower one, but for `hide` and `env`, which add up. Who sets `net` begins without the rules of lower ones (`allow`, `publish`, `dns`). */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "cli/cli.h"
#include "cli/toml.h"

typedef struct ConfigFile {
	char *path; /* NULL: there is none */
	char *bytes;
	size_t len;
	bool project, trusted;
	TomlValue *root;
} ConfigFile;

typedef enum ConfigKind { CONFIG_TEXT, CONFIG_PATH, CONFIG_PLACE, CONFIG_TEXTS, CONFIG_PATHS, CONFIG_ENV, CONFIG_FLAG, CONFIG_SIZE, CONFIG_COUNT, CONFIG_CPUS, CONFIG_DURATION } ConfigKind;

typedef struct ConfigKey {
	const char *name; /* the long option of `run`, unless there is a variable */
	ConfigKind kind;
	int trust;	      /* private */
	const char *variable; /* of the environment, for what every command needs to know; else NULL */
} ConfigKey;

/* One that counts. */
typedef struct ConfigValue {
	const ConfigKey *key;
	const TomlValue *value;
	const ConfigFile *file;
	const char *profile; /* NULL: it is of no profile */
	const char *refusal; /* why it is not taken, as its file is not trusted; NULL: it is */
} ConfigValue;

/* Said by the options --profile and --no-config, before anything is loaded. */
void config_choose(const char *profile);
void config_disable(void);

/* Loads the files, once. Ends the program with a message if one is wrong. */
void config_load(void);
/* Puts the places (store, snapshots, keys) into the environment, where it does not have them. Refused values end the program. */
void config_set_places(void);
/* Calls `visit` for the values of `run`, each as one text or more: "" for a flag. The origin of errors is set meanwhile. Refused values end the program. `given` says which keys the command line has. */
void config_run_values(bool (*given)(void *ctx, const char *key), void (*visit)(void *ctx, const char *key, const char *text), void *ctx);

/* For `bvisor config`: all that count, refused ones too; and the files and the profile that they are of. */
void config_each(void (*visit)(void *ctx, const ConfigValue *v), void *ctx);
const ConfigFile *config_file(bool project);
const char *config_profile(void);    /* NULL: none */
const char *config_profile_by(void); /* who has chosen it */
/* Calls `visit` for the name of each profile that there is; files with errors have none. For completion. */
void config_profiles(void (*visit)(void *ctx, const char *name), void *ctx);
/* The value as TOML. */
void config_print_value(FILE *out, const TomlValue *v);
/* The texts of a value, as the option would be given them; calls `visit` for each. */
void config_texts(const ConfigValue *v, void (*visit)(void *ctx, const char *text), void *ctx);

/* The directory of the user's configuration; NULL: there is no home. */
const char *config_dir(void);
/* Reads and parses one file; false: there is none. Ends the program if it is wrong. */
bool config_open(const char *path, bool project, ConfigFile *out);
/* The nearest bvisor.toml from the current directory upwards, malloc'ed; NULL: there is none. */
char *config_find_project(void);
/* What that file would need trust for, one call each; returns how many. */
size_t config_needs_trust(const ConfigFile *file, void (*visit)(void *ctx, const ConfigValue *v), void *ctx);

/* ---- trust.c ---- */
bool trust_has(const ConfigFile *file);
/* 0 or an exit code after a message. */
int trust_add(const ConfigFile *file);
int trust_remove(const char *path); /* -1: it was not trusted */
/* Calls `visit` for each file that is trusted; current: it has not changed since. */
int trust_each(void (*visit)(void *ctx, const char *path, bool current), void *ctx);

#endif
