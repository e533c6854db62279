/*
 * A whole kernel: it reads lines from the first serial port and does what they say.
 *
 *     gcc -m32 -march=i486 -mgeneral-regs-only -ffreestanding -fno-pic -nostdlib -static -O1 \
 *       -fno-stack-protector -Wl,-Ttext-segment=0x100000 -Wl,-z,noseparate-code kernel.c -o kernel.elf
 */
#define SERIAL 0x3f8
#define LINE_STATUS (SERIAL + 5)
#define LINE_HAS_BYTE 0x01
#define LINE_HAS_ROOM 0x20
#define EXIT_REGISTER 0xf4 /* a byte written here ends the run; it is the status */

/* The monitor finds the entry in a note (PVH) and jumps there: 32-bit protected mode, no paging. */
asm(".section .note.pvh, \"a\", @note; .balign 4; .long 4, 4, 18; .asciz \"Xen\"; .long _start\n"
    ".section .text; .globl _start; _start: cli; movl $stack_top, %esp; call kernel_main\n"
    ".section .bss; .balign 16; .skip 4096; stack_top: .text\n"
    ".section .note.GNU-stack, \"\", @progbits; .text");

static void out(unsigned short port, unsigned char value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static unsigned char in(unsigned short port) {
  unsigned char value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void print(const char *text) {
  for (; *text; text++) {
    while (!(in(LINE_STATUS) & LINE_HAS_ROOM)) asm volatile("pause");
    out(SERIAL, *text);
  }
}

static void read_line(char *line, int room) {
  int length = 0;
  for (;;) {
    while (!(in(LINE_STATUS) & LINE_HAS_BYTE)) asm volatile("pause");
    char byte = in(SERIAL);
    if (byte == '\n') break;
    if (length < room - 1) line[length++] = byte;
  }
  line[length] = 0;
}

static int is(const char *line, const char *word) {
  while (*line && *line == *word) line++, word++;
  return *line == *word;
}

/* A fault that nobody can handle, for no entry of this table is there: a triple fault. */
static void crash(void) {
  static char table[256 * 8];
  static struct { unsigned short limit; char *base; } __attribute__((packed)) idt = { 2047, table };
  asm volatile("lidt %0; ud2" : : "m"(idt));
}

void kernel_main(void) {
  char line[64];
  print("\033[32mtiny kernel\033[0m\r\n");
  for (;;) {
    print("> ");
    read_line(line, sizeof line);
    if (is(line, "off")) out(EXIT_REGISTER, 0);
    else if (is(line, "fail")) out(EXIT_REGISTER, 3);
    else if (is(line, "crash")) crash();
    else if (is(line, "hang")) for (;;) asm volatile("pause");
    print("you said: "), print(line), print("\r\n");
  }
}
