/*
 * The first program of the default guest. It stands on its own (no C library), because a shell script in its place
 * would start a process for every mount, and a process takes tens of milliseconds where KVM emulates ring 0.
 *
 * Without `dinovisor.exec=` on the kernel command line it runs a shell on the console and powers off when that ends.
 * With `dinovisor.exec=BASE64` it runs `sh -c` with the decoded text on a byte-clean console and writes the exit
 * status to the monitor's exit register, I/O port 0xf4.
 */
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/reboot.h>

#define EXIT_REGISTER 0xf4
#define COMMAND_LINE_SIZE 2048
#define TIOCSCTTY 0x540e
#define TCGETS 0x5401
#define TCSETS 0x5402
#define TCSBRK 0x5409
#define SIGCHLD 17
#define S_IFDIR_0755 0755

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

static void print(const char *text)
{
	call(__NR_write, 1, (long)text, length(text), 0, 0);
}

static long read_file(const char *path, char *into, long size)
{
	long file = call(__NR_open, (long)path, O_RDONLY, 0, 0, 0);
	long count = file < 0 ? 0 : call(__NR_read, file, (long)into, size - 1, 0, 0);

	if (file >= 0)
		call(__NR_close, file, 0, 0, 0, 0);
	if (count < 0)
		count = 0;
	into[count] = 0;
	return count;
}

static void mount(const char *type, const char *where)
{
	/* A failure shows soon enough in what is missing; there is nobody to tell yet. */
	call(__NR_mount, (long)type, (long)where, (long)type, 0, 0);
}

/* The value of a word on the kernel command line, ended by the next blank; or 0. */
static char *find_word(char *line, const char *name)
{
	long size = length(name);

	for (char *at = line; *at; at++) {
		long same = 0;

		if (at != line && at[-1] != ' ')
			continue;
		while (same < size && at[same] == name[same])
			same++;
		if (same < size)
			continue;
		for (char *end = at + size; ; end++) {
			if (*end > ' ')
				continue;
			*end = 0;
			return at + size;
		}
	}
	return 0;
}

static int sextet(char digit)
{
	if (digit >= 'A' && digit <= 'Z')
		return digit - 'A';
	if (digit >= 'a' && digit <= 'z')
		return digit - 'a' + 26;
	if (digit >= '0' && digit <= '9')
		return digit - '0' + 52;
	return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* Decodes base64 in place: the text gets shorter. */
static void decode(char *text)
{
	unsigned int bits = 0, count = 0;
	char *out = text;

	for (char *in = text; sextet(*in) >= 0; in++) {
		bits = bits << 6 | sextet(*in);
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		*out++ = bits >> count;
	}
	*out = 0;
}

/* /dev/console cannot be a controlling terminal, so take the device behind it: the last one that is active. */
static long open_console(void)
{
	static char path[128] = "/dev/";
	char active[100];
	long end = read_file("/sys/class/tty/console/active", active, sizeof(active)), begin;

	while (end > 0 && active[end - 1] <= ' ')
		active[--end] = 0;
	for (begin = end; begin > 0 && active[begin - 1] != ' '; begin--)
		;
	for (long i = begin; i <= end; i++)
		path[5 + i - begin] = active[i];
	return call(__NR_open, (long)path, O_RDWR, 0, 0, 0);
}

/* The kernel starts consoles without echo (0005-no-early-echo.patch): a person's shell wants it. */
static void set_echo(long console)
{
	struct termios settings;

	if (call(__NR_ioctl, console, TCGETS, (long)&settings, 0, 0) < 0)
		return;
	settings.c_lflag |= ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
	call(__NR_ioctl, console, TCSETS, (long)&settings, 0, 0);
}

/*
 * What a command writes is what the host reads: no carriage returns added. What the host pipes in arrives as
 * it is, line by line; only Ctrl-D keeps its meaning, for that is how the monitor passes on the pipe's end.
 */
static void make_plain(long console)
{
	struct termios settings;

	if (call(__NR_ioctl, console, TCGETS, (long)&settings, 0, 0) < 0)
		return;
	settings.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	settings.c_oflag &= ~OPOST;
	settings.c_lflag &= ~(ECHO | ECHONL | ISIG | IEXTEN);
	for (int i = 0; i < NCCS; i++)
		if (i != VEOF)
			settings.c_cc[i] = 0; /* _POSIX_VDISABLE */
	call(__NR_ioctl, console, TCSETS, (long)&settings, 0, 0);
}

static void run_shell(long console, char *command)
{
	static char *environment[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"TERM=vt100",
		"PS1=\\w # ",
		/* This kernel does not save AVX registers; where ring 3 sees the host's CPUID, glibc cannot know. */
		"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load",
		0,
	};
	char *interactive[] = { "sh", 0 };
	char *script[] = { "sh", "-c", command, 0 };

	call(__NR_setsid, 0, 0, 0, 0, 0);
	if (console >= 0) {
		call(__NR_ioctl, console, TIOCSCTTY, 0, 0, 0);
		for (long file = 0; file < 3; file++)
			call(__NR_dup2, console, file, 0, 0, 0);
		if (console > 2)
			call(__NR_close, console, 0, 0, 0, 0);
	}
	call(__NR_chdir, (long)"/root", 0, 0, 0, 0);
	call(__NR_execve, (long)"/bin/sh", (long)(command ? script : interactive), (long)environment, 0, 0);
	print("init: cannot start /bin/sh\n");
	call(__NR_exit, 127, 0, 0, 0, 0);
}

/* Waits for the shell, and for every orphan that ends before it. */
static int wait_for(long child)
{
	int status = 0;
	long ended;

	do
		ended = call(__NR_wait4, -1, (long)&status, 0, 0, 0);
	while (ended > 0 && ended != child);
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

static void end_machine(int status)
{
	char byte = status;
	long port = call(__NR_open, (long)"/dev/port", O_WRONLY, 0, 0, 0);

	if (port >= 0)
		call(__NR_pwrite64, port, (long)&byte, 1, EXIT_REGISTER, 0);
}

__attribute__((noreturn, used)) static void start(void)
{
	static char line[COMMAND_LINE_SIZE];
	char *command;
	long console, child;
	int status;

	mount("devtmpfs", "/dev"); /* The kernel has done so, unless it was told not to. */
	mount("proc", "/proc");
	mount("sysfs", "/sys");
	mount("tmpfs", "/tmp");
	mount("tmpfs", "/run");
	call(__NR_mkdir, (long)"/dev/pts", S_IFDIR_0755, 0, 0, 0);
	mount("devpts", "/dev/pts");
	read_file("/proc/cmdline", line, sizeof(line));
	command = find_word(line, "dinovisor.exec=");
	console = open_console();
	if (command) {
		decode(command);
		make_plain(console < 0 ? 1 : console);
	} else {
		set_echo(console < 0 ? 1 : console);
		print("Linux in dinovisor: exit, or Ctrl-D, powers off.\n");
	}
	child = call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		run_shell(console, command);
	status = wait_for(child);
	call(__NR_sync, 0, 0, 0, 0, 0);
	call(__NR_ioctl, console < 0 ? 1 : console, TCSBRK, 1, 0, 0); /* Let the last output out. */
	if (command)
		end_machine(status);
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0, 0);
	for (;;)
		call(__NR_pause, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall start\n");
