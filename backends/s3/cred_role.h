/* backends/s3/cred_role.h - roles: keys that STS gives for others, or for a token. Between cred_files.c and cred_net.c. */
#ifndef BACKENDS_S3_CRED_ROLE_H
#define BACKENDS_S3_CRED_ROLE_H

#include "backends/s3/cred.h"

/* 1, or negative with a message. `session` and `external` may be NULL. */
int s3_assume_role(const S3Config *config, const S3Keys *with, const char *role, const char *session, const char *external, S3Keys *keys, char **err);
int s3_assume_role_with_token(const S3Config *config, const char *file, const char *role, const char *session, S3Keys *keys, char **err);

#endif
