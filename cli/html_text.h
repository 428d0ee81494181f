/* cli/html_text.h - bytes of a guest as text of a page. */
#ifndef CLI_HTML_TEXT_H
#define CLI_HTML_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* What means something in HTML is escaped. Characters that would not be seen, or would change how others are seen (control characters, those of direction, bytes that are no UTF-8), become their
 * names in an element. Not for attributes. */
void html_text(FILE *out, const char *bytes, size_t len);

#endif
