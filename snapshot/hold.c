/* snapshot/hold.c - see hold.h. */
#include "snapshot/hold.h"
#include "snapshot/log.h"

#include <time.h>

#define DAY (24 * 3600)

typedef struct Older {
	SnapStore *s;
	uint64_t than;
} Older;

/* Best effort: what stays goes with the next one. */
static int drop_older(void *ctx, const SnapRef *ref)
{
	const Older *older = ctx;

	if (ref->number < older->than)
		IGNORE_RESULT(snap_ref_delete(older->s, ref->name, ref->number, NULL));
	return 0;
}

int snap_hold_add(SnapStore *s, const char *name, const SnapId *id, uint64_t *number, char **err)
{
	SnapRef made = {0};
	int r = snap_ref_append(s, name, UINT64_MAX, id, &made, err);

	*number = made.number;
	return r;
}

void snap_hold_only(SnapStore *s, const char *name, uint64_t number)
{
	if (number > 1)
		IGNORE_RESULT(snap_ref_list(s, name, drop_older, &(Older){s, number}, NULL));
}

int snap_hold_take(SnapStore *s, const char *name, const SnapId *id, char **err)
{
	uint64_t number;
	int r = snap_hold_add(s, name, id, &number, err);

	if (r == 0)
		snap_hold_only(s, name, number);
	return r;
}

int snap_hold_renew(SnapStore *s, const char *name, const SnapId *id, char **err)
{
	SnapRef now;
	bool held = snap_ref_read(s, name, 0, &now, NULL) == 0 && memcmp(&now.id, id, sizeof *id) == 0;

	if (!held)
		return snap_hold_take(s, name, id, err);
	if (now.seconds + DAY < (int64_t)time(NULL))
		IGNORE_RESULT(snap_hold_take(s, name, id, NULL));
	return 0;
}

int snap_hold_release(SnapStore *s, const char *name, char **err)
{
	char *why = NULL;
	int r = snap_ref_delete(s, name, 0, &why);

	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		bv_fail(err, r, "%s", why ? why : strerror(-r));
	free(why);
	return r;
}

typedef struct Hold {
	char name[129];
	int64_t age; /* of its youngest generation, by the store's clock */
} Hold;

typedef struct Holds {
	Hold *all;
	size_t n, room;
} Holds;

/* They come by name. */
static int note_held(void *ctx, const char *object, uint64_t size, int64_t age)
{
	Holds *holds = ctx;
	const char *name = object + strlen("refs/"), *slash = strchr(name, '/');
	Hold hold = {.age = age};
	uint64_t number;

	(void)size;
	if (!slash || (size_t)(slash - name) >= sizeof hold.name || log_number(object, &number) < 0)
		return 0;
	memcpy(hold.name, name, (size_t)(slash - name));
	if (holds->n && strcmp(holds->all[holds->n - 1].name, hold.name) == 0) {
		holds->all[holds->n - 1].age = MIN(holds->all[holds->n - 1].age, age);
		return 0;
	}
	if (!BV_GROW(holds->all, holds->n, holds->room))
		return -ENOMEM;
	holds->all[holds->n++] = hold;
	return 0;
}

int snap_hold_expire(SnapStore *s, int64_t older, char **err)
{
	Holds holds = {0};
	int r = kept_list(s, "refs/" SNAP_HOLD_PREFIX, note_held, &holds, err);

	for (size_t i = 0; i < holds.n && r == 0; i++)
		if (holds.all[i].age > older)
			r = snap_hold_release(s, holds.all[i].name, err);
	free(holds.all);
	return r;
}
