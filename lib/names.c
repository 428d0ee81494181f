/* lib/names.c - names of sandboxes: the check, and readable ones for those who give none. */
#include "lib/store.h"

#include <sys/random.h>

static const char *const adjectives[] = {
	"amber", "bold", "brave", "brisk", "bright", "calm", "clear", "clever", "cosy", "crisp", "deep", "eager", "early", "fair", "fast", "fine",
	"firm", "fresh", "gentle", "glad", "golden", "grand", "green", "happy", "humble", "keen", "kind", "large", "light", "lively", "lucky", "mellow",
	"merry", "mild", "neat", "noble", "old", "pale", "patient", "plain", "proud", "quick", "quiet", "rapid", "rare", "ready", "red", "rich",
	"round", "sharp", "shy", "silent", "silver", "smart", "smooth", "soft", "solid", "steady", "still", "sunny", "swift", "tidy", "warm", "wise",
};
static const char *const nouns[] = {
	"acorn", "badger", "beacon", "birch", "brook", "cedar", "cliff", "cloud", "comet", "coral", "crane", "delta", "dune", "eagle", "ember", "falcon",
	"fern", "finch", "fjord", "forest", "fox", "garden", "glade", "grove", "harbor", "hare", "hawk", "heron", "hill", "island", "ivy", "kite",
	"lake", "lark", "leaf", "lynx", "maple", "marsh", "meadow", "moss", "oak", "ocean", "otter", "owl", "pebble", "pine", "pond", "quartz",
	"raven", "reef", "ridge", "river", "robin", "sage", "seal", "shore", "sparrow", "spruce", "stone", "swan", "thistle", "trout", "valley", "willow",
};

bool name_is_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > BV_NAME_MAX || name[0] == '.' || name[0] == '_' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

void name_generate(unsigned attempt, char out[BV_NAME_MAX + 1])
{
	unsigned char dice[2];

	if (getrandom(dice, sizeof(dice), 0) != (ssize_t)sizeof(dice)) {
		uint64_t now = bv_now_ns();
		memcpy(dice, &now, sizeof(dice));
	}
	const char *a = adjectives[dice[0] % ARRAY_LEN(adjectives)];
	const char *n = nouns[dice[1] % ARRAY_LEN(nouns)];
	if (attempt == 0)
		snprintf(out, BV_NAME_MAX + 1, "%s-%s", a, n);
	else
		snprintf(out, BV_NAME_MAX + 1, "%s-%s-%u", a, n, attempt);
}
