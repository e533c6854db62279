/* Text on COM1, for tests that are not about the serial port itself. */
#ifndef PRINT_H
#define PRINT_H

#include <stddef.h>
#include <stdint.h>

void print(const char *text);
void print_bytes(const void *bytes, size_t length);
void print_dec(uint64_t value);

/* Exactly `digits` hexadecimal digits, no prefix. */
void print_hex(uint64_t value, unsigned digits);

/* "NAME VALUE\n" */
void print_field(const char *name, uint64_t value);

/* Byte i of the stream that flood tests write: lines of 63 letters. */
uint8_t generated_byte(uint64_t i);

#endif
