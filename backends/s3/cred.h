/* backends/s3/cred.h - whose keys requests are signed with: the chain that users of the AWS tools expect.
 *
 * In this order, the first that is there: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN · AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (asks STS) · the
 * profile (AWS_PROFILE, else default), with its credential_process or role · AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI · the metadata service of the
 * machine (IMDSv2), unless AWS_EC2_METADATA_DISABLED. A source that is there and fails ends the chain with a message: another identity is not tried silently. A
 * profile that is named in the location comes first of all. Keys are renewed five minutes before they expire. */
#ifndef BACKENDS_S3_CRED_H
#define BACKENDS_S3_CRED_H

#include "backends/s3/config.h"
#include "backends/s3/keys.h"

typedef struct S3Credentials {
	const S3Config *config; /* outlives it */
	S3Keys *keys;		/* NULL: not yet asked for */
	int64_t next_try;	/* after a renewal that failed while the old keys are still good */
} S3Credentials;

void s3_credentials_init(S3Credentials *c, const S3Config *config);
void s3_credentials_release(S3Credentials *c);
/* A reference to keys that are valid now. Mostly at once; else it reads files, asks servers (seconds) or runs a program. With `renew` those that are there are
 * taken as expired. -EACCES with a message if there are none. Not thread-safe: one thread of the store calls it. */
int s3_credentials_get(S3Credentials *c, bool renew, S3Keys **out, char **err) MUST_CHECK;

/* The sources, in cred_files.c and cred_net.c. 1: keys are filled, 0: it is not configured here, negative: it failed, with a message. */
typedef int S3Source(const S3Config *config, const S3Profiles *profiles, S3Keys *keys, char **err);
S3Source s3_source_environment, s3_source_web_identity, s3_source_profile, s3_source_container, s3_source_machine;
/* Fills keys from the JSON of credential_process, a container or a machine. `token` is the name of the token's field. -EINVAL. */
int s3_keys_from_json(S3Keys *keys, const char *text, const char *token);
/* Seconds since 1970 of "2011-07-11T19:55:29.611Z" or "+00:00" at the end; 0 if it is none. */
int64_t s3_parse_time(const char *text);

#endif
