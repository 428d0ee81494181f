/* backends/s3/xml.h - the texts of a small XML document, by the path of their element. For answers of servers, which are not trusted: no
 * document type (so no entities), bounded depth and lengths, and every byte of memory that the parser frees is wiped, as there may be keys in it. */
#ifndef BACKENDS_S3_XML_H
#define BACKENDS_S3_XML_H

#include "base/util.h"

#define S3_XML_VALUE_MAX 32768

/* Calls `text` at the end of each element, with the path from the root ("ListBucketResult/Contents/Key") and the characters directly in it.
 * -EBADMSG if it is no whole well-formed document within the bounds; -ENOMEM; or the first negative answer of `text`. */
int s3_xml_parse(const void *data, size_t size, int (*text)(void *ctx, const char *path, const char *text), void *ctx) MUST_CHECK;

#endif
