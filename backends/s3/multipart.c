/* backends/s3/multipart.c - large objects go up in parts, side by side.
 *
 *   create --id--> parts (all begun at once; the wire bounds how many are under way) --all there--> complete --> done
 *      |               | one failed: the others are waited for
 *      +---------------+--> abort --> done with the first error
 *
 * Until it is completed nothing of the object is seen. What a killed client leaves is an unfinished upload, which the bucket's lifecycle rules remove
 * (docs/BACKENDS.md). Everything runs on the thread of the wire, so there is no lock. */
#include "backends/s3/store.h"
#include "backends/s3/xml.h"

#include <stdio.h>

#define PARTS_MAX 10000

typedef struct Part {
	S3Call call;
	struct Upload *upload;
	char number[12];
} Part;

typedef struct Upload {
	S3Store *store;
	ObjectRequest *request;
	S3Call call; /* create, complete, abort, look */
	char sha256[S3_HASH_TEXT];
	size_t size, part_size;
	char *id;
	Part *parts;
	int n_parts, under_way;
	char *list; /* the body of complete */
	struct iovec list_in;
	int result; /* the first error, with its message */
	char *message;
} Upload;

static void upload_end(Upload *up)
{
	ObjectRequest *request = up->request;
	CLEAN_FREE char *message = TAKE_PTR(up->message);
	int result = up->result;

	free(up->call.body);
	free(up->call.error);
	free(up->id);
	free(up->parts);
	free(up->list);
	free(up);
	s3_answer(request, result, &message);
}

static void begin(Upload *up, const char *method, void (*done)(S3Call *call))
{
	free(up->call.body);
	free(up->call.error);
	up->call = (S3Call){.doing = "put", .method = method, .name = up->request->name, .done = done, .user = up, .context = up};
	if (up->id)
		up->call.params[0] = (S3Pair){"uploadId", up->id};
}

static void note_error(Upload *up, S3Call *call)
{
	if (up->result < 0 || call->result == 0)
		return;
	up->result = call->result;
	up->message = TAKE_PTR(call->error);
}

/* ---- the end ---- */

static void aborted(S3Call *call)
{
	upload_end(call->user); /* whatever the answer: it was only to save space */
}

static void give_up(Upload *up)
{
	if (!up->id) {
		upload_end(up);
		return;
	}
	begin(up, "DELETE", aborted);
	up->call.cleanup = true;
	s3_call_begin(&up->store->wire, &up->call);
}

/* The answer to an earlier "complete" was lost, and the upload is not known any more: is the object there? */
static void looked(S3Call *call)
{
	Upload *up = call->user;

	if (call->result == 0 && strcmp(call->sha256, up->sha256) == 0) {
		free(TAKE_PTR(up->message));
		up->result = 0;
		upload_end(up);
		return;
	}
	give_up(up);
}

static int complete_text(void *ctx, const char *path, const char *text)
{
	(void)text;
	if (strcmp(path, "CompleteMultipartUploadResult") == 0)
		*(bool *)ctx = true;
	return 0;
}

/* This answer may begin with 200 and yet be an error. */
static int check_complete(S3Call *call)
{
	bool complete = false;
	int r = s3_xml_parse(call->body, call->n_body, complete_text, &complete);

	if (r < 0 || complete)
		return r;
	s3_read_error(call);
	return -EAGAIN;
}

static void completed(S3Call *call)
{
	Upload *up = call->user;

	note_error(up, call);
	if (call->result == 0) {
		upload_end(up);
	} else if (call->ambiguous || strcmp(call->code, "NoSuchUpload") == 0) { /* as libcurl repeats requests, too */
		begin(up, "HEAD", looked);
		up->call.params[0] = (S3Pair){NULL, NULL};
		s3_call_begin(&up->store->wire, &up->call);
	} else {
		give_up(up);
	}
}

static int make_list(Upload *up)
{
	size_t room = 128 + (size_t)up->n_parts * 256, n = 0;

	up->list = malloc(room);
	if (!up->list)
		return -ENOMEM;
	n += (size_t)snprintf(up->list, room, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (int i = 0; i < up->n_parts; i++)
		n += (size_t)snprintf(up->list + n, room - n, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i + 1, up->parts[i].call.etag);
	n += (size_t)snprintf(up->list + n, room - n, "</CompleteMultipartUpload>");
	up->list_in = (struct iovec){up->list, n};
	return 0;
}

static void complete(Upload *up)
{
	if (make_list(up) < 0) {
		up->result = -ENOMEM;
		give_up(up);
		return;
	}
	begin(up, "POST", completed);
	up->call.in = &up->list_in;
	up->call.n_in = 1;
	up->call.size = up->list_in.iov_len;
	up->call.check = check_complete;
	s3_call_begin(&up->store->wire, &up->call);
}

/* ---- parts ---- */

/* An ETag goes into XML as it came: quotes are allowed there, these are not. */
static int check_part(S3Call *call)
{
	return call->etag[0] && !strpbrk(call->etag, "<>&") ? 0 : -EBADMSG;
}

static void part_done(S3Call *call)
{
	Part *part = call->user;
	Upload *up = part->upload;

	note_error(up, call);
	free(TAKE_PTR(call->body));
	free(TAKE_PTR(call->error));
	if (--up->under_way > 0)
		return;
	if (up->result < 0)
		give_up(up);
	else
		complete(up);
}

static void begin_parts(Upload *up)
{
	up->under_way = up->n_parts;
	for (int i = 0; i < up->n_parts; i++) {
		Part *part = &up->parts[i];
		size_t offset = (size_t)i * up->part_size;
		part->upload = up;
		snprintf(part->number, sizeof part->number, "%d", i + 1);
		part->call = (S3Call){.doing = "put", .method = "PUT", .name = up->request->name, .check = check_part, .done = part_done, .user = part};
		part->call.params[0] = (S3Pair){"partNumber", part->number};
		part->call.params[1] = (S3Pair){"uploadId", up->id};
		part->call.in = up->request->in;
		part->call.n_in = up->request->n_in;
		part->call.offset = offset;
		part->call.size = MIN(up->part_size, up->size - offset);
	}
	/* The last one may end the upload, so this loop knows its number. */
	for (int i = 0, n = up->n_parts; i < n; i++)
		s3_call_begin(&up->store->wire, &up->parts[i].call);
}

/* ---- the beginning ---- */

static int id_text(void *ctx, const char *path, const char *text)
{
	Upload *up = ctx;

	if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0)
		return 0;
	free(up->id);
	return (up->id = strdup(text)) ? 0 : -ENOMEM;
}

static int check_create(S3Call *call)
{
	Upload *up = call->context;
	int r = s3_xml_parse(call->body, call->n_body, id_text, up);

	return r == 0 && !(up->id && *up->id) ? -EBADMSG : r;
}

static void created(S3Call *call)
{
	Upload *up = call->user;

	note_error(up, call);
	if (up->result == 0 && !(up->parts = calloc((size_t)up->n_parts, sizeof *up->parts)))
		up->result = -ENOMEM;
	if (up->result < 0)
		give_up(up);
	else
		begin_parts(up);
}

void s3_put_parts(S3Store *store, ObjectRequest *request, size_t size, const char *payload)
{
	Upload *up = calloc(1, sizeof *up);

	if (!up) {
		char *none = NULL;
		s3_answer(request, -ENOMEM, &none);
		return;
	}
	up->store = store;
	up->request = request;
	up->size = size;
	up->part_size = MAX(S3_PART_SIZE, (size / PARTS_MAX + 4096) & ~(size_t)4095);
	up->n_parts = (int)((size + up->part_size - 1) / up->part_size);
	memcpy(up->sha256, payload, sizeof up->sha256);
	begin(up, "POST", created);
	up->call.params[0] = (S3Pair){"uploads", ""};
	up->call.headers[0] = (S3Pair){"x-amz-meta-bvisor-sha256", up->sha256};
	up->call.check = check_create;
	s3_call_begin(&store->wire, &up->call);
}
