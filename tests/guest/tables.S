/* What the processor reads by itself: GDT, IDT, TSS, page tables, and the two stacks. */
#include "layout.h"

#define PRESENT_USER 0x27          /* present, writable, user, accessed */
#define LARGE_PAGE 0xe7            /* the same plus dirty and 2 MiB: nothing left for the CPU to write back */
#define MAPPED_GIB 8               /* RAM below and above the hole, and the MMIO hole under 4 GiB */
#define GATE_INTERRUPT 0x8e00      /* present, 64-bit interrupt gate, no IST */

        .section .data
        .balign 16
        .globl gdt_pointer, idt_pointer
gdt_pointer:
        .word GDT_BYTES - 1
        .quad gdt
        .balign 16
idt_pointer:
        .word idt_end - idt - 1
        .quad idt

        .balign 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00cf9b000000ffff   /* 0x08 ring 0 code, 32-bit: the way of other processors to long mode */
        .quad 0x00af9b000000ffff   /* 0x10 ring 0 code, 64-bit */
        .quad 0x00cf93000000ffff   /* 0x18 ring 0 data */
        .quad 0x00cffb000000ffff   /* 0x20 ring 3 code, 32-bit: unused, keeps Linux's order */
        .quad 0x00cff3000000ffff   /* 0x28 ring 3 data */
        .quad 0x00affb000000ffff   /* 0x30 ring 3 code, 64-bit */
        .quad 0
        .quad tss_descriptor       /* 0x40, made by link.ld; the upper half of its address is 0 */
        .quad 0

        .balign 16
idt:
        .set vector, 0
        .rept VECTORS
        .word stubs_low + vector * STUB_SIZE
        .word KERNEL_CS
        .word GATE_INTERRUPT
        .word stubs_high
        .quad 0
        .set vector, vector + 1
        .endr
idt_end:

        .balign 16
        .globl tss
tss:    .long 0
        .quad kernel_stack_top     /* RSP0 */
        .skip 90
        .word TSS_BYTES
        .skip IO_BITMAP_BYTES      /* all zero: ring 3 may use every port */
        .byte 0xff                 /* the processor reads one byte further (Intel SDM vol. 1, 19.5.2) */

        .section .tables, "aw"
        .balign 4096
        .globl page_map
page_map:
        .quad directory_pointers + PRESENT_USER
        .balign 4096
directory_pointers:
        .set gib, 0
        .rept MAPPED_GIB
        .quad directories + gib * 4096 + PRESENT_USER
        .set gib, gib + 1
        .endr
        .balign 4096
directories:
        .set page, 0
        .rept MAPPED_GIB * 512
        .quad page * 0x200000 + LARGE_PAGE
        .set page, page + 1
        .endr

        .section .bss
        .balign 16
        .skip 16384
        .globl kernel_stack_top
kernel_stack_top:
        .skip 65536
        .globl user_stack_top
user_stack_top:

        .section .note.GNU-stack, "", @progbits
