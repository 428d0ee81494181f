/* lib/strv.c - NULL-terminated lists of strings, and paths as text. */
#include "lib/internal.h"

#include <limits.h>

void strv_free(Strv list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

size_t strv_len(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

bool strv_has(const char *const *list, const char *text)
{
	for (size_t i = 0; list && list[i]; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

int strv_add(Strv *list, const char *text)
{
	size_t n = strv_len((const char *const *)*list);
	Strv grown = realloc(*list, (n + 2) * sizeof(char *));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[n + 1] = NULL;
	grown[n] = strdup(text);
	return grown[n] ? 0 : -ENOMEM;
}

int strv_copy(Strv *to, const char *const *from)
{
	size_t n = strv_len(from);
	Strv copy;

	if (!from) {
		*to = NULL;
		return 0;
	}
	copy = calloc(n + 1, sizeof(char *));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(from[i]);
		if (!copy[i]) {
			strv_free(copy);
			return -ENOMEM;
		}
	}
	*to = copy;
	return 0;
}

bool path_is_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (strcmp(root, "/") == 0)
		return path[0] == '/';
	return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int path_order(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	int x = *a == '/' ? 1 : (unsigned char)*a + (*a != '\0'), y = *b == '/' ? 1 : (unsigned char)*b + (*b != '\0');
	return x - y;
}

const char *path_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

bool path_go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*slash = '\0';
	return true;
}

bool path_is_selected(const char *path, const char *const *selection)
{
	if (!selection || !selection[0])
		return true;
	for (size_t i = 0; selection[i]; i++)
		if (path_is_below(path, selection[i]))
			return true;
	return false;
}

size_t path_append(char *out, size_t len, const char *name, size_t n)
{
	if (n == 0 || (n == 1 && name[0] == '.'))
		return len;
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		while (len > 0 && out[len - 1] != '/')
			len--;
		return len > 0 ? len - 1 : 0;
	}
	out[len] = '/';
	memcpy(out + len + 1, name, n);
	return len + 1 + n;
}

char *path_absolute(const char *path)
{
	CLEAN_FREE char *cwd = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
	CLEAN_FREE char *joined = cwd ? bv_asprintf("%s/%s", cwd, path) : NULL;
	char *out = joined ? malloc(strlen(joined) + 2) : NULL;
	size_t len = 0;

	if (!out)
		return NULL;
	for (const char *p = joined; *p;) {
		size_t n = strcspn(p, "/");
		len = path_append(out, len, p, n);
		p += n + (p[n] == '/');
	}
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}
