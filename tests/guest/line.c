/* Lines of input. */
#include "line.h"

#include "cmdline.h"
#include "memory.h"

bool line_push(struct line *line, uint8_t byte) {
  if (byte == '\n' || byte == '\r') return true;
  if (line->length < LINE_MAX) line->text[line->length++] = (char)byte;
  return false;
}

bool line_is(const struct line *line, const char *text) {
  return line->length == text_length(text) && memcmp(line->text, text, line->length) == 0;
}
