/* base/secret.h - memory for keys and passphrases: pages of their own that no core dump shows (MADV_DONTDUMP), no child process inherits (MADV_WIPEONFORK) and, where
 * the limits allow it, no swap sees. They are wiped when they are freed. No locking. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/util.h"

/* `size` zeroes; NULL when out of memory. Freed with the same size. */
void *secret_new(size_t size);
void secret_free(void *secret, size_t size); /* NULL is allowed */

#endif
