/* lib/unlock.c - see unlock.h. A key is only ever in secret memory and in the pipe to the supervisor, which nobody else has. */
#include "lib/unlock.h"
#include "lib/store.h"
#include "lib/view.h"

#include "base/secret.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define KEY_FILE_MAX 8192

typedef struct Keyring {
	const BvSandbox *sb;
	pthread_mutex_t lock;
	Snapshots place; /* once it was asked for */
} Keyring;

static const BvKeyOptions *told(const BvSandbox *sb)
{
	return sb->key.size ? &sb->key : NULL;
}

static int get_key(void *ctx, const char *place, const SnapKey **out, char **err)
{
	Keyring *ring = ctx;
	BvError *why = NULL;
	int r = 0;

	pthread_mutex_lock(&ring->lock);
	if (!ring->place.store)
		r = snapshots_open(place, ring->sb->store, told(ring->sb), false, &ring->place, &why);
	*out = ring->place.key;
	pthread_mutex_unlock(&ring->lock);
	if (r < 0)
		bv_fail(err, r, "%s", bv_error_message(why));
	bv_error_free(why);
	return r;
}

static void release(void *ctx)
{
	Keyring *ring = ctx;

	if (!ring)
		return;
	snapshots_close(&ring->place);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

SnapKeyring unlock_keyring(const BvSandbox *sb)
{
	Keyring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return (SnapKeyring){0};
	ring->sb = sb;
	pthread_mutex_init(&ring->lock, NULL);
	return (SnapKeyring){get_key, release, ring};
}

static int send_key(const SnapKey *key, int *fd, BvError **err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return lib_fail(err, bv_neg_errno(), "cannot make a pipe: %s", strerror(errno));
	int r = snap_key_send(key, ends[1]); /* a pipe takes it as a whole */
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		return lib_fail(err, r, "cannot give the key to the supervisor: %s", strerror(-r));
	}
	*fd = ends[0];
	return 0;
}

int unlock_for_start(const BvSandbox *sb, int *fd, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots s = {0};
	BlobStore *blobs = NULL;
	char name[2 * KEY_ID_SIZE + 1] = "";
	const char *place = NULL;
	CLEAN_FREE char *source = NULL;
	BvError *why = NULL;
	SnapId id;

	*fd = -1;
	int r = view_open_blobs(sb, &blobs, err);
	if (r < 0)
		return r;
	source = blob_source(blobs) ? strdup(blob_source(blobs)) : NULL;
	blob_close(blobs);
	if (!source || snap_fetcher_parse(source, &id, name, &place) < 0 || !*name)
		return 0;
	SnapKey *key = NULL;
	if (snapshots_key_from_file(told(sb), name, &key) == 0) {
		r = send_key(key, fd, err);
		snap_key_free(key);
		return r;
	}
	r = snapshots_open(place, sb->store, told(sb), false, &s, &why);
	if (r < 0 && r != -ENOKEY && r != -EINVAL) { /* it cannot be reached: the sandbox goes on with what is here */
		bv_error_free(why);
		return 0;
	}
	if (r < 0)
		(void)lib_fail(err, r, "sandbox '%s' fetches its files from an encrypted place, and needs the key: %s (`bvisor restore --prefetch` makes one that needs none)", sb->config.name,
			       bv_error_message(why));
	bv_error_free(why);
	return r < 0 ? r : send_key(s.key, fd, err);
}

void unlock_release(BvSandbox *sb)
{
	bv_close_fd(&sb->key_fd);
	free((void *)(uintptr_t)sb->key.key_file);
	free((void *)(uintptr_t)sb->key.passphrase_file);
	sb->key = (BvKeyOptions){0};
}

/* A pipe can be read once, and a key is asked for several times: its bytes are kept in a file without a name, which is found by its descriptor. */
static int keep_pipe(char **path, int *kept, BvError **err)
{
	struct stat st;

	if (!*path || stat(*path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	CLEAN_FD int from = open(*path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	CLEAN_FD int to = memfd_create("bvisor-key", MFD_CLOEXEC);
	char *secret = secret_new(KEY_FILE_MAX);
	ssize_t n = !secret ? -ENOMEM : from < 0 || to < 0 ? bv_neg_errno() : bv_read_full(from, secret, KEY_FILE_MAX);
	if (n >= 0)
		n = bv_write_full(to, secret, (size_t)n);
	secret_free(secret, KEY_FILE_MAX);
	if (n < 0)
		return lib_fail(err, (int)n, "cannot read %s: %s", *path, strerror((int)-n));
	char *again = bv_asprintf("/proc/self/fd/%d", to);
	if (!again)
		return lib_fail(err, -ENOMEM, "out of memory");
	free(*path);
	*path = again;
	*kept = TAKE_FD(to);
	return 0;
}

/* Of a new sandbox: a place with nothing in it is encrypted with this key from now on, and a wrong one is told before anybody has worked. */
static int settle_place(const BvSandbox *sb, BvError **err)
{
	CLEAN_SNAPSHOTS Snapshots s = {0};

	if (!backend_is_place(sb->config.backend) || !snapshots_key_given(told(sb)))
		return 0;
	return snapshots_open(sb->config.backend, sb->store, told(sb), true, &s, err);
}

int bv_sandbox_set_key(BvSandbox *sb, const BvKeyOptions *options, BvError **err)
{
	BvKeyOptions o = BV_KEY_OPTIONS_INIT;

	if (lib_take_options(&o, sizeof(o), options) < 0)
		return lib_fail(err, -EINVAL, "the options have a size that this library does not know");
	CLEAN_FREE char *key_file = o.key_file ? path_absolute(o.key_file) : NULL;
	CLEAN_FREE char *passphrase_file = o.passphrase_file ? path_absolute(o.passphrase_file) : NULL;
	if ((o.key_file && !key_file) || (o.passphrase_file && !passphrase_file))
		return lib_fail(err, -ENOMEM, "out of memory");
	CLEAN_FD int kept = -1;
	int r = keep_pipe(&key_file, &kept, err);
	if (r == 0)
		r = keep_pipe(&passphrase_file, &kept, err);
	if (r < 0)
		return r;
	unlock_release(sb);
	sb->key_fd = TAKE_FD(kept);
	sb->key = o;
	sb->key.key_file = TAKE_PTR(key_file);
	sb->key.passphrase_file = TAKE_PTR(passphrase_file);
	return sb->is_new ? settle_place(sb, err) : 0;
}
