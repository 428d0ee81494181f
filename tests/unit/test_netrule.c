/* tests/unit/test_netrule.c - rules of what guests may reach, and kinds of addresses. */
#include "base/netrule.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct in6_addr address(const char *text)
{
	struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (inet_pton(AF_INET, text, a.s6_addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static bool allows(const char *text, const char *to, uint16_t port)
{
	struct in6_addr a = address(to);
	NetRule rule;

	assert_int_equal(net_rule_parse(text, &rule, NULL), 0);
	bool yes = net_rule_has_address(&rule, &a, port);
	net_rule_release(&rule);
	return yes;
}

static bool names(const char *text, const char *name)
{
	NetRule rule;

	assert_int_equal(net_rule_parse(text, &rule, NULL), 0);
	bool yes = net_rule_has_name(&rule, name);
	net_rule_release(&rule);
	return yes;
}

static void a_rule_of_addresses_allows_those_alone(void **state)
{
	(void)state;
	assert_true(allows("192.0.2.1", "192.0.2.1", 1));
	assert_true(allows("192.0.2.1", "192.0.2.1", 65535));
	assert_false(allows("192.0.2.1", "192.0.2.2", 1));
	assert_true(allows("192.0.2.1:80", "192.0.2.1", 80));
	assert_false(allows("192.0.2.1:80", "192.0.2.1", 81));
	assert_true(allows("10.0.0.0/9", "10.127.255.255", 1));
	assert_false(allows("10.0.0.0/9", "10.128.0.0", 1));
	assert_true(allows("0.0.0.0/0", "255.1.2.3", 1));
	assert_false(allows("0.0.0.0/0", "2001:db8::1", 1));
	assert_true(allows("::/0", "2001:db8::1", 1));
	assert_true(allows("::1", "::1", 1));
	assert_true(allows("[::1]:8000-8010", "::1", 8010));
	assert_false(allows("[::1]:8000-8010", "::1", 8011));
	assert_true(allows("[fd00::/8]:5432", "fdff::1", 5432));
	assert_false(allows("[fd00::/8]:5432", "fe00::1", 5432));
	assert_true(allows(":53", "8.8.8.8", 53) && allows(":53", "fe80::1", 53));
	assert_false(allows(":53", "8.8.8.8", 54));
}

static void a_rule_of_a_name_allows_that_name_alone(void **state)
{
	(void)state;
	assert_true(names("Example.org", "example.ORG") && names("example.org.", "example.org") && names("example.org:443", "example.org."));
	assert_false(names("example.org", "www.example.org") || names("example.org", "xample.org") || names("example.org", "badexample.org") || names("example.org", ""));
	assert_true(names("*.example.org", "a.b.example.org") && names("*.example.org:80", "A.Example.org."));
	assert_false(names("*.example.org", "example.org") || names("*.example.org", ".example.org") || names("*.example.org", "aexample.org"));
	assert_false(allows("example.org", "1.2.3.4", 1));
}

static void what_makes_no_sense_is_named(void **state)
{
	static const char *const wrong[] = {"", ":", ":0", ":65536", ":80-79", ":80-", ":-80", ":080", "1.2.3.4:", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "10.0.0.1/8", "1.2.3.4/08", "::/129", "[::1", "[::1]80",
					    "[::1]:", "::1:99999:", "a..b", ".a", "-", "a b", "*", "*.", "*.*.a", "a.*", "a/8", "unix:", "unix:x", "http://a", "a:http", "ex\303\244mple.org", "300.1.1.1", "[a]:1:2"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CLEAN_FREE char *why = NULL;
		NetRule rule = {0};
		int r = net_rule_parse(wrong[i], &rule, &why);
		if (strcmp(wrong[i], "-") == 0) { /* a name, if an odd one */
			net_rule_release(&rule);
			continue;
		}
		if (r != -EINVAL || !why)
			fail_msg("'%s' was taken", wrong[i]);
	}
}

static void special_addresses_are_known_in_every_clothing(void **state)
{
	static const char *const special[] = {"127.0.0.1", "127.255.1.2", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.169.254",
					      "169.254.1.1", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fc00::1", "fe80::1", "fec0::1", "224.0.0.1", "255.255.255.255", "ff02::1", "240.0.0.1", "0.1.2.3", "192.0.2.1",
					      "198.18.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "2002:a00:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "::10.0.0.1", "::8.8.8.8", "64:ff9b:1::1", "100::1", "4000::1", "3fff::1"};
	static const char *const public[] = {"1.1.1.1", "8.8.8.8", "172.32.0.1", "172.15.255.255", "100.128.0.1", "11.0.0.1", "9.255.255.255", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		struct in6_addr a = address(special[i]);
		if (!net_special(&a))
			fail_msg("%s is no public address", special[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(public); i++) {
		struct in6_addr a = address(public[i]);
		if (net_special(&a))
			fail_msg("%s is a public address, not %s", public[i], net_special(&a));
	}
}

static void an_address_reads_as_a_rule_does(void **state)
{
	char text[NET_TEXT_MAX];
	struct in6_addr v4 = address("1.2.3.4"), v6 = address("2001:db8::1");
	(void)state;
	assert_string_equal(net_text(&v4, 80, text), "1.2.3.4:80");
	assert_true(allows(text, "1.2.3.4", 80));
	assert_string_equal(net_text(&v6, 443, text), "[2001:db8::1]:443");
	assert_true(allows(text, "2001:db8::1", 443));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_of_addresses_allows_those_alone),
		cmocka_unit_test(a_rule_of_a_name_allows_that_name_alone),
		cmocka_unit_test(what_makes_no_sense_is_named),
		cmocka_unit_test(special_addresses_are_known_in_every_clothing),
		cmocka_unit_test(an_address_reads_as_a_rule_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
