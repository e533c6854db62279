/* Collects bytes into lines, for the echo tests. */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX 1000

struct line {
  size_t length;
  char text[LINE_MAX];
};

/* Adds a byte; true at the end of a line (CR or LF), which is not stored. Longer lines are cut. */
bool line_push(struct line *line, uint8_t byte);

bool line_is(const struct line *line, const char *text);

#endif
