/* Words of the kernel command line: `name`, or `name=value`. The last one of a name wins. */
#ifndef CMDLINE_H
#define CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void cmdline_init(const char *text);

/* Whether the bare word `name` is there. */
bool cmdline_flag(const char *name);

/* The value of `name=`, NUL-terminated by the end of its word, or NULL. */
const char *cmdline_text(const char *name);

/* The value of `name=` as a number: decimal or 0x..., with K, M or G behind it. */
uint64_t cmdline_number(const char *name, uint64_t otherwise);

/* The value of the n-th word `name=`, or NULL. */
const char *cmdline_nth(const char *name, unsigned n);

/* Reads a number and moves *text behind it. */
uint64_t parse_number(const char **text);

bool same_text(const char *left, const char *right);
size_t text_length(const char *text);

#endif
