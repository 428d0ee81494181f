/* backends/s3/profile.h - the files that the AWS tools share: ~/.aws/credentials and ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE).
 *
 * A profile is the section [NAME] of the first and [profile NAME] (or [default]) of the second; what the first says wins. */
#ifndef BACKENDS_S3_PROFILE_H
#define BACKENDS_S3_PROFILE_H

#include "base/util.h"

typedef struct S3Profiles {
	char *credentials, *config; /* the texts; secret */
	char *credentials_path, *config_path;
} S3Profiles;

/* Files that are not there are empty. -EACCES and the like with a message that names the file; -ENOMEM. */
int s3_profiles_load(S3Profiles *out, char **err);
void s3_profiles_release(S3Profiles *profiles);
bool s3_profiles_has(const S3Profiles *profiles, const char *name);
/* A value of a profile; `key` is "region" or, of an indented block, "s3.addressing_style". malloc'ed and perhaps secret; NULL if it is not there. */
char *s3_profiles_value(const S3Profiles *profiles, const char *name, const char *key);
/* A value of the section [TITLE] of the config file, such as "services NAME". */
char *s3_profiles_section(const S3Profiles *profiles, const char *title, const char *key);

#endif
