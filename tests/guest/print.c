/* Formatting by hand; there is no C library here. */
#include "print.h"

#include "serial.h"

void print(const char *text) {
  while (*text) serial_put_raw((uint8_t)*text++);
}

void print_bytes(const void *bytes, size_t length) {
  const uint8_t *byte = bytes;
  while (length--) serial_put_raw(*byte++);
}

void print_dec(uint64_t value) {
  char digits[20];
  unsigned count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (count) serial_put_raw((uint8_t)digits[--count]);
}

void print_hex(uint64_t value, unsigned digits) {
  while (digits--) serial_put_raw((uint8_t)"0123456789abcdef"[value >> (4 * digits) & 15]);
}

void print_field(const char *name, uint64_t value) {
  print(name);
  print(" ");
  print_dec(value);
  print("\n");
}

uint8_t generated_byte(uint64_t i) {
  return i % 64 == 63 ? '\n' : (uint8_t)('A' + i % 26);
}
