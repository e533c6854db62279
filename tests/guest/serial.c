/* COM1 by polling. */
#include "serial.h"

#include "cpu.h"

#define COM1 0x3f8
#define DATA (COM1 + 0)     /* RBR when read, THR when written (DLAB = 0) */
#define IER (COM1 + 1)
#define MCR (COM1 + 4)
#define LSR (COM1 + 5)
#define SCR (COM1 + 7)

#define IER_RECEIVED 0x01
#define MCR_DTR_RTS_OUT2 0x0b     /* OUT2 gates the interrupt line on a PC */
#define LSR_DATA_READY 0x01
#define LSR_TRANSMITTER_EMPTY 0x20

void serial_put_raw(uint8_t byte) {
  out8(DATA, byte);
}

void serial_put(uint8_t byte) {
  while (!(in8(LSR) & LSR_TRANSMITTER_EMPTY)) cpu_relax();
  out8(DATA, byte);
}

int serial_poll(void) {
  return in8(LSR) & LSR_DATA_READY ? in8(DATA) : -1;
}

void serial_scratch_write(uint8_t byte) {
  out8(SCR, byte);
}

uint8_t serial_scratch_read(void) {
  return in8(SCR);
}

void serial_enable_receive_interrupt(void) {
  out8(MCR, MCR_DTR_RTS_OUT2);
  out8(IER, IER_RECEIVED);
}
