/* cli/html.h - `diff --html`: all changes as one page that needs nothing else.
 *
 * Everything on it that is a guest's (names, lines, images) is hostile: text is escaped, with control and direction characters shown as what they are; images are data of four known types; and a
 * policy in the page lets the browser run and load nothing but the page's own script and style, which have a random number as their nonce. The page is bounded: what it leaves out it says. */
#ifndef CLI_HTML_H
#define CLI_HTML_H

#include "cli/cli.h"

typedef struct Html Html;

/* names: of both sides as the user gave them; names[0] NULL: the host. Ends the program when memory is out. */
Html *html_new(const char *const names[2]);
void html_add(Html *html, const BvSide *before, const BvSide *after, const BvChange *change);
void html_print(Html *html, FILE *out);
void html_free(Html *html); /* NULL is allowed */

#endif
