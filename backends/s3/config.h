/* backends/s3/config.h - where a bucket is: the location `s3://BUCKET[/PREFIX][?OPTION=VALUE&...]`, the environment and the profile.
 *
 * Options of the location, each before what the environment says: endpoint (a URL), region, style (path or virtual), profile, ca (a file of certificates).
 * Keys are never in a location. Everything here is fixed once opened, except the region, which a server may correct (object_s3.c). */
#ifndef BACKENDS_S3_CONFIG_H
#define BACKENDS_S3_CONFIG_H

#include "backends/s3/profile.h"

typedef struct S3Config {
	char *bucket;
	char *prefix;	 /* empty, or ends with '/' */
	char *authority; /* HOST[:PORT] without the bucket; NULL: AWS, made from the region */
	char *base;	 /* what the endpoint has behind its host, without '/' at the end; mostly empty */
	bool tls;
	bool path_style;
	char *region;
	char *profile; /* its name */
	bool profile_named; /* by the user, so that it must exist */
	bool profile_first; /* in the location: before the keys of the environment */
	char *ca;	    /* NULL: the system's */
	int attempts;	    /* AWS_MAX_ATTEMPTS */
	int transfers;	    /* at once; BVISOR_S3_TRANSFERS */
	int page;	    /* names a page of a listing has; BVISOR_S3_PAGE */
	int stall;	    /* seconds without a byte; BVISOR_S3_STALL */
} S3Config;

/* `location` is what follows "s3:". -EINVAL with a message; -ENOMEM. */
int s3_config_init(S3Config *out, const char *location, const S3Profiles *profiles, char **err);
void s3_config_release(S3Config *config);
/* The value of the Host header for a region. malloc'ed; NULL when out of memory. */
char *s3_config_host(const S3Config *config, const char *region);

#endif
