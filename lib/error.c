/* lib/error.c - message objects, versioned option structs, and descriptors that are no one else's. */
#include "lib/internal.h"

#include <fcntl.h>
#include <stdarg.h>

#ifndef BVISOR_VERSION
#define BVISOR_VERSION "0.1.0"
#endif

const char *bv_version(void)
{
	return BVISOR_VERSION;
}

const char *bv_error_message(const BvError *err)
{
	return err && err->message ? err->message : "";
}

int bv_error_code(const BvError *err)
{
	return err ? err->code : 0;
}

const char *bv_error_stage(const BvError *err)
{
	return err && err->stage ? err->stage : "";
}

void bv_error_free(BvError *err)
{
	if (!err)
		return;
	free(err->message);
	free(err);
}

void bv_free(void *memory)
{
	free(memory);
}

static int put_error(BvError **err, int code, char *text)
{
	BvError *e = calloc(1, sizeof(*e));

	if (!e) {
		free(text);
		return code;
	}
	e->code = code;
	e->message = text;
	bv_error_free(*err);
	*err = e;
	return code;
}

int lib_fail(BvError **err, int code, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	if (!err)
		return code;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return put_error(err, code, text);
}

/* Without the options that a location may end with. */
static bool names(const char *text, const char *location)
{
	return memmem(text, strlen(text), location, strcspn(location, "?"));
}

int lib_fail_text(BvError **err, int code, char *text, const char *what)
{
	if (!text || !names(text, what)) {
		(void)lib_fail(err, code, "%s: %s", what, text ? text : strerror(-code));
		free(text);
		return code;
	}
	if (!err) {
		free(text);
		return code;
	}
	return put_error(err, code, text);
}

const char *lib_way_out(int code)
{
	return code == -EBADMSG || code == -ENOENT ? "; `bvisor fsck` tells what else that hurts" : "";
}

void lib_error_clear(BvError **err)
{
	if (!err)
		return;
	bv_error_free(*err);
	*err = NULL;
}

void lib_error_stage(BvError **err, const char *stage)
{
	if (err && *err)
		(*err)->stage = stage;
}

int lib_take_options(void *dst, size_t own, const void *src)
{
	size_t given;

	if (!src)
		return 0;
	memcpy(&given, src, sizeof(given));
	if (given < sizeof(size_t) || given > 4096)
		return -EINVAL;
	memcpy(dst, src, MIN(given, own));
	memcpy(dst, &own, sizeof(own));
	return 0;
}

int lib_check_flags(unsigned flags, unsigned known, BvError **err)
{
	return flags & ~known ? lib_fail(err, -EINVAL, "the flags 0x%x are none that this library knows", flags & ~known) : 0;
}

void lib_give(void *out, const void *made, size_t own)
{
	size_t room;

	if (!out)
		return;
	memcpy(&room, out, sizeof(room));
	if (room < sizeof(room))
		return;
	room = MIN(room, own);
	memcpy(out, made, room);
	memcpy(out, &room, sizeof(room));
}

int lib_own_fd(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	bv_close_fd(&fd); /* keeps errno */
	return high;
}
