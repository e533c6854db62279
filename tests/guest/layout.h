/* Selectors and sizes shared by the assembly files and C. */
#ifndef LAYOUT_H
#define LAYOUT_H

/* The numbers Linux uses: hosts that run ring 3 natively but emulate ring 0 are only tried with those. */
#define KERNEL_CS_32 0x08
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_DS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x40
#define GDT_BYTES 80

/*
 * Ring 3 gets its ports from IOPL 3 and from the I/O bitmap: a host that runs ring 3 natively may lose
 * IOPL on the way to its emulator, but reads the bitmap.
 */
#define TSS_BYTES 104
#define IO_BITMAP_BYTES 8192

#define VECTORS 48         /* 32 exceptions, then 16 PIC lines */
#define STUB_SIZE 16       /* one interrupt stub in entry.S */
#define VECTOR_UD 6
#define VECTOR_PIC 32

/* Offsets in struct ap_launch (smp.c). */
#define AP_KERNEL_STACK 16
#define AP_USER_STACK 24
#define AP_CPU 32

#define BOOT_PVH 0
#define BOOT_LINUX 1

#endif
