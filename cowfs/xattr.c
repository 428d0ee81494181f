/* cowfs/xattr.c - extended attributes: rows over what the host's object has. user.* of host files shows through; trusted.* and security.* of the
 * host do not (they mean something to the host's kernel only), the sandbox's own exist as rows for uid 0. ACLs are refused. */
#include "grant.h"
#include "internal.h"

#include <sys/xattr.h>

const CowXattr *xattr_find(const CowNode *node, const char *name)
{
	const CowXattr *x = node->xattrs;

	while (x && strcmp(x->name, name) != 0)
		x = x->next;
	return x;
}

int xattr_set_row(CowNode *node, const char *name, const void *value, size_t size, bool deleted)
{
	size_t nlen = strlen(name);
	CowXattr *x = calloc(1, sizeof *x + nlen + 1 + size);

	if (!x)
		return -ENOMEM;
	x->size = (uint32_t)size;
	x->deleted = deleted;
	x->nlen = (uint8_t)nlen;
	memcpy(x->name, name, nlen);
	if (size)
		memcpy(x->name + nlen + 1, value, size);
	for (CowXattr **link = &node->xattrs; *link; link = &(*link)->next)
		if (strcmp((*link)->name, name) == 0) {
			CowXattr *old = *link;
			*link = old->next;
			free(old);
			break;
		}
	x->next = node->xattrs;
	node->xattrs = x;
	return 0;
}

void xattrs_free(CowNode *node)
{
	while (node->xattrs) {
		CowXattr *next = node->xattrs->next;
		free(node->xattrs);
		node->xattrs = next;
	}
}
