/* tests/unit/test_s3_sign.c - the four examples of S3 requests that AWS publishes with their signatures ("Authenticating Requests: Using the
 * Authorization Header"), and the encoder. */
#include "backends/s3/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DATE "20130524T000000Z"
#define HOST {"host", "examplebucket.s3.amazonaws.com"}

static void expect_signature(const char *method, const char *path, const char *query, const S3Pair *headers, size_t n, const char *payload, const char *signature)
{
	S3Signing signing = {method, path, query, headers, n, payload, DATE, "us-east-1", "s3"};
	S3Keys *keys = s3_keys_new();
	char *value = NULL, *wanted = bv_asprintf(",Signature=%s", signature);

	assert_int_equal(s3_keys_set(keys, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL), 0);
	assert_int_equal(s3_authorization(&signing, keys, &value), 0);
	assert_non_null(strstr(value, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;"));
	assert_non_null(strstr(value, "Signature="));
	assert_string_equal(strstr(value, ",Signature="), wanted);
	free(value);
	free(wanted);
	s3_keys_put(keys);
}

static void get_object_with_range(void **state)
{
	static const S3Pair headers[] = {HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}};

	(void)state;
	expect_signature("GET", "/test.txt", "", headers, 4, EMPTY, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void put_object(void **state)
{
	struct iovec in[] = {{(void *)(uintptr_t) "Welcome to", 10}, {(void *)(uintptr_t) " Amazon S3.", 11}};
	char hash[S3_HASH_TEXT], *path = s3_encode_path("/test$file.text");

	(void)state;
	assert_string_equal(path, "/test%24file.text");
	assert_int_equal(s3_hash(in, 2, 0, 21, hash), 0);
	assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	const S3Pair headers[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, HOST, {"x-amz-content-sha256", hash}, {"x-amz-date", DATE}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
	S3Signing signing = {"PUT", path, "", headers, 5, hash, DATE, "us-east-1", "s3"};
	S3Keys *keys = s3_keys_new();
	char *value = NULL;
	assert_int_equal(s3_keys_set(keys, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""), 0);
	assert_int_equal(s3_authorization(&signing, keys, &value), 0);
	assert_string_equal(value, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
				   "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
				   "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	free(value);
	free(path);
	s3_keys_put(keys);
}

static void get_bucket_lifecycle(void **state)
{
	static const S3Pair headers[] = {HOST, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}}, query[] = {{"lifecycle", ""}};
	CLEAN_FREE char *text = s3_encode_query(query, 1);

	(void)state;
	expect_signature("GET", "/", text, headers, 3, EMPTY, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void list_objects(void **state)
{
	static const S3Pair headers[] = {HOST, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}}, query[] = {{"prefix", "J"}, {"max-keys", "2"}};
	CLEAN_FREE char *text = s3_encode_query(query, 2);

	(void)state;
	assert_string_equal(text, "max-keys=2&prefix=J");
	expect_signature("GET", "/", text, headers, 3, EMPTY, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void the_encoder_keeps_what_is_unreserved(void **state)
{
	static const S3Pair odd[] = {{"prefix", "a/b c+d"}, {"list-type", "2"}, {"continuation-token", "1/x==&?"}, {"uploads", ""}};
	CLEAN_FREE char *query = s3_encode_query(odd, 4);
	CLEAN_FREE char *path = s3_encode_path("/b/..//A-z0.9_~/\xc3\xa4 +%\"'*");
	CLEAN_FREE char *none = s3_encode_query(NULL, 0);

	(void)state;
	assert_string_equal(query, "continuation-token=1%2Fx%3D%3D%26%3F&list-type=2&prefix=a%2Fb%20c%2Bd&uploads=");
	assert_string_equal(path, "/b/..//A-z0.9_~/%C3%A4%20%2B%25%22%27%2A");
	assert_string_equal(none, "");
}

static void a_part_of_the_pieces_is_hashed(void **state)
{
	struct iovec in[] = {{(void *)(uintptr_t) "xxWelc", 6}, {NULL, 0}, {(void *)(uintptr_t) "ome to Amazon ", 14}, {(void *)(uintptr_t) "S3.yy", 5}};
	char hash[S3_HASH_TEXT];

	(void)state;
	assert_int_equal(s3_hash(in, 4, 2, 21, hash), 0);
	assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	assert_int_equal(s3_hash(in, 4, 2, 24, hash), -EIO);
	assert_int_equal(s3_hash(NULL, 0, 0, 0, hash), 0);
	assert_string_equal(hash, EMPTY);
}

static void keys_are_kept_out_of_dumps_children_and_messages(void **state)
{
	S3Keys *keys = s3_keys_new();
	char text[] = "key AKID and SECRET and TOKEN, twice SECRET", line[256], flags[256] = "";
	FILE *maps = fopen("/proc/self/smaps", "re");
	uintptr_t from, to;
	bool here = false;

	(void)state;
	assert_int_equal(s3_keys_set(keys, "AKID", NULL, NULL), -EINVAL);
	assert_int_equal(s3_keys_set(keys, "AKID", "SEC\nRET", NULL), -EINVAL);
	assert_int_equal(s3_keys_set(keys, "AKID", "SECRET", "TOKEN"), 0);
	s3_keys_scrub(keys, text);
	assert_string_equal(text, "key **** and ****** and *****, twice ******");
	while (maps && fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%jx-%jx", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
			here = from <= (uintptr_t)keys && (uintptr_t)keys < to;
		if (here && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, sizeof flags, "%s", line);
	}
	fclose(maps);
	assert_non_null(strstr(flags, " dd")); /* don't dump */
	assert_non_null(strstr(flags, " wf")); /* wipe on fork */
	s3_keys_put(s3_keys_get(keys));
	assert_string_equal(keys->secret, "SECRET");
	s3_keys_put(keys);
	s3_keys_put(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_object_with_range),
		cmocka_unit_test(put_object),
		cmocka_unit_test(get_bucket_lifecycle),
		cmocka_unit_test(list_objects),
		cmocka_unit_test(the_encoder_keeps_what_is_unreserved),
		cmocka_unit_test(a_part_of_the_pieces_is_hashed),
		cmocka_unit_test(keys_are_kept_out_of_dumps_children_and_messages),
	};

	return cmocka_run_group_tests_name("signing", tests, NULL, NULL);
}
