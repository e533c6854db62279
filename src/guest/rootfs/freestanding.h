/*
 * What the guest's first programs share: system calls without a C library, and the entry point. A program defines
 * start(), which gets the stack as the kernel leaves it: argument count, arguments, 0, environment, 0.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>

#define COMMAND_LINE_SIZE 2048

static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static long length(const char *text)
{
	long count = 0;

	while (text[count])
		count++;
	return count;
}

/* Whether a character is none of a word's; also the one that ends the text. */
static int is_blank(char character)
{
	return (unsigned char)character <= ' ';
}

static int begins(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

/* A file's text, or as much as fits. Returns how much that is. */
static long read_file(const char *path, char *into, long size)
{
	long file = call(__NR_open, (long)path, O_RDONLY, 0, 0, 0);
	long count = 0, more;

	while (file >= 0 && (more = call(__NR_read, file, (long)(into + count), size - 1 - count, 0, 0)) > 0)
		count += more;
	if (file >= 0)
		call(__NR_close, file, 0, 0, 0, 0);
	into[count] = 0;
	return count;
}

static void mount(const char *type, const char *where)
{
	/* A failure shows soon enough in what is missing; there is nobody to tell yet. */
	call(__NR_mount, (long)type, (long)where, (long)type, 0, 0);
}

/*
 * The last word on the kernel command line that is `name`, or begins with it if that ends in "=". The result is what
 * follows `name` there, up to a blank or the end; or 0.
 */
static char *find_word(char *line, const char *name)
{
	long size = length(name);
	char *found = 0;

	for (char *at = line; *at; at++) {
		long same = 0;

		if (at != line && at[-1] != ' ')
			continue;
		while (same < size && at[same] == name[same])
			same++;
		if (same == size && (name[size - 1] == '=' || is_blank(at[size])))
			found = at + size;
	}
	return found;
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
