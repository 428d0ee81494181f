/* backends/s3/list.c - listing a bucket, page by page (ListObjectsV2). A page that is no whole XML is asked for again. */
#include "backends/s3/cred.h"
#include "backends/s3/store.h"
#include "backends/s3/xml.h"

#include <stdio.h>
#include <time.h>

typedef struct Entry {
	char *key;
	uint64_t size;
	int64_t time;
} Entry;

typedef struct Page {
	Entry *entries;
	size_t n, cap;
	Entry current;
	bool truncated;
	char *token;
} Page;

static void page_clear(Page *page)
{
	for (size_t i = 0; i < page->n; i++)
		free(page->entries[i].key);
	free(page->current.key);
	free(page->entries);
	free(page->token);
	*page = (Page){0};
}

static int replace(char **field, const char *text)
{
	free(*field);
	return (*field = strdup(text)) ? 0 : -ENOMEM;
}

static int add_entry(Page *page)
{
	if (!page->current.key)
		return -EBADMSG;
	if (!BV_GROW(page->entries, page->n, page->cap))
		return -ENOMEM;
	page->entries[page->n++] = page->current;
	page->current = (Entry){0};
	return 0;
}

static int page_text(void *ctx, const char *path, const char *text)
{
	static const char contents[] = "ListBucketResult/Contents";
	Page *page = ctx;
	const char *rest;

	if (strcmp(path, "ListBucketResult/IsTruncated") == 0)
		page->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "ListBucketResult/NextContinuationToken") == 0)
		return replace(&page->token, text);
	if (strncmp(path, contents, sizeof contents - 1) != 0)
		return 0;
	rest = path + sizeof contents - 1;
	if (!*rest)
		return add_entry(page);
	if (strcmp(rest, "/Key") == 0)
		return replace(&page->current.key, text);
	if (strcmp(rest, "/Size") == 0)
		page->current.size = strtoull(text, NULL, 10);
	else if (strcmp(rest, "/LastModified") == 0)
		page->current.time = s3_parse_time(text);
	return 0;
}

static int check_page(S3Call *call)
{
	Page *page = call->context;
	int r;

	page_clear(page);
	r = s3_xml_parse(call->body, call->n_body, page_text, page);
	return r == 0 && page->truncated && !page->token ? -EBADMSG : r;
}

typedef struct Walk {
	S3Store *store;
	char *prefix; /* the store's and the caller's */
	char page[12];
	int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age);
	void *ctx;
} Walk;

static int show(const Walk *walk, const Page *page, int64_t now)
{
	size_t skip = strlen(walk->store->wire.config.prefix);
	int r = 0;

	for (size_t i = 0; r == 0 && i < page->n; i++) {
		const Entry *e = &page->entries[i];
		/* Not ours, or a server that does not look at the prefix. */
		if (strncmp(e->key, walk->prefix, strlen(walk->prefix)) != 0 || !object_name_valid(e->key + skip))
			continue;
		r = walk->visit(walk->ctx, e->key + skip, e->size, MAX(now - e->time, (int64_t)0));
	}
	return r;
}

/* One page after the token *token (NULL: the first); *token becomes the next one's, NULL after the last. */
static int list_page(const Walk *walk, char **token, char **err)
{
	Page page = {0};
	S3Call call = {.doing = "list", .method = "GET", .params = {{"list-type", "2"}, {"max-keys", walk->page}, {"prefix", walk->prefix}}, .check = check_page, .context = &page};
	int r;

	if (*token)
		call.params[3] = (S3Pair){"continuation-token", *token};
	r = s3_call_run(&walk->store->wire, &call);
	if (r == 0) {
		atomic_store(&walk->store->bucket_seen, true);
		r = show(walk, &page, call.date ? call.date : (int64_t)time(NULL));
		free(*token);
		*token = page.truncated ? TAKE_PTR(page.token) : NULL;
	} else if (err) {
		free(*err);
		*err = TAKE_PTR(call.error);
	}
	free(call.body);
	free(call.error);
	page_clear(&page);
	return r;
}

int s3_store_list(ObjectStore *store, const char *prefix, int (*visit)(void *ctx, const char *name, uint64_t size, int64_t age), void *ctx, char **err)
{
	S3Store *s3 = s3_store_of(store);
	CLEAN_FREE char *whole = bv_asprintf("%s%s", s3->wire.config.prefix, prefix);
	CLEAN_FREE char *token = NULL;
	Walk walk = {.store = s3, .prefix = whole, .visit = visit, .ctx = ctx};
	int r;

	if (!whole)
		return -ENOMEM;
	snprintf(walk.page, sizeof walk.page, "%d", s3->wire.config.page);
	do
		r = list_page(&walk, &token, err);
	while (r == 0 && token);
	return r;
}
