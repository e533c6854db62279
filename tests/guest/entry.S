/*
 * The two ways in, the way down to ring 3, and the way back up for exceptions.
 *
 * Ring 0 may be emulated one instruction at a time, so it does nothing but load registers: every
 * table is complete in the ELF (tables.S), and C starts in ring 3.
 */
#include "layout.h"

#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define CR4_PAE 0x20
#define CR0_LONG 0x80000033        /* PG, NE, ET, MP, PE */
#define CR0_PROTECTED 0x33         /* the same without PG */
#define USER_RFLAGS 0x3002         /* IOPL 3: ring 3 may use in and out; interrupts off: we poll */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

        .section .note.pvh, "a", @note
        .balign 4
        .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .quad pvh_entry

        .section .text.entry, "ax"

/* PVH (Xen docs/misc/pvh.pandoc): 32-bit protected mode, paging off, ebx = hvm_start_info. */
        .code32
        .globl pvh_entry
pvh_entry:
        cli
        cld
        movl $page_map, %eax
        movl %eax, %cr3
        movl $CR4_PAE, %eax
        movl %eax, %cr4
        movl $MSR_EFER, %ecx
        xorl %edx, %edx
        movl $EFER_LME, %eax
        wrmsr
        movl $CR0_LONG, %eax
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $KERNEL_CS, $pvh_long

        .code64
pvh_long:
        movl $BOOT_PVH, %edi
        movl %ebx, %esi
        jmp enter_user

/* Linux 64-bit entry (Documentation/arch/x86/boot.rst): long mode, identity map, rsi = boot_params. */
        .globl linux_entry
linux_entry:
        cli
        cld
        movl $page_map, %eax
        movq %rax, %cr3
        movl $CR4_PAE, %eax        /* also drops SMEP and SMAP: all our pages are user pages */
        movq %rax, %cr4
        lgdt gdt_pointer
        movl $BOOT_LINUX, %edi

/* rdi = boot protocol, rsi = its structure: go on in C, in ring 3. */
enter_user:
        lidt idt_pointer
        movl $USER_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movl $TSS_SELECTOR, %eax
        ltr %ax
        movl $kernel_stack_top, %esp
        pushq $USER_DS
        pushq $user_stack_top - 8  /* as if called: the ABI wants rsp + 8 aligned to 16 */
        pushq $USER_RFLAGS
        pushq $USER_CS
        pushq $guest_start
        iretq

/*
 * An application processor: SIPI starts it in real mode at this code's copy on AP_PAGE (smp.c), which
 * takes it to protected mode, to long mode, and down to ring 3. One at a time: they share ap_launch.
 */
        .code16
        .globl ap_code, ap_code_end
ap_code:
        cli
        cld
        movw %cs, %ax
        movw %ax, %ds
        lgdtl ap_code_gdt - ap_code
        movl $CR0_PROTECTED, %eax
        movl %eax, %cr0
        ljmpl $KERNEL_CS_32, $ap_protected
ap_code_gdt:
        .word GDT_BYTES - 1
        .long gdt
ap_code_end:

        .code32
ap_protected:
        movl $KERNEL_DS, %eax
        movl %eax, %ds
        movl %eax, %ss
        movl $page_map, %eax
        movl %eax, %cr3
        movl $CR4_PAE, %eax
        movl %eax, %cr4
        movl $MSR_EFER, %ecx
        xorl %edx, %edx
        movl $EFER_LME, %eax
        wrmsr
        movl $CR0_LONG, %eax
        movl %eax, %cr0
        ljmp $KERNEL_CS, $ap_long

        .code64
ap_long:
        lgdt ap_launch             /* its own: a task segment serves one processor */
        lidt idt_pointer
        movl $USER_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movl $TSS_SELECTOR, %eax
        ltr %ax
        movq ap_launch + AP_KERNEL_STACK, %rsp
        movq ap_launch + AP_CPU, %rdi
        pushq $USER_DS
        pushq ap_launch + AP_USER_STACK
        pushq $USER_RFLAGS
        pushq $USER_CS
        pushq $ap_start
        iretq

        .text

/*
 * void ring0_call(void (*function)(uint64_t), uint64_t argument)
 * The one road from ring 3 to ring 0. An invalid opcode is delivered on every host, while `int` and
 * `syscall` are not where ring 0 is emulated. on_interrupt() knows the address and steps over the ud2.
 */
        .globl ring0_call, ring0_gate
ring0_call:
ring0_gate:
        ud2
        ret

/* One stub a vector: give every frame the same shape (error code, then vector), then join. */
        .balign 1024
        .globl stubs
stubs:
        .set vector, 0
        .rept VECTORS
        .balign STUB_SIZE
        .if (vector != 8) && (vector != 17) && ((vector < 10) || (vector > 14))
        pushq $0
        .endif
        pushq $vector
        jmp save_and_dispatch
        .set vector, vector + 1
        .endr

/* The push order is struct frame in ring0.h, from its end. */
save_and_dispatch:
        pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rbx
        pushq %rbp
        pushq %rsi
        pushq %rdi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, %rdi
        call on_interrupt
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rdi
        popq %rsi
        popq %rbp
        popq %rbx
        popq %rdx
        popq %rcx
        popq %rax
        addq $16, %rsp
        iretq

        .section .note.GNU-stack, "", @progbits
