/* tests/s3/objecttool.c - one operation on an object store, for the suites.
 *
 *   objecttool [--clock SECONDS] LOCATION put NAME TEXT | put-new NAME TEXT | get NAME | head NAME | delete NAME | list PREFIX | conditional
 *
 * Prints "ok", with what was read behind it, or the name of the errno and the message. --clock makes the clock of this program wrong by so much: the
 * plugin finds this program's time() before the C library's. */
#include "backends/object.h"

#include <stdio.h>
#include <time.h>

static long clock_error;

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += clock_error;
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

static int show(void *ctx, const char *name, uint64_t size, int64_t age)
{
	(void)ctx, (void)age;
	printf("%s %ju\n", name, (uintmax_t)size);
	return 0;
}

static int get(ObjectStore *store, const char *name, char **err)
{
	CLEAN_FREE uint8_t *body = NULL;
	size_t n = 0;
	int r = object_get(store, name, 0, 0, &body, &n, err);

	if (r == 0)
		fwrite(body, 1, n, stdout);
	return r;
}

static int head(ObjectStore *store, const char *name, char **err)
{
	uint64_t size = 0;
	int r = object_head(store, name, &size, err);

	if (r == 0)
		printf("%ju", (uintmax_t)size);
	return r;
}

static int conditional(ObjectStore *store, char **err)
{
	int r = object_has_if_absent(store, err);

	if (r >= 0)
		printf("%s", r ? "yes" : "no");
	return MIN(r, 0);
}

static int run(ObjectStore *store, const char *verb, const char *name, const char *text, char **err)
{
	if (strcmp(verb, "put") == 0 && text)
		return object_put(store, name, text, strlen(text), 0, err);
	if (strcmp(verb, "put-new") == 0 && text)
		return object_put(store, name, text, strlen(text), OBJECT_IF_ABSENT, err);
	if (strcmp(verb, "get") == 0)
		return get(store, name, err);
	if (strcmp(verb, "head") == 0)
		return head(store, name, err);
	if (strcmp(verb, "delete") == 0)
		return object_delete(store, name, err);
	if (strcmp(verb, "list") == 0)
		return object_list(store, name, show, NULL, err);
	if (strcmp(verb, "conditional") == 0)
		return conditional(store, err);
	return bv_fail(err, -EINVAL, "unknown verb %s", verb);
}

int main(int argc, char **argv)
{
	ObjectStore *store = NULL;
	char *err = NULL;
	int at = 1, r;

	if (argc > 2 && strcmp(argv[1], "--clock") == 0) {
		clock_error = strtol(argv[2], NULL, 10);
		at = 3;
	}
	if (argc < at + 2)
		return 2;
	r = object_open(argv[at], false, &store, &err);
	if (r == 0) {
		printf("ok ");
		r = run(store, argv[at + 1], argc > at + 2 ? argv[at + 2] : "", argc > at + 3 ? argv[at + 3] : NULL, &err);
		printf("\n");
	}
	if (r < 0)
		printf("%s %s\n", strerrorname_np(-r), err ? err : "(no message)");
	object_close(store);
	free(err);
	return r < 0;
}
