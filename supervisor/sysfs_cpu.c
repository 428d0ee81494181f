/* supervisor/sysfs_cpu.c - /sys/devices/system/{cpu,node} where the sandbox has not all processors: those that it has, by their numbers.
 *
 * "possible" goes from 0 to the highest: it is what programs size an array by that they index with the number of a processor. */
#include "supervisor/hostview.h"
#include "supervisor/sysfs_internal.h"

#define CPU_DIR "devices/system/cpu/"
#define NODE_DIR "devices/system/node/node"

void sysfs_put_cpus(FILE *out, const cpu_set_t *cpus)
{
	const char *comma = "";

	for (int from = 0; from < CPU_SETSIZE; from++) {
		int to = from;
		if (!CPU_ISSET(from, cpus))
			continue;
		while (to + 1 < CPU_SETSIZE && CPU_ISSET(to + 1, cpus))
			to++;
		fprintf(out, from == to ? "%s%d" : "%s%d-%d", comma, from, to);
		comma = ",";
		from = to;
	}
	putc('\n', out);
}

/* "00000000,0000000f": groups of 32, the lowest last. Bits of others are cleared in place. */
static void clear_bits(const HostView *v, char *text)
{
	unsigned bit = 0;

	for (char *at = text + strlen(text); at-- > text;) {
		const char digits[] = "0123456789abcdef", *digit = *at ? strchr(digits, *at) : NULL;
		unsigned value;
		if (!digit)
			continue;
		value = (unsigned)(digit - digits);
		for (unsigned i = 0; i < 4; i++, bit++)
			if (!hostview_has_cpu(v, bit))
				value &= ~(1U << i);
		*at = digits[value];
	}
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void put_possible(const HostView *v, bool offline, FILE *out)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (unsigned cpu = 0; cpu <= hostview_last_cpu(v); cpu++)
		if (!offline || !hostview_has_cpu(v, cpu))
			CPU_SET(cpu, &cpus);
	sysfs_put_cpus(out, &cpus);
}

typedef enum Form { FORM_OTHER, FORM_GIVEN, FORM_POSSIBLE, FORM_OFFLINE, FORM_LIST, FORM_MASK } Form;

static Form form_of(const char *path)
{
	static const struct {
		const char *path;
		Form form;
	} files[] = { { CPU_DIR "online", FORM_GIVEN }, { CPU_DIR "present", FORM_GIVEN }, { CPU_DIR "possible", FORM_POSSIBLE }, { CPU_DIR "offline", FORM_OFFLINE }, { CPU_DIR "isolated", FORM_LIST } };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(path, files[i].path) == 0)
			return files[i].form;
	if (strncmp(path, NODE_DIR, strlen(NODE_DIR)) == 0)
		return ends_with(path, "/cpulist") ? FORM_LIST : ends_with(path, "/cpumap") ? FORM_MASK : FORM_OTHER;
	if (!strstr(path, "/topology/") && !strstr(path, "/cache/"))
		return FORM_OTHER;
	if (ends_with(path, "_list"))
		return FORM_LIST;
	return ends_with(path, "_cpus") || ends_with(path, "_siblings") || ends_with(path, "_map") ? FORM_MASK : FORM_OTHER;
}

bool sysfs_cpu_is_text(const Foreign *f, const char *path)
{
	return !f->env.view->all_cpus && form_of(path) != FORM_OTHER;
}

int sysfs_cpu_render(const Foreign *f, const char *path, FILE *out)
{
	const HostView *v = f->env.view;
	CLEAN_FREE char *text = NULL;
	cpu_set_t cpus;
	ssize_t n = bv_read_file_at(f->sys_fd, path, 1 << 20, &text);

	if (n < 0)
		return (int)n;
	switch (form_of(path)) {
	case FORM_GIVEN:
		sysfs_put_cpus(out, &v->cpus);
		break;
	case FORM_POSSIBLE:
	case FORM_OFFLINE:
		put_possible(v, form_of(path) == FORM_OFFLINE, out);
		break;
	case FORM_LIST:
		hostview_read_cpus(text, &cpus);
		CPU_AND(&cpus, &cpus, &v->cpus);
		sysfs_put_cpus(out, &cpus);
		break;
	case FORM_MASK:
		clear_bits(v, text);
		fputs(text, out);
		break;
	case FORM_OTHER:
		fputs(text, out);
	}
	return 0;
}

bool sysfs_is_given(const Foreign *f, const char *path)
{
	const char *number = path + strlen(CPU_DIR "cpu");

	if (strncmp(path, NODE_DIR, strlen(NODE_DIR)) == 0 && ends_with(path, "/meminfo"))
		return hostview_bounds(f->env.view)->memory == 0;
	if (strncmp(path, CPU_DIR "cpu", strlen(CPU_DIR "cpu")) != 0 || *number < '0' || *number > '9')
		return true;
	return hostview_has_cpu(f->env.view, (unsigned)strtoul(number, NULL, 10));
}
