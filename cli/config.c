/* cli/config.c - see config.h. */
#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a file that is not trusted may do with a key: nothing, anything, only say "true", only make a number smaller, only close the network more. An empty list is allowed, unless it is of rules of the network. */
enum { TRUST_NEEDED, TRUST_ANY, TRUST_TRUE, TRUST_LESS, TRUST_NET };

static const ConfigKey keys[] = {
	{"store", CONFIG_PATH, TRUST_NEEDED, "BVISOR_HOME"},
	{"snapshots", CONFIG_PLACE, TRUST_NEEDED, "BVISOR_SNAPSHOTS"},
	{"key-file", CONFIG_PATH, TRUST_NEEDED, "BVISOR_KEY_FILE"},
	{"passphrase-file", CONFIG_PATH, TRUST_NEEDED, "BVISOR_PASSPHRASE_FILE"},
	{"backend", CONFIG_PLACE, TRUST_NEEDED, NULL},
	{"rw", CONFIG_PATHS, TRUST_NEEDED, NULL},
	{"hide", CONFIG_PATHS, TRUST_ANY, NULL},
	{"show", CONFIG_PATHS, TRUST_NEEDED, NULL},
	{"net", CONFIG_TEXT, TRUST_NET, NULL},
	{"allow", CONFIG_TEXTS, TRUST_NEEDED, NULL},
	{"dns", CONFIG_TEXT, TRUST_NEEDED, NULL},
	{"publish", CONFIG_TEXTS, TRUST_NEEDED, NULL},
	{"ro", CONFIG_FLAG, TRUST_TRUE, NULL},
	{"fake-root", CONFIG_FLAG, TRUST_NEEDED, NULL},
	{"pidns", CONFIG_FLAG, TRUST_TRUE, NULL},
	{"hostname", CONFIG_TEXT, TRUST_ANY, NULL},
	{"kernel-release", CONFIG_TEXT, TRUST_ANY, NULL},
	{"rm", CONFIG_FLAG, TRUST_NEEDED, NULL},
	{"memory", CONFIG_SIZE, TRUST_LESS, NULL},
	{"cpus", CONFIG_CPUS, TRUST_LESS, NULL},
	{"pids", CONFIG_COUNT, TRUST_LESS, NULL},
	{"disk", CONFIG_SIZE, TRUST_LESS, NULL},
	{"disk-files", CONFIG_COUNT, TRUST_LESS, NULL},
	{"io-read", CONFIG_SIZE, TRUST_LESS, NULL},
	{"io-write", CONFIG_SIZE, TRUST_LESS, NULL},
	{"nofile", CONFIG_COUNT, TRUST_LESS, NULL},
	{"best-effort", CONFIG_FLAG, TRUST_NEEDED, NULL},
	{"sync", CONFIG_TEXT, TRUST_NEEDED, NULL},
	{"spool-size", CONFIG_SIZE, TRUST_NEEDED, NULL},
	{"cwd", CONFIG_PATH, TRUST_NEEDED, NULL},
	{"env", CONFIG_ENV, TRUST_NEEDED, NULL},
	{"clear-env", CONFIG_FLAG, TRUST_TRUE, NULL},
	{"timeout", CONFIG_DURATION, TRUST_LESS, NULL},
	{"output-limit", CONFIG_SIZE, TRUST_LESS, NULL},
	{"generations", CONFIG_FLAG, TRUST_NEEDED, NULL},
};

static struct {
	bool loaded, disabled, chosen;
	const char *profile, *profile_by;
	ConfigFile files[2]; /* the user's, the project's */
} config;

void config_choose(const char *profile)
{
	config.chosen = true;
	config.profile = profile;
	config.profile_by = "--profile";
}

void config_disable(void)
{
	config.disabled = true;
}

const ConfigFile *config_file(bool project)
{
	return &config.files[project];
}

const char *config_profile(void)
{
	return config.profile;
}

const char *config_profile_by(void)
{
	return config.profile_by;
}

/* ---- files ---- */

const char *config_dir(void)
{
	static char *dir;
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (!dir && xdg && *xdg == '/')
		dir = xasprintf("%s/bvisor", xdg);
	else if (!dir && home && *home == '/')
		dir = xasprintf("%s/.config/bvisor", home);
	return dir;
}

char *config_find_project(void)
{
	char *dir = getcwd(NULL, 0); /* NULL: a deleted directory has no project */

	while (dir && *dir == '/') {
		char *path = xasprintf("%s/bvisor.toml", strcmp(dir, "/") == 0 ? "" : dir);
		if (access(path, F_OK) == 0) {
			free(dir);
			return path;
		}
		free(path);
		if (strcmp(dir, "/") == 0)
			break;
		char *slash = strrchr(dir, '/');
		slash[slash == dir] = '\0';
	}
	free(dir);
	return NULL;
}

static const ConfigKey *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static bool kind_takes(ConfigKind kind, const TomlValue *v)
{
	bool texts = v->type == TOML_ARRAY;

	for (const TomlValue *item = v->first; item; item = item->next)
		texts = texts && item->type == TOML_STRING;
	switch (kind) {
	case CONFIG_FLAG: return v->type == TOML_BOOLEAN;
	case CONFIG_TEXTS:
	case CONFIG_PATHS: return texts;
	case CONFIG_ENV:
		if (v->type != TOML_TABLE)
			return texts;
		for (const TomlValue *item = v->first; item; item = item->next)
			if (item->type != TOML_STRING || item->key[0] == '\0' || strchr(item->key, '='))
				return false;
		return true;
	case CONFIG_COUNT: return v->type == TOML_INTEGER;
	case CONFIG_CPUS: return v->type == TOML_INTEGER || v->type == TOML_FLOAT;
	case CONFIG_SIZE:
	case CONFIG_DURATION: return v->type == TOML_INTEGER || v->type == TOML_STRING;
	case CONFIG_TEXT:
	case CONFIG_PATH:
	case CONFIG_PLACE: break;
	}
	return v->type == TOML_STRING;
}

static const char *kind_wish(ConfigKind kind)
{
	static const char *const wishes[] = {
		[CONFIG_TEXT] = "a string", [CONFIG_PATH] = "a string", [CONFIG_PLACE] = "a string", [CONFIG_TEXTS] = "an array of strings", [CONFIG_PATHS] = "an array of strings",
		[CONFIG_ENV] = "an array of strings (\"NAME=VALUE\", or \"NAME\"), or a table of strings", [CONFIG_FLAG] = "true or false", [CONFIG_SIZE] = "a size: a string (\"2G\"), or an integer",
		[CONFIG_COUNT] = "an integer", [CONFIG_CPUS] = "a number", [CONFIG_DURATION] = "a duration: a string (\"10m\"), or an integer of seconds"};

	return wishes[kind];
}

static _Noreturn void PRINTF_LIKE(3, 4) file_error(const ConfigFile *file, unsigned line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	exit(cli_fail("%s:%u: %s (`--no-config` before the command leaves the files out)", file->path, line, text));
}

static const char *nearest_key(const char *name)
{
	Nearest nearest = nearest_begin(name);

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		nearest_offer(&nearest, keys[i].name);
	return nearest_found(&nearest);
}

/* places, options: which keys may be in this table. */
static void check_table(const ConfigFile *file, const TomlValue *table, const char *where, bool places, bool options)
{
	for (const TomlValue *v = table->first; v; v = v->next) {
		const ConfigKey *key = find_key(v->key);
		if (places && !options && v->type == TOML_TABLE && (strcmp(v->key, "run") == 0 || strcmp(v->key, "profile") == 0))
			continue;
		if (!key) {
			const char *near = nearest_key(v->key);
			file_error(file, v->line, "unknown key '%s'%s%s%s%s", v->key, where, near ? ": is '" : "", near ? near : "", near ? "' meant?" : "");
		}
		if (key->variable ? !places : !options)
			file_error(file, v->line, "'%s' does not belong here: it belongs %s, or into a [profile.NAME]", v->key, key->variable ? "to the beginning of the file, before the first table" : "into [run]");
		if (!kind_takes(key->kind, v))
			file_error(file, v->line, "'%s' is %s, and should be %s", v->key, toml_type_name(v->type), kind_wish(key->kind));
	}
}

static void check_file(const ConfigFile *file)
{
	const TomlValue *run = toml_get(file->root, "run"), *profiles = toml_get(file->root, "profile");

	check_table(file, file->root, "", true, false);
	if (run)
		check_table(file, run, " in [run]", false, true);
	for (const TomlValue *p = profiles ? profiles->first : NULL; p; p = p->next) {
		if (p->type != TOML_TABLE)
			file_error(file, p->line, "'profile.%s' is %s, and should be a table: [profile.NAME]", p->key, toml_type_name(p->type));
		check_table(file, p, " in a profile", true, true);
	}
}

/* 0 or errno: a regular file of at most TOML_MAX bytes, with one more if it is larger. */
static int read_file(ConfigFile *file)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 ? errno : 0;

	if (r == 0 && !S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	file->bytes = xrealloc(NULL, TOML_MAX + 1);
	while (r == 0 && file->len <= TOML_MAX) {
		ssize_t n = read(fd, file->bytes + file->len, TOML_MAX + 1 - file->len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			r = errno;
		file->len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

static void release_file(ConfigFile *file)
{
	free(file->path);
	free(file->bytes);
	toml_free(file->root);
	*file = (ConfigFile){.project = file->project};
}

bool config_open(const char *path, bool project, ConfigFile *out)
{
	TomlError error;
	int r;

	*out = (ConfigFile){.path = xasprintf("%s", path), .project = project};
	r = read_file(out);
	if (r == ENOENT || r == ENOTDIR || (r == EACCES && !project)) { /* the user's own directory may be closed to who runs this */
		release_file(out);
		return false;
	}
	if (r)
		exit(cli_fail("%s: cannot read it: %s (`--no-config` before the command leaves it out)", path, r == EINVAL ? "it is no file" : strerror(r)));
	out->root = toml_parse(out->bytes, out->len, &error);
	if (!out->root)
		file_error(out, error.line, "%s", error.message);
	check_file(out);
	out->trusted = !project || trust_has(out);
	return true;
}

static const TomlValue *profile_of(const ConfigFile *file)
{
	return config.profile ? toml_get(toml_get(file->root, "profile"), config.profile) : NULL;
}

static void add_name(void *ctx, const char *name)
{
	char **names = ctx, *longer = xasprintf("%s%s%s", *names ? *names : "", *names ? ", " : "", name);

	free(*names);
	*names = longer;
}

void config_profiles(void (*visit)(void *ctx, const char *name), void *ctx)
{
	for (int i = 0; i < 2; i++) {
		const TomlValue *profiles = toml_get(config.files[i].root, "profile");
		for (const TomlValue *p = profiles ? profiles->first : NULL; p; p = p->next)
			if (i == 0 || !toml_get(toml_get(config.files[0].root, "profile"), p->key))
				visit(ctx, p->key);
	}
}

static void check_profile(void)
{
	char *names = NULL;

	if (!config.profile || profile_of(&config.files[0]) || profile_of(&config.files[1]))
		return;
	config_profiles(add_name, &names);
	exit(cli_fail("there is no profile '%s' (of %s)%s%s; one is made by [profile.%s] in a bvisor.toml: see bvisor.toml(5)", config.profile, config.profile_by, names ? ": there are " : "", names ? names : "",
		      config.profile));
}

void config_load(void)
{
	const char *profile = getenv("BVISOR_PROFILE"), *dir = config_dir();
	char *project;

	if (config.loaded)
		return;
	config.loaded = true;
	config.files[1].project = true;
	if (config.disabled) {
		if (config.chosen)
			exit(cli_fail("--profile needs the files that --no-config leaves out"));
		return;
	}
	if (!config.chosen && profile && *profile) {
		config.profile = profile;
		config.profile_by = "$BVISOR_PROFILE";
	}
	char *own = dir ? xasprintf("%s/bvisor.toml", dir) : NULL;
	if (own)
		config_open(own, false, &config.files[0]);
	project = config_find_project();
	if (project && (!own || strcmp(project, own) != 0)) /* else started in the user's own directory */
		config_open(project, true, &config.files[1]);
	free(project);
	free(own);
	check_profile();
}

/* ---- values ---- */

/* "~" and relative paths of a file: a path in it means the same from everywhere. */
static char *file_path(const ConfigFile *file, const char *text)
{
	const char *home = getenv("HOME"), *slash = strrchr(file->path, '/');

	if (text[0] == '~' && (text[1] == '/' || text[1] == '\0') && home)
		return xasprintf("%s%s", home, text + 1);
	if (text[0] == '/' || text[0] == '\0')
		return xasprintf("%s", text);
	return xasprintf("%.*s/%s", (int)(slash - file->path), file->path, text);
}

/* dir:PATH, tmpfs, s3://...; for `snapshots` also a path. */
static char *file_place(const ConfigFile *file, const ConfigKey *key, const char *text)
{
	if (strncmp(text, "dir:", 4) == 0 && text[4]) {
		char *path = file_path(file, text + 4), *place = xasprintf("dir:%s", path);
		free(path);
		return place;
	}
	return key->variable && !strstr(text, "://") ? file_path(file, text) : xasprintf("%s", text);
}

static char *as_text(const ConfigFile *file, const ConfigKey *key, const TomlValue *v)
{
	switch (v->type) {
	case TOML_STRING:
		if (key->kind == CONFIG_PATH || key->kind == CONFIG_PATHS)
			return file_path(file, v->text);
		return key->kind == CONFIG_PLACE ? file_place(file, key, v->text) : xasprintf("%s", v->text);
	case TOML_INTEGER: return xasprintf("%lld", (long long)v->integer);
	case TOML_FLOAT: return xasprintf("%.17g", v->real);
	case TOML_BOOLEAN:
	case TOML_ARRAY:
	case TOML_TABLE: break;
	}
	return xasprintf("%s", "");
}

/* What options point to lives until exit. */
static const char *keep(char *text)
{
	static List kept;

	list_add(&kept, text);
	return text;
}

void config_texts(const ConfigValue *v, void (*visit)(void *ctx, const char *text), void *ctx)
{
	const TomlValue *value = v->value;

	if (value->type == TOML_BOOLEAN && !value->boolean)
		return;
	if (value->type != TOML_ARRAY && value->type != TOML_TABLE) {
		visit(ctx, keep(as_text(v->file, v->key, value)));
		return;
	}
	for (const TomlValue *item = value->first; item; item = item->next)
		visit(ctx, keep(value->type == TOML_TABLE ? xasprintf("%s=%s", item->key, item->text) : as_text(v->file, v->key, item)));
}

/* ---- trust ---- */

static double as_number(const ConfigKey *key, const ConfigFile *file, const TomlValue *v)
{
	char *text = as_text(file, key, v), *origin = xasprintf("%s:%u: %s", file->path, v->line, key->name);
	double number = 0;

	set_error_origin(origin);
	switch (key->kind) {
	case CONFIG_SIZE: number = (double)parse_size(NULL, key->name, text); break;
	case CONFIG_COUNT: number = (double)parse_limit(NULL, key->name, text); break;
	case CONFIG_CPUS: number = parse_cpus(NULL, key->name, text); break;
	case CONFIG_DURATION: number = parse_duration(NULL, key->name, text); break;
	default: break;
	}
	set_error_origin(NULL);
	free(origin);
	free(text);
	return number;
}

/* How open it is; an unknown word is not taken later, either. Not set counts as closed: with an --allow it is. */
static int net_rank(const TomlValue *v)
{
	return !v || strcmp(v->text, "none") == 0 ? 0 : strcmp(v->text, "internet") == 0 ? 1 : 2;
}

static const TomlValue *table_value(const ConfigFile *file, const TomlValue *profile, const ConfigKey *key)
{
	return toml_get(profile ? profile : key->variable ? file->root : toml_get(file->root, "run"), key->name);
}

/* What counts without the project's file; NULL: nothing is set. */
static const TomlValue *users_value(const ConfigKey *key)
{
	const ConfigFile *user = &config.files[0];
	const TomlValue *profile = profile_of(user), *v = profile ? toml_get(profile, key->name) : NULL;

	return v ? v : table_value(user, NULL, key);
}

static bool follows_net(const ConfigKey *key)
{
	return strcmp(key->name, "allow") == 0 || strcmp(key->name, "publish") == 0 || strcmp(key->name, "dns") == 0;
}

/* Why a file that is not trusted may not say this; NULL: it may. */
static const char *find_refusal(const ConfigFile *file, const ConfigKey *key, const TomlValue *v)
{
	const TomlValue *own = users_value(key);

	if (v->type == TOML_ARRAY && !v->first && !follows_net(key)) /* without rules the network may be open */
		return NULL;
	switch (key->trust) {
	case TRUST_ANY: return NULL;
	case TRUST_TRUE: return v->boolean || !own || !own->boolean ? NULL : "would take off what your own file sets";
	case TRUST_LESS:
		if (!own || as_number(key, file, v) <= as_number(key, &config.files[0], own))
			return NULL;
		return "is more than your own file allows";
	case TRUST_NET: return net_rank(v) <= net_rank(own) ? NULL : "would open the network";
	default: return "would loosen the sandbox, or lead out of it";
	}
}

static _Noreturn void refuse(const ConfigValue *v)
{
	char *path = quoted(v->file->path);

	exit(cli_fail("%s:%u: '%s' %s, and this file is not trusted (it came with the project, or has changed since): look at it, then `bvisor trust %s`; or leave it out with --no-config", v->file->path,
		      v->value->line, v->key->name, v->refusal, path));
}

/* ---- what counts ---- */

static bool adds_up(const ConfigKey *key)
{
	return strcmp(key->name, "hide") == 0 || key->kind == CONFIG_ENV;
}

typedef struct Layer {
	const ConfigFile *file;
	bool profile;
} Layer;

/* From low to high. */
static const Layer layers[] = {{&config.files[0], false}, {&config.files[1], false}, {&config.files[0], true}, {&config.files[1], true}};

static const TomlValue *layer_value(const Layer *layer, const ConfigKey *key)
{
	const TomlValue *profile = layer->profile ? profile_of(layer->file) : NULL;

	if (!layer->file->root || (layer->profile && !profile))
		return NULL;
	return table_value(layer->file, profile, key);
}

static bool is_covered(size_t at, const ConfigKey *key)
{
	static const ConfigKey net = {"net", CONFIG_TEXT, TRUST_NET, NULL};

	for (size_t i = at + 1; i < ARRAY_LEN(layers); i++)
		if (layer_value(&layers[i], key) || (follows_net(key) && layer_value(&layers[i], &net)))
			return !adds_up(key);
	return false;
}

static void each_value(const ConfigKey *key, void (*visit)(void *ctx, const ConfigValue *v), void *ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(layers); i++) {
		const Layer *layer = &layers[i];
		ConfigValue v = {key, layer_value(layer, key), layer->file, layer->profile ? config.profile : NULL, NULL};
		if (!v.value)
			continue;
		v.refusal = v.file->trusted ? NULL : find_refusal(v.file, key, v.value);
		if (v.refusal || !is_covered(i, key))
			visit(ctx, &v);
	}
}

void config_each(void (*visit)(void *ctx, const ConfigValue *v), void *ctx)
{
	config_load();
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		each_value(&keys[i], visit, ctx);
}

static void set_variable(void *ctx, const char *text)
{
	setenv(ctx, text, 0);
}

static void set_place(void *ctx, const ConfigValue *v)
{
	(void)ctx;
	if (v->refusal)
		refuse(v);
	config_texts(v, set_variable, (void *)(uintptr_t)v->key->variable);
}

void config_set_places(void)
{
	config_load();
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].variable)
			each_value(&keys[i], set_place, NULL);
}

typedef struct RunVisit {
	bool (*given)(void *ctx, const char *key);
	void (*visit)(void *ctx, const char *key, const char *text);
	void *ctx;
	const ConfigValue *value;
} RunVisit;

static void visit_text(void *ctx, const char *text)
{
	const RunVisit *r = ctx;

	r->visit(r->ctx, r->value->key->name, text);
}

static void visit_run(void *ctx, const ConfigValue *v)
{
	RunVisit *r = ctx;
	const ConfigKey *key = v->key;

	if (v->refusal)
		refuse(v);
	if ((r->given(r->ctx, key->name) && !adds_up(key)) || (follows_net(key) && r->given(r->ctx, "net")))
		return;
	char *origin = xasprintf("%s:%u", v->file->path, v->value->line);
	r->value = v;
	set_error_origin(origin);
	config_texts(v, visit_text, r);
	set_error_origin(NULL);
	free(origin);
}

void config_run_values(bool (*given)(void *ctx, const char *key), void (*visit)(void *ctx, const char *key, const char *text), void *ctx)
{
	RunVisit r = {given, visit, ctx, NULL};

	config_load();
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!keys[i].variable)
			each_value(&keys[i], visit_run, &r);
}

size_t config_needs_trust(const ConfigFile *file, void (*visit)(void *ctx, const ConfigValue *v), void *ctx)
{
	const TomlValue *profiles = toml_get(file->root, "profile"), *p = NULL;
	size_t n = 0;

	do { /* first what is of no profile */
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			ConfigValue v = {&keys[i], table_value(file, p, &keys[i]), file, p ? p->key : NULL, NULL};
			v.refusal = v.value ? find_refusal(file, v.key, v.value) : NULL;
			if (!v.refusal)
				continue;
			n++;
			visit(ctx, &v);
		}
		p = p ? p->next : profiles ? profiles->first : NULL;
	} while (p);
	return n;
}

/* ---- as text ---- */

static void print_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = utf8_length(p);
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (control_length(p))
			fprintf(out, "\\u%04x", p[n - 1]);
		else
			fwrite(p, 1, n, out); /* the parser takes UTF-8 only */
		p += n;
	}
	fputc('"', out);
}

void config_print_value(FILE *out, const TomlValue *v)
{
	const char *separator = "";

	switch (v->type) {
	case TOML_STRING: print_string(out, v->text); return;
	case TOML_INTEGER: fprintf(out, "%lld", (long long)v->integer); return;
	case TOML_FLOAT: fprintf(out, "%g", v->real); return;
	case TOML_BOOLEAN: fputs(v->boolean ? "true" : "false", out); return;
	case TOML_ARRAY:
	case TOML_TABLE: break;
	}
	fputs(v->type == TOML_ARRAY ? "[" : "{ ", out);
	for (const TomlValue *item = v->first; item; item = item->next, separator = ", ") {
		fputs(separator, out);
		if (item->key) {
			print_string(out, item->key);
			fputs(" = ", out);
		}
		config_print_value(out, item);
	}
	fputs(v->type == TOML_ARRAY ? "]" : " }", out);
}
