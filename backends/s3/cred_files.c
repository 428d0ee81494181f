/* backends/s3/cred_files.c - keys from the environment, from the profile files, and from a program that a profile names (credential_process). */
#include "backends/s3/cred.h"
#include "backends/s3/cred_role.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#define PROCESS_TIMEOUT_MS 60000
#define PROCESS_OUTPUT_MAX 65536

int s3_source_environment(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY"), *token = getenv("AWS_SESSION_TOKEN");

	(void)config, (void)profiles;
	if (!id || !*id)
		return 0;
	if (!secret || !*secret)
		return bv_fail(err, -EACCES, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY; set both");
	if (s3_keys_set(keys, id, secret, token) < 0)
		return bv_fail(err, -EACCES, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN is too long or has blanks in it; correct it");
	return 1;
}

/* ---- credential_process ---- */

/* Splits a command line as a shell would without any of its other features: blanks, both quotes, backslash. `text` is overwritten. */
static int split_command(char *text, char **argv, int max)
{
	int n = 0;
	char *out = text;

	while (*text) {
		char quote = 0;
		while (*text == ' ' || *text == '\t')
			text++;
		if (!*text)
			break;
		if (n == max - 1)
			return -EINVAL;
		argv[n++] = out;
		for (; *text && (quote || (*text != ' ' && *text != '\t')); text++) {
			if (!quote && (*text == '"' || *text == '\''))
				quote = *text;
			else if (*text == quote)
				quote = 0;
			else if (*text == '\\' && quote != '\'' && text[1])
				*out++ = *++text;
			else
				*out++ = *text;
		}
		if (quote)
			return -EINVAL;
		if (*text)
			text++;
		*out++ = 0;
	}
	argv[n] = NULL;
	return n ? n : -EINVAL;
}

/* Reads until the end of the file or the time; the text is secret. */
static int read_output(int fd, char *buffer, size_t size)
{
	uint64_t end = bv_now_ns() + PROCESS_TIMEOUT_MS * 1000000ull;
	size_t n = 0;

	for (;;) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		uint64_t now = bv_now_ns();
		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&poller, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		ssize_t got = read(fd, buffer + n, size - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return bv_neg_errno();
		n += (size_t)got;
		buffer[n] = 0;
		if (got == 0)
			return (int)n;
		if (n + 1 == size)
			return -EFBIG;
	}
}

static int spawn(char **argv, int out, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r == 0) {
		r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&actions, out, 1);
		if (r == 0)
			r = posix_spawnp(pid, argv[0], &actions, NULL, argv, bv_environ());
		posix_spawn_file_actions_destroy(&actions);
	}
	return -r;
}

static int run_program(char **argv, char *buffer, size_t size)
{
	int ends[2], r, status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return bv_neg_errno();
	r = spawn(argv, ends[1], &pid);
	close(ends[1]);
	if (r == 0) {
		r = read_output(ends[0], buffer, size);
		if (r < 0)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (r >= 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
			r = -ECHILD;
	}
	close(ends[0]);
	return r;
}

static int from_process(const char *profile, const char *command, S3Keys *keys, char **err)
{
	char *argv[64];
	CLEAN_SECRET char *line = strdup(command);
	CLEAN_SECRET char *output = calloc(1, PROCESS_OUTPUT_MAX);
	int r = line && output ? split_command(line, argv, ARRAY_LEN(argv)) : -ENOMEM;

	if (r > 0)
		r = run_program(argv, output, PROCESS_OUTPUT_MAX);
	if (r == -ECHILD)
		return bv_fail(err, -EACCES, "the credential_process of profile %s failed; run it by hand to see why", profile);
	if (r == -ETIMEDOUT)
		return bv_fail(err, -EACCES, "the credential_process of profile %s gave no answer for a minute", profile);
	if (r < 0)
		return bv_fail(err, r == -ENOMEM ? r : -EACCES, "cannot run the credential_process of profile %s: %s", profile, strerror(-r));
	if (s3_keys_from_json(keys, output, "SessionToken") < 0)
		return bv_fail(err, -EACCES, "the credential_process of profile %s printed no credentials; it must print JSON with AccessKeyId and SecretAccessKey", profile);
	return 1;
}

/* ---- profiles ---- */

static int from_profile(const S3Config *config, const S3Profiles *p, const char *name, int depth, S3Keys *keys, char **err);

/* A role that is taken on with the keys of another profile. */
static int from_role(const S3Config *config, const S3Profiles *p, const char *name, const char *role, int depth, S3Keys *keys, char **err)
{
	CLEAN_FREE char *source = s3_profiles_value(p, name, "source_profile");
	CLEAN_FREE char *external = s3_profiles_value(p, name, "external_id");
	CLEAN_FREE char *session = s3_profiles_value(p, name, "role_session_name");
	S3Keys *base;
	int r;

	if (!source || depth > 4)
		return bv_fail(err, -EACCES, "profile %s has a role_arn but no source_profile that leads to keys; add one", name);
	base = s3_keys_new();
	if (!base)
		return -ENOMEM;
	r = from_profile(config, p, source, depth + 1, base, err);
	if (r == 0)
		r = bv_fail(err, -EACCES, "profile %s takes its role with the keys of profile %s, which has none", name, source);
	if (r > 0)
		r = s3_assume_role(config, base, role, session, external, keys, err);
	s3_keys_put(base);
	return r;
}

static int from_web_identity(const S3Config *config, const S3Profiles *p, const char *name, const char *role, S3Keys *keys, char **err)
{
	CLEAN_FREE char *file = s3_profiles_value(p, name, "web_identity_token_file");
	CLEAN_FREE char *session = s3_profiles_value(p, name, "role_session_name");

	return file ? s3_assume_role_with_token(config, file, role, session, keys, err) : 0;
}

static int from_profile(const S3Config *config, const S3Profiles *p, const char *name, int depth, S3Keys *keys, char **err)
{
	CLEAN_FREE char *role = s3_profiles_value(p, name, "role_arn");
	CLEAN_SECRET char *id = s3_profiles_value(p, name, "aws_access_key_id");
	CLEAN_SECRET char *secret = s3_profiles_value(p, name, "aws_secret_access_key");
	CLEAN_SECRET char *token = s3_profiles_value(p, name, "aws_session_token");
	CLEAN_SECRET char *command = s3_profiles_value(p, name, "credential_process");
	int r = role ? from_web_identity(config, p, name, role, keys, err) : 0;

	if (r == 0 && role && !(depth && id)) /* a profile that names itself as source has keys, too */
		r = from_role(config, p, name, role, depth, keys, err);
	if (r != 0)
		return r;
	if (id || secret) {
		if (s3_keys_set(keys, id, secret, token) < 0)
			return bv_fail(err, -EACCES, "profile %s of %s has no whole set of keys; it needs aws_access_key_id and aws_secret_access_key", name, p->credentials_path);
		return 1;
	}
	return command ? from_process(name, command, keys, err) : 0;
}

int s3_source_profile(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err)
{
	if (config->profile_named && !s3_profiles_has(profiles, config->profile))
		return bv_fail(err, -EACCES, "there is no profile \"%.80s\" in %s or %s; check AWS_PROFILE", config->profile, profiles->credentials_path, profiles->config_path);
	return from_profile(config, profiles, config->profile, 0, keys, err);
}
