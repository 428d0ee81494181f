/* base/secret.h - memory for keys and passphrases: pages of their own that no core dump shows (MADV_DONTDUMP), no child process inherits (MADV_WIPEONFORK) and, where
 * the limits allow it, no swap sees. They are wiped when they are freed. No locking. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/util.h"

/* `size` zeroes; NULL when out of memory. Freed with the same size. */
void *secret_new(size_t size);
void secret_free(void *secret, size_t size); /* NULL is allowed */

/* Whether a variable of the environment ("NAME" or "NAME=value") opens places of snapshots (keys, tokens, and where such are), or tells where our own files are. */
typedef enum SecretKind { SECRET_NONE, SECRET_KEY, SECRET_PLACE } SecretKind;
SecretKind secret_variable(const char *entry);

/* Said once by a program that is bvisor's own: it makes no core file while such a variable is in its environment, nor once it is exposed. */
void secret_own_process(void);
/* From now on secrets pass through memory of libraries, which a dump has. Nothing happens in a program that has not said that it is bvisor's own: its limits are its own matter. */
void secret_exposed(void);

#endif
