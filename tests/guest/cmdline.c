/* A private copy of the command line, cut into words once: the loader's page may be reused. */
#include "cmdline.h"

#define CAPACITY 4096
#define WORDS 128

static char copy[CAPACITY];
static const char *words[WORDS];
static unsigned word_count;

void cmdline_init(const char *text) {
  bool inside = false;
  for (size_t i = 0; i < CAPACITY - 1 && text[i]; i++) {
    bool blank = text[i] == ' ' || text[i] == '\t' || text[i] == '\n';
    copy[i] = blank ? 0 : text[i];
    if (!blank && !inside && word_count < WORDS) words[word_count++] = &copy[i];
    inside = !blank;
  }
}

size_t text_length(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

bool same_text(const char *left, const char *right) {
  while (*left && *left == *right) left++, right++;
  return *left == *right;
}

/* The value if `word` is `name=value`. */
static const char *value_of(const char *word, const char *name) {
  while (*name && *word == *name) word++, name++;
  return *name == 0 && *word == '=' ? word + 1 : NULL;
}

bool cmdline_flag(const char *name) {
  for (unsigned i = 0; i < word_count; i++) {
    if (same_text(words[i], name)) return true;
  }
  return false;
}

const char *cmdline_nth(const char *name, unsigned n) {
  for (unsigned i = 0; i < word_count; i++) {
    const char *value = value_of(words[i], name);
    if (value && n-- == 0) return value;
  }
  return NULL;
}

const char *cmdline_text(const char *name) {
  const char *found = NULL;
  for (unsigned i = 0; i < word_count; i++) {
    const char *value = value_of(words[i], name);
    if (value) found = value;
  }
  return found;
}

uint64_t cmdline_number(const char *name, uint64_t otherwise) {
  const char *text = cmdline_text(name);
  return text ? parse_number(&text) : otherwise;
}

/* The value of one digit in `base`, or -1. */
static int digit_value(char c, unsigned base) {
  if (c >= '0' && c <= '9') return c - '0';
  char lower = (char)(c | 0x20);
  return base == 16 && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static unsigned suffix_shift(char c) {
  switch (c) {
    case 'K': case 'k': return 10;
    case 'M': case 'm': return 20;
    case 'G': case 'g': return 30;
    default: return 0;
  }
}

uint64_t parse_number(const char **text) {
  const char *at = *text;
  unsigned base = at[0] == '0' && (at[1] | 0x20) == 'x' ? 16 : 10;
  if (base == 16) at += 2;
  uint64_t value = 0;
  for (int digit; (digit = digit_value(*at, base)) >= 0; at++) value = value * base + (unsigned)digit;
  unsigned shift = suffix_shift(*at);
  *text = at + (shift != 0);
  return value << shift;
}
