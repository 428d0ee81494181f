/* lib/hold.c - see hold.h. The name says when and where the sandbox was made: what it is called may be decided later. */
#include "lib/hold.h"
#include "lib/view.h"
#include "snapshot/fetcher.h"
#include "snapshot/hold.h"

#include "base/hmap.h"

char *hold_name(const SandboxConfig *c)
{
	char machine[32] = "";
	CLEAN_FREE char *text = NULL;

	if (!snapshots_machine(machine))
		machine[0] = '\0';
	text = bv_asprintf("%s %lld %ld", machine, (long long)c->created_sec, c->created_nsec);
	return text ? bv_asprintf(SNAP_HOLD_PREFIX "%016llx", (unsigned long long)hash_stable(text, strlen(text))) : NULL;
}

int hold_add(const Snapshots *s, const SandboxConfig *config, const SnapId *id, uint64_t *number, BvError **err)
{
	CLEAN_FREE char *name = hold_name(config);
	char *why = NULL;
	int r = name ? snap_hold_add(s->store, name, id, number, &why) : -ENOMEM;

	if (r < 0)
		*number = 0;
	if (r == -EACCES || r == -EROFS || r == -EPERM) {
		free(why);
		return 0;
	}
	return r < 0 ? lib_fail_text(err, r, why, s->location) : 0;
}

void hold_only(const Snapshots *s, const SandboxConfig *config, uint64_t number)
{
	CLEAN_FREE char *name = hold_name(config);

	if (name)
		snap_hold_only(s->store, name, number);
}

void hold_release(const Snapshots *s, const SandboxConfig *config)
{
	CLEAN_FREE char *name = hold_name(config);

	if (name)
		IGNORE_RESULT(snap_hold_release(s->store, name, NULL));
}

void hold_release_of(const BvSandbox *sb)
{
	CLEAN_FREE char *name = hold_name(&sb->config);
	BlobStore *blobs = NULL;
	ObjectStore *objects = NULL;
	SnapStore *store = NULL;
	char key[2 * KEY_ID_SIZE + 1];
	const char *place;
	SnapId id;

	if (!name || view_open_blobs(sb, &blobs, NULL) < 0)
		return;
	const char *source = blob_source(blobs);
	CLEAN_FREE char *hasty = NULL;
	if (source && snap_fetcher_parse(source, &id, key, &place) == 0) /* a bucket that cannot be reached is not waited for */
		hasty = strncmp(place, "s3:", 3) == 0 ? bv_asprintf("%s%cattempts=1", place, strchr(place, '?') ? '&' : '?') : strdup(place);
	if (hasty && object_open(hasty, false, &objects, NULL) == 0 && snap_store_open(objects, NULL, &store, NULL) == 0)
		IGNORE_RESULT(snap_hold_release(store, name, NULL));
	snap_store_close(store);
	object_close(objects);
	blob_close(blobs);
}
