#include "backends/s3/xml.h"

#include <expat.h>
#include <malloc.h>
#include <openssl/crypto.h>

#define DEPTH_MAX 12

typedef struct Reader {
	int (*text)(void *ctx, const char *path, const char *text);
	void *ctx;
	XML_Parser parser;
	int result;
	char path[256];
	size_t ends[DEPTH_MAX]; /* the lengths of the path above each open element */
	int depth;
	char value[S3_XML_VALUE_MAX];
	size_t n_value;
} Reader;

static void wiping_free(void *p)
{
	if (p)
		OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

/* Not realloc, which would leave a copy. */
static void *wiping_realloc(void *p, size_t size)
{
	void *bigger = malloc(size);

	if (!bigger)
		return NULL;
	if (p)
		memcpy(bigger, p, MIN(malloc_usable_size(p), size));
	wiping_free(p);
	return bigger;
}

static void stop(Reader *reader, int result)
{
	if (reader->result == 0)
		reader->result = result;
	XML_StopParser(reader->parser, XML_FALSE);
}

static void begin(void *user, const char *name, const char **attributes)
{
	Reader *reader = user;
	size_t len = strlen(reader->path), more = strlen(name);

	(void)attributes;
	if (reader->depth == DEPTH_MAX || len + more + 2 > sizeof reader->path) {
		stop(reader, -EBADMSG);
		return;
	}
	reader->ends[reader->depth++] = len;
	if (len)
		reader->path[len++] = '/';
	memcpy(reader->path + len, name, more + 1);
	reader->n_value = 0;
}

static void characters(void *user, const char *text, int n)
{
	Reader *reader = user;

	if (reader->n_value + (size_t)n >= sizeof reader->value) {
		stop(reader, -EBADMSG);
		return;
	}
	memcpy(reader->value + reader->n_value, text, (size_t)n);
	reader->n_value += (size_t)n;
}

static void end(void *user, const char *name)
{
	Reader *reader = user;
	int r;

	(void)name;
	reader->value[reader->n_value] = 0;
	r = reader->text(reader->ctx, reader->path, reader->value);
	if (r < 0)
		stop(reader, r);
	reader->path[reader->ends[--reader->depth]] = 0;
	reader->n_value = 0;
}

static void doctype(void *user, const char *name, const char *system, const char *public, int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	stop(user, -EBADMSG);
}

int s3_xml_parse(const void *data, size_t size, int (*text)(void *ctx, const char *path, const char *text), void *ctx)
{
	static const XML_Memory_Handling_Suite wiping = {malloc, wiping_realloc, wiping_free};
	Reader *reader = calloc(1, sizeof *reader);
	int r = -ENOMEM;

	if (!reader || size > INT32_MAX)
		goto out;
	*reader = (Reader){.text = text, .ctx = ctx, .parser = XML_ParserCreate_MM("UTF-8", &wiping, NULL)};
	if (!reader->parser)
		goto out;
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, begin, end);
	XML_SetCharacterDataHandler(reader->parser, characters);
	XML_SetStartDoctypeDeclHandler(reader->parser, doctype);
	r = XML_Parse(reader->parser, data, (int)size, 1) == XML_STATUS_OK ? 0 : -EBADMSG;
	if (reader->result < 0)
		r = reader->result;
	XML_ParserFree(reader->parser);
out:
	if (reader)
		OPENSSL_cleanse(reader, sizeof *reader);
	free(reader);
	return r;
}
