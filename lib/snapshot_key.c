/* lib/snapshot_key.c - which key a place of snapshots is opened with: what the caller gives, the environment, or what he is asked for.
 *
 * A place is encrypted with one key, or not at all, from its first snapshot on (snapshot/sealing.c); whoever opens it with something else is told. Keys and passphrases
 * are only ever in secret memory (base/secret.h) and on no other way than from their file or the caller's `ask` to the snapshot layer; messages name the file at most. */
#include "lib/snapshots.h"

#include "base/secret.h"

#include <fcntl.h>

enum { SECRET_MAX = 4096, KEY_SIZE = 32, ASK_TIMES = 3 };

/* What shall be used, and how it was given. */
typedef struct Given {
	const char *key_file, *passphrase_file;
	bool by_environment;
	const BvKeyOptions *options;
} Given;

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int take_given(const BvKeyOptions *o, Given *out, BvError **err)
{
	*out = (Given){o->key_file, o->passphrase_file, false, o};
	if (!o->key_file && !o->passphrase_file)
		*out = (Given){variable("BVISOR_KEY_FILE"), variable("BVISOR_PASSPHRASE_FILE"), true, o};
	if (out->key_file && out->passphrase_file)
		return lib_fail(err, -EINVAL, out->by_environment ? "both BVISOR_KEY_FILE and BVISOR_PASSPHRASE_FILE are set: a place has one key, unset one of them" :
								    "both a key file and a passphrase file are given: a place has one key");
	return 0;
}

bool snapshots_key_given(const BvKeyOptions *options)
{
	BvKeyOptions o = BV_KEY_OPTIONS_INIT;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return false; /* snapshots_open says so */
	return o.key_file || o.passphrase_file || variable("BVISOR_KEY_FILE") || variable("BVISOR_PASSPHRASE_FILE");
}

/* Into secret memory of SECRET_MAX bytes; pipes too. `line`: as far as its first one, without the end of that. The length, or an error with a message. */
static ssize_t read_secret(const char *path, bool line, char *out, BvError **err)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? bv_neg_errno() : bv_read_full(fd, out, SECRET_MAX);

	if (n < 0)
		return lib_fail(err, (int)n, "cannot read %s: %s", path, strerror((int)-n));
	const char *end = line ? memchr(out, '\n', (size_t)n) : NULL;
	if (end)
		n = end - out;
	if (line && n > 0 && out[n - 1] == '\r')
		n--;
	return n == SECRET_MAX ? lib_fail(err, -EINVAL, "%s is too long to be a %s", path, line ? "passphrase" : "key") : n;
}

/* In place, so that no copy is made. */
static int key_from_hex(char *secret)
{
	for (size_t i = 0; i < 2 * KEY_SIZE; i++) {
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *digit = secret[i] ? strchr(digits, secret[i]) : NULL;
		if (!digit)
			return -EINVAL;
		unsigned value = (unsigned)(digit - digits) & 15;
		secret[i / 2] = (char)(i % 2 ? (unsigned char)secret[i / 2] << 4 | value : value);
	}
	return 0;
}

/* 32 bytes, or 64 hex digits. Spoils the secret. */
static int parse_key(char *secret, size_t n, const char *path, SnapKey **out, BvError **err)
{
	bool hex = n == 2 * KEY_SIZE || (n == 2 * KEY_SIZE + 1 && secret[n - 1] == '\n');
	int r = hex ? key_from_hex(secret) : n == KEY_SIZE ? 0 : -EINVAL;

	if (r == 0)
		r = snap_key_new((const uint8_t *)secret, out);
	if (r == -EINVAL)
		return lib_fail(err, r, "%s is no key: 32 bytes, or 64 hexadecimal digits (`openssl rand -hex 32` makes one); a passphrase is given with --passphrase-file", path);
	return r < 0 ? lib_fail(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int load_key_file(const char *path, SnapKey **out, BvError **err)
{
	char *secret = secret_new(SECRET_MAX);

	if (!secret)
		return lib_fail(err, -ENOMEM, "out of memory");
	ssize_t n = read_secret(path, false, secret, err);
	int r = n < 0 ? (int)n : parse_key(secret, (size_t)n, path, out, err);
	secret_free(secret, SECRET_MAX);
	return r;
}

/* A secret of SECRET_MAX bytes, NUL-terminated; *out is the caller's to free. */
static int load_passphrase(const char *path, char **out, BvError **err)
{
	char *secret = secret_new(SECRET_MAX);
	ssize_t n = secret ? read_secret(path, true, secret, err) : lib_fail(err, -ENOMEM, "out of memory");

	if (n == 0)
		n = lib_fail(err, -EINVAL, "the first line of %s is empty: that is no passphrase", path);
	if (n > 0 && memchr(secret, 0, (size_t)n))
		n = lib_fail(err, -EINVAL, "%s has a zero byte in its first line: that is no passphrase", path);
	if (n < 0) {
		secret_free(secret, SECRET_MAX);
		return (int)n;
	}
	memset(secret + n, 0, SECRET_MAX - (size_t)n); /* what comes after the line */
	*out = secret;
	return 0;
}

/* ---- a place that has decided ---- */

static int open_with_passphrase(Snapshots *s, const char *id, const char *passphrase, const char *from, BvError **err)
{
	char *why = NULL;
	int r = snap_key_open_id(s->objects, id, passphrase, &s->key, &why);

	if (r == -ENOKEY) {
		free(why);
		return lib_fail(err, r, "%s is encrypted, and the passphrase%s%s is not the one that opens it", s->location, *from ? " in " : "", from);
	}
	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

static int ask_passphrase(Snapshots *s, const char *id, const BvKeyOptions *o, BvError **err)
{
	char *secret = secret_new(SECRET_MAX);
	int r = secret ? -ENOKEY : lib_fail(err, -ENOMEM, "out of memory");

	for (int i = 0; r == -ENOKEY && i < ASK_TIMES; i++) {
		explicit_bzero(secret, SECRET_MAX);
		int asked = o->ask ? o->ask(o->ctx, s->location, i, secret, SECRET_MAX) : -ENOTTY;
		secret[SECRET_MAX - 1] = 0;
		if (asked < 0) { /* nobody to ask, or he gave up */
			r = lib_fail(err, -ENOKEY, "%s is encrypted with a passphrase: give it with --passphrase-file FILE or BVISOR_PASSPHRASE_FILE%s", s->location,
				     asked == -ENOTTY ? "; there is no terminal to ask for it" : "");
			break;
		}
		lib_error_clear(err);
		r = open_with_passphrase(s, id, secret, "", err);
	}
	secret_free(secret, SECRET_MAX);
	return r;
}

static int open_passphrase(Snapshots *s, const char *id, const Given *given, BvError **err)
{
	char *passphrase = NULL;

	if (given->key_file)
		return lib_fail(err, -ENOKEY, "%s is encrypted with a passphrase, and a key file is given (%s): give --passphrase-file FILE or BVISOR_PASSPHRASE_FILE instead",
				s->location, given->key_file);
	if (!given->passphrase_file)
		return ask_passphrase(s, id, given->options, err);
	int r = load_passphrase(given->passphrase_file, &passphrase, err);
	if (r == 0)
		r = open_with_passphrase(s, id, passphrase, given->passphrase_file, err);
	secret_free(passphrase, SECRET_MAX);
	return r;
}

static int open_key_file(Snapshots *s, const char *id, const Given *given, BvError **err)
{
	char have[2 * KEY_ID_SIZE + 1];

	if (!given->key_file)
		return lib_fail(err, -ENOKEY, "%s is encrypted with a key that is kept in a file%s: give it with --key-file FILE or BVISOR_KEY_FILE", s->location,
				given->passphrase_file ? ", not with a passphrase" : "");
	int r = load_key_file(given->key_file, &s->key, err);
	if (r < 0)
		return r;
	snap_key_name(snap_key_id(s->key), have);
	if (strcmp(have, id) == 0)
		return 0;
	snap_key_free(TAKE_PTR(s->key));
	return lib_fail(err, -ENOKEY, "%s is encrypted with another key (%s) than the one in %s (%s)", s->location, id, given->key_file, have);
}

/* What comes from the environment is for all places, also those that are only read and need none; but nobody who has set it may find plain snapshots written. */
static int open_plain(const Snapshots *s, bool write, const Given *given, BvError **err)
{
	const char *file = given->key_file ? given->key_file : given->passphrase_file;

	if (!file || (given->by_environment && !write))
		return 0;
	return lib_fail(err, -ENOKEY, "%s is not encrypted, as its first snapshot was taken without a key, and %s%s is given: %s, or use another place for encrypted snapshots", s->location,
			given->by_environment ? (given->key_file ? "BVISOR_KEY_FILE=" : "BVISOR_PASSPHRASE_FILE=") : "", file,
			given->by_environment ? "unset that to go on without encryption" : "leave that out");
}

/* ---- the first snapshot ---- */

/* The key that the passphrase opens, if a first use that was killed has left one; else a new one. *made: it is new. */
static int first_passphrase(Snapshots *s, const char *path, bool *made, BvError **err)
{
	char *passphrase = NULL, *why = NULL;
	int r = load_passphrase(path, &passphrase, err);

	if (r < 0)
		return r;
	r = snap_key_open(s->objects, passphrase, &s->key, &why);
	if (r == -ENOENT || r == -ENOKEY || r == -EBADMSG) {
		free(TAKE_PTR(why));
		r = snap_key_create(s->objects, passphrase, &s->key, &why);
		*made = r == 0;
	}
	secret_free(passphrase, SECRET_MAX);
	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

/* -EEXIST: somebody else has decided meanwhile; then nothing is left of what was made for it. */
static int decide(Snapshots *s, const Given *given, BvError **err)
{
	SnapSealedBy by = given->key_file ? SNAP_KEY_FILE : given->passphrase_file ? SNAP_PASSPHRASE : SNAP_PLAIN;
	char *why = NULL;
	bool made = false;
	int r = 0;

	if (by == SNAP_KEY_FILE)
		r = load_key_file(given->key_file, &s->key, err);
	else if (by == SNAP_PASSPHRASE)
		r = first_passphrase(s, given->passphrase_file, &made, err);
	if (r < 0)
		return r;
	r = snap_sealing_decide(s->store, by, s->key, &why);
	if (r == -EEXIST && made)
		IGNORE_RESULT(snap_key_delete(s->objects, s->key, NULL)); /* it would only be one more that nobody uses */
	if (r < 0) {
		snap_key_free(TAKE_PTR(s->key));
		return lib_fail_text(err, r, why, s->location);
	}
	free(why);
	return 0;
}

static int open_decided(Snapshots *s, const SnapSealing *sealing, bool write, const Given *given, BvError **err)
{
	switch (sealing->by) {
	case SNAP_PLAIN: return open_plain(s, write, given, err);
	case SNAP_KEY_FILE: return open_key_file(s, sealing->key_id, given, err);
	case SNAP_PASSPHRASE: return open_passphrase(s, sealing->key_id, given, err);
	case SNAP_UNDECIDED: break;
	}
	return 0; /* nothing is there to be read */
}

int snapshots_key_from_file(const BvKeyOptions *options, const char *id, SnapKey **out)
{
	BvKeyOptions o = BV_KEY_OPTIONS_INIT;
	char have[2 * KEY_ID_SIZE + 1];
	SnapKey *key = NULL;
	Given given;

	if (lib_take_options(&o, sizeof(o), options) < 0 || take_given(&o, &given, NULL) < 0 || !given.key_file || load_key_file(given.key_file, &key, NULL) < 0)
		return -ENOKEY;
	snap_key_name(snap_key_id(key), have);
	if (strcmp(have, id) != 0) {
		snap_key_free(key);
		return -ENOKEY;
	}
	*out = key;
	return 0;
}

int snapshots_unlock(Snapshots *s, const BvKeyOptions *options, bool write, BvError **err)
{
	BvKeyOptions o = BV_KEY_OPTIONS_INIT;
	SnapSealing sealing;
	char *why = NULL;
	Given given;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options of the key have a size that this library does not know");
	int r = take_given(&o, &given, err);
	if (r < 0)
		return r;
	r = snap_sealing_read(s->store, &sealing, &why);
	if (r == 0 && write && sealing.by == SNAP_UNDECIDED) {
		r = decide(s, &given, err);
		if (r != -EEXIST)
			return r;
		lib_error_clear(err);
		r = snap_sealing_read(s->store, &sealing, &why);
	}
	return r < 0 ? lib_fail_text(err, r, why, s->location) : open_decided(s, &sealing, write, &given, err);
}
