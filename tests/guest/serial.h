/* COM1, a 16550A at 0x3f8 (National Semiconductor PC16550D data sheet). */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_IRQ 4

/* Writes without a look at the line status: every emulated UART takes a byte at any time. */
void serial_put_raw(uint8_t byte);

/* Waits for the transmitter to be empty first, as a careful driver does. */
void serial_put(uint8_t byte);

/* The next received byte, or -1 if there is none. */
int serial_poll(void);

/* The scratch register: does nothing and keeps a byte. */
void serial_scratch_write(uint8_t byte);
uint8_t serial_scratch_read(void);

void serial_enable_receive_interrupt(void);

#endif
