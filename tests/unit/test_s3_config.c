/* tests/unit/test_s3_config.c - locations, the environment and profile files: where a bucket is, and what is refused; XML and times of servers. */
#include "backends/s3/config.h"
#include "backends/s3/cred.h"
#include "backends/s3/xml.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static const char *const variables[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CA_BUNDLE",
					"SSL_CERT_FILE", "AWS_MAX_ATTEMPTS", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
					"AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"};

static char dir[64];

static void write_file(const char *variable, const char *name, const char *text)
{
	CLEAN_FREE char *path = bv_asprintf("%s/%s", dir, name);
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(bv_write_full(fd, text, strlen(text)), 0);
	setenv(variable, path, 1);
}

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	snprintf(dir, sizeof dir, "/var/tmp/bvisor-s3conf-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("HOME", dir, 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return bv_remove_tree_at(AT_FDCWD, dir);
}

static int config_of(const char *location, S3Config *out, char **err)
{
	S3Profiles profiles = {0};
	int r = s3_profiles_load(&profiles, err);

	if (r == 0)
		r = s3_config_init(out, location, &profiles, err);
	s3_profiles_release(&profiles);
	return r;
}

/* The host, whether the bucket is in the path, and the region of a location. */
static void expect(const char *location, const char *host, bool path_style, const char *region)
{
	S3Config config = {0};
	char *err = NULL;
	int r = config_of(location, &config, &err);

	if (r < 0)
		fail_msg("%s: %s", location, err);
	CLEAN_FREE char *made = s3_config_host(&config, config.region);
	assert_string_equal(made, host);
	assert_int_equal(config.path_style, path_style);
	assert_string_equal(config.region, region);
	s3_config_release(&config);
}

static void aws_is_addressed_by_the_host_of_the_bucket(void **state)
{
	(void)state;
	expect("//bucket/a/b", "bucket.s3.us-east-1.amazonaws.com", false, "us-east-1");
	expect("//bucket?region=eu-west-3", "bucket.s3.eu-west-3.amazonaws.com", false, "eu-west-3");
	expect("//bucket?region=cn-north-1", "bucket.s3.cn-north-1.amazonaws.com.cn", false, "cn-north-1");
	expect("//dotted.bucket", "s3.us-east-1.amazonaws.com", true, "us-east-1");
	setenv("AWS_DEFAULT_REGION", "ap-south-1", 1);
	expect("//bucket", "bucket.s3.ap-south-1.amazonaws.com", false, "ap-south-1");
	setenv("AWS_REGION", "auto", 1);
	expect("//bucket", "bucket.s3.auto.amazonaws.com", false, "auto");
}

static void endpoints_are_addressed_by_path_unless_told_otherwise(void **state)
{
	(void)state;
	expect("//bucket?endpoint=https://s3.example.org:443/", "s3.example.org", true, "us-east-1");
	expect("//bucket?endpoint=http://s3.example.org:443", "s3.example.org:443", true, "us-east-1");
	expect("//bucket?endpoint=https://s3.example.org&style=virtual", "bucket.s3.example.org", false, "us-east-1");
	expect("//bucket?endpoint=http://127.0.0.1:9000&style=virtual", "127.0.0.1:9000", true, "us-east-1");
	expect("//bucket?endpoint=http://[::1]:9000&style=virtual", "[::1]:9000", true, "us-east-1");
	setenv("AWS_ENDPOINT_URL", "http://one", 1);
	expect("//bucket", "one", true, "us-east-1");
	setenv("AWS_ENDPOINT_URL_S3", "http://two", 1);
	expect("//bucket", "two", true, "us-east-1");
	expect("//bucket?endpoint=http://three", "three", true, "us-east-1");
}

static void profiles_are_read_as_the_aws_tools_read_them(void **state)
{
	(void)state;
	write_file("AWS_CONFIG_FILE", "config",
		   "; a comment\n[default]\nregion=us-west-1\n\n[profile  other ]\r\nregion = eu-north-1 # behind a blank\r\ns3 =\r\n    addressing_style = virtual\r\n"
		   "    endpoint_url = http://not.this\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://from.services\ndynamodb =\n  endpoint_url = http://wrong\n"
		   "[other]\nregion = never\n[profile last]\nregion=last-1");
	expect("//bucket", "bucket.s3.us-west-1.amazonaws.com", false, "us-west-1");
	expect("//bucket?profile=other", "bucket.from.services", false, "eu-north-1");
	expect("//bucket?profile=last", "bucket.s3.last-1.amazonaws.com", false, "last-1");
	setenv("AWS_PROFILE", "other", 1);
	expect("//bucket", "bucket.from.services", false, "eu-north-1");
}

static void bad_locations_are_refused_with_a_word_about_them(void **state)
{
	static const struct {
		const char *location, *word;
	} bad[] = {
		{"bucket", "s3://BUCKET"},
		{"//", "no name of a bucket"},
		{"//ab", "no name of a bucket"},
		{"//bu..cket", "no name of a bucket"},
		{"//bu cket/x", "no name of a bucket"},
		{"//-bucket", "no name of a bucket"},
		{"//bucket/a\nb", "control"},
		{"//bucket?colour=red", "colour"},
		{"//bucket?region=", "no value"},
		{"//bucket?region=a/b", "region"},
		{"//bucket?style=diagonal", "diagonal"},
		{"//bucket?endpoint=localhost:9000", "URL"},
		{"//bucket?endpoint=http://user:word@host", "URL"},
		{"//bucket?endpoint=http:///x", "URL"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		S3Config config = {.page = 77};
		char *err = NULL;
		assert_int_equal(config_of(bad[i].location, &config, &err), -EINVAL);
		assert_int_equal(config.page, 77);
		if (!strstr(err, bad[i].word) || strstr(err, "word@"))
			fail_msg("%s: %s", bad[i].location, err);
		free(err);
	}
}

static void a_prefix_ends_with_one_slash(void **state)
{
	static const char *const cases[][2] = {{"//bucket", ""}, {"//bucket/", ""}, {"//bucket/a", "a/"}, {"//bucket/a/b//", "a/b/"}, {"//bucket/a b", "a b/"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		S3Config config = {0};
		assert_int_equal(config_of(cases[i][0], &config, NULL), 0);
		assert_string_equal(config.prefix, cases[i][1]);
		s3_config_release(&config);
	}
}

static int keys_of(const char *location, S3Keys **keys, char **err)
{
	S3Config config = {0};
	S3Credentials credentials;
	int r = config_of(location, &config, err);

	assert_int_equal(r, 0);
	s3_credentials_init(&credentials, &config);
	r = s3_credentials_get(&credentials, false, keys, err);
	s3_credentials_release(&credentials);
	s3_config_release(&config);
	return r;
}

static void expect_keys(const char *location, const char *id, const char *token)
{
	S3Keys *keys = NULL;
	char *err = NULL;

	if (keys_of(location, &keys, &err) < 0)
		fail_msg("%s: %s", location, err);
	assert_string_equal(keys->id, id);
	assert_string_equal(keys->token, token);
	s3_keys_put(keys);
}

static void keys_come_from_the_first_source_that_is_there(void **state)
{
	S3Keys *keys = NULL;
	char *err = NULL;

	(void)state;
	assert_int_equal(keys_of("//bucket", &keys, &err), -EACCES);
	assert_non_null(strstr(err, "AWS_ACCESS_KEY_ID"));
	write_file("AWS_SHARED_CREDENTIALS_FILE", "credentials", "[default]\naws_access_key_id=from-default\naws_secret_access_key=s1\n[two]\naws_access_key_id = from-two\n"
								 "aws_secret_access_key = s2\naws_session_token = t2\n[half]\naws_access_key_id = x\n");
	expect_keys("//bucket", "from-default", "");
	setenv("AWS_PROFILE", "two", 1);
	expect_keys("//bucket", "from-two", "t2");
	setenv("AWS_ACCESS_KEY_ID", "from-env", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "s3", 1);
	expect_keys("//bucket", "from-env", "");
	expect_keys("//bucket?profile=two", "from-two", "t2");
	unsetenv("AWS_ACCESS_KEY_ID");
	assert_int_equal(keys_of("//bucket?profile=half", &keys, &err), -EACCES);
	assert_non_null(strstr(err, "half"));
	assert_int_equal(keys_of("//bucket?profile=none", &keys, &err), -EACCES);
	assert_non_null(strstr(err, "none"));
	free(err);
}

static void a_program_may_give_the_keys(void **state)
{
	char *err = NULL, expires[40];
	S3Keys *keys = NULL;
	time_t when = time(NULL) + 3600;
	struct tm tm;

	(void)state;
	gmtime_r(&when, &tm);
	strftime(expires, sizeof expires, "%Y-%m-%dT%H:%M:%SZ", &tm);
	CLEAN_FREE char *text = bv_asprintf("[profile p]\ncredential_process = printf '%%s' '{\"Version\":1,\"AccessKeyId\":\"from program\"}'\n[profile q]\n"
					    "credential_process = echo {\\\"AccessKeyId\\\":\\\"id\\\",\\\"SecretAccessKey\\\":\\\"s\\\",\\\"Expiration\\\":\\\"%s\\\"}\n"
					    "[profile r]\ncredential_process = /nonexistent/program\n[profile s]\ncredential_process = 'open quote\n",
					    expires);
	write_file("AWS_CONFIG_FILE", "config", text);
	assert_int_equal(keys_of("//bucket?profile=p", &keys, &err), -EACCES); /* no secret */
	assert_int_equal(keys_of("//bucket?profile=q", &keys, &err), 0);
	assert_string_equal(keys->id, "id");
	assert_int_equal(keys->expires, when);
	s3_keys_put(keys);
	assert_int_equal(keys_of("//bucket?profile=r", &keys, &err), -EACCES);
	assert_int_equal(keys_of("//bucket?profile=s", &keys, &err), -EACCES);
	assert_non_null(strstr(err, "profile s"));
	free(err);
}

static void times_of_servers_are_read(void **state)
{
	(void)state;
	assert_int_equal(s3_parse_time("1970-01-02T00:00:01Z"), 86401);
	assert_int_equal(s3_parse_time("2011-07-11T19:55:29.611Z"), 1310414129);
	assert_int_equal(s3_parse_time("yesterday"), 0);
}

static int note_text(void *ctx, const char *path, const char *text)
{
	char *out = ctx;
	size_t n = strlen(out);

	snprintf(out + n, 400 - n, "%s=%s;", path, text);
	return strcmp(text, "stop") == 0 ? -ECANCELED : 0;
}

static int read_xml(const char *text, char out[400])
{
	out[0] = 0;
	return s3_xml_parse(text, strlen(text), note_text, out);
}

static void xml_is_read_by_paths_and_bounded(void **state)
{
	char out[400];

	(void)state;
	assert_int_equal(read_xml("<?xml version='1.0'?><a xmlns='x'><b>1 &amp; 2</b><b/>t</a>", out), 0);
	assert_string_equal(out, "a/b=1 & 2;a/b=;a=t;");
	assert_int_equal(read_xml("<a><b>stop</b><c/></a>", out), -ECANCELED);
	assert_int_equal(read_xml("<a><b></a>", out), -EBADMSG);
	assert_int_equal(read_xml("<a>", out), -EBADMSG);
	assert_int_equal(read_xml("", out), -EBADMSG);
	assert_int_equal(read_xml("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", out), -EBADMSG);
	assert_int_equal(read_xml("<a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></a></a></a></a>", out), -EBADMSG);
	CLEAN_FREE char *large = calloc(1, S3_XML_VALUE_MAX + 100);
	memset(large, 'x', S3_XML_VALUE_MAX + 50);
	memcpy(large, "<a>", 3);
	memcpy(large + S3_XML_VALUE_MAX + 40, "</a>", 5);
	assert_int_equal(read_xml(large, out), -EBADMSG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(aws_is_addressed_by_the_host_of_the_bucket),
		TEST(endpoints_are_addressed_by_path_unless_told_otherwise),
		TEST(profiles_are_read_as_the_aws_tools_read_them),
		TEST(bad_locations_are_refused_with_a_word_about_them),
		TEST(a_prefix_ends_with_one_slash),
		TEST(keys_come_from_the_first_source_that_is_there),
		TEST(a_program_may_give_the_keys),
		TEST(times_of_servers_are_read),
		TEST(xml_is_read_by_paths_and_bounded),
	};

	return cmocka_run_group_tests_name("where a bucket is", tests, NULL, NULL);
}
