/*
 * The first program of the default guest. It stands on its own (no C library), because a shell script in its place
 * would start a process for every mount, and a process takes tens of milliseconds where KVM emulates ring 0.
 *
 * Without `dinovisor.exec=` on the kernel command line it runs a shell on the console and powers off when that ends.
 * With `dinovisor.exec=BASE64` it runs `sh -c` with the decoded text on a byte-clean console and writes the exit
 * status to the monitor's exit register, I/O port 0xf4: for kernels that the tests bring, which may have no vsock. With
 * `dinovisor.agent` it runs the agent, as commands and sandboxes want it, and powers off when that ends.
 *
 * With `dinovisor.dhcp` it first asks for the address of eth0, with `dinovisor.hostname=NAME` it takes that name.
 *
 * Started as /.dinovisor/init it is in a root of the user's, beside its agent and a busybox: that root keeps all it has,
 * and what it lacks is mounted or comes from there.
 *
 * It ends the machine early, in order and without a status, when the power button is pressed or a program asks by
 * the signals of busybox: SIGUSR1 and SIGUSR2 to power off, SIGTERM and SIGINT (Ctrl-Alt-Del) to restart.
 */
#include "freestanding.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termbits.h>
#include <linux/input-event-codes.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/wait.h>

#define EXIT_REGISTER 0xf4
#define S_IFDIR_0755 0755

#define BIT(signal) (1UL << ((signal) - 1))
#define SIGNAL_SET_SIZE 8

/* How long processes may take to end: 200 looks, 10 ms apart. */
#define LOOKS 200
#define LOOK_NS 10000000

/* Input devices that are watched for a power button. */
#define MAX_INPUTS 8

#define OWN "/.dinovisor/"
#define EROFS 30
#define W_OK 2
#define X_OK 1

/* What a program reads from /dev/input/event*; linux/input.h would include the C library's headers. */
struct event {
	long seconds, microseconds;
	unsigned short type, code;
	int value;
};

/* They stay blocked here: the kernel would drop signals that its first program has no handler for. */
static const unsigned long waited = BIT(SIGCHLD) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTERM) | BIT(SIGINT);
/* What a process gets that uses the terminal from the background; blocked, it may, and wait for its output. */
static const unsigned long background = BIT(SIGTTOU);

/* Whether this is a root of the user's. */
static int in_users_root;

static void print(const char *text)
{
	call(__NR_write, 1, (long)text, length(text), 0, 0);
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

/*
 * The terminal is ours, not the shell's: when the process that leads its session ends, Linux hangs the terminal up and
 * throws away what it has not sent yet.
 */
static void own_terminal(long console)
{
	call(__NR_setsid, 0, 0, 0, 0, 0);
	call(__NR_ioctl, console, TIOCSCTTY, 0, 0, 0);
}

/* A process group of its own in the terminal's foreground: Ctrl-C is for it, not for us. */
static void take_foreground(long console)
{
	int group = call(__NR_getpid, 0, 0, 0, 0, 0);

	call(__NR_setpgid, 0, 0, 0, 0, 0);
	call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&background, 0, SIGNAL_SET_SIZE, 0);
	call(__NR_ioctl, console, TIOCSPGRP, (long)&group, 0, 0);
	call(__NR_rt_sigprocmask, SIG_UNBLOCK, (long)&background, 0, SIGNAL_SET_SIZE, 0);
}

static void run_program(long console, const char *path, char **words)
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
	if (console >= 0) {
		take_foreground(console);
		for (long file = 0; file < 3; file++)
			call(__NR_dup2, console, file, 0, 0, 0);
		if (console > 2)
			call(__NR_close, console, 0, 0, 0, 0);
	}
	call(__NR_chdir, (long)"/root", 0, 0, 0, 0);
	call(__NR_execve, (long)path, (long)words, (long)environment, 0, 0);
	print("init: cannot start ");
	print(path);
	print("\n");
	call(__NR_exit, 127, 0, 0, 0, 0);
}

/* A new process that does not wait for signals as we do; 0 in it. */
static long fork(void)
{
	static const unsigned long none;
	long child = call(__NR_clone, SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, SIGNAL_SET_SIZE, 0);
	return child;
}

/* Asks for the card's address, and waits until it has one or nobody answers: a command may need it at once. */
static void configure_card(void)
{
	static char *environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", 0 };
	static char *words[] = { "sh", "-c", "ip link set eth0 up && exec udhcpc -q -n -t 4 -T 1 -i eth0", 0 };
	static char *own_words[] = { "sh", "-c",
		"cd " OWN " && ./busybox ip link set eth0 up && exec ./busybox udhcpc -q -n -t 4 -T 1 -i eth0 -s " OWN "udhcpc",
		0 };
	int status;
	long child = fork();

	if (child == 0) {
		long nothing = call(__NR_open, (long)"/dev/null", O_RDWR, 0, 0, 0);

		for (long file = 0; file < 3; file++)
			call(__NR_dup2, nothing, file, 0, 0, 0);
		if (in_users_root)
			call(__NR_execve, (long)OWN "busybox", (long)own_words, (long)environment, 0, 0);
		else
			call(__NR_execve, (long)"/bin/sh", (long)words, (long)environment, 0, 0);
		call(__NR_exit, 127, 0, 0, 0, 0);
	}
	call(__NR_wait4, child, (long)&status, 0, 0, 0);
}

/* Waits for a press of the power button on any of the inputs, and has it done what `poweroff` would do. */
static void watch_inputs(struct pollfd *inputs, int count)
{
	struct event event;

	for (;;) {
		call(__NR_poll, (long)inputs, count, -1, 0, 0);
		for (int i = 0; i < count; i++) {
			if (!inputs[i].revents)
				continue;
			if (call(__NR_read, inputs[i].fd, (long)&event, sizeof(event), 0, 0) < 0)
				inputs[i].fd = -1; /* It is gone. */
			else if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
				call(__NR_kill, 1, SIGUSR2, 0, 0, 0);
		}
	}
}

/* Kernels without input devices, as our own, pay for one look. */
static void watch_power_button(void)
{
	static char path[] = "/dev/input/event0";
	struct pollfd inputs[MAX_INPUTS];
	int count = 0;

	for (; count < MAX_INPUTS; count++) {
		path[sizeof(path) - 2] = '0' + count;
		inputs[count].fd = call(__NR_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
		inputs[count].events = POLLIN;
		if (inputs[count].fd < 0)
			break;
	}
	if (count == 0)
		return;
	/* Where there is a keyboard: Ctrl-Alt-Del becomes SIGINT to us. */
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0, 0);
	if (fork() == 0)
		watch_inputs(inputs, count);
	while (count > 0)
		call(__NR_close, inputs[--count].fd, 0, 0, 0, 0);
}

/* Waits for the shell, and for every orphan that ends before it. Returns a signal that asks for the end, or 0. */
static long wait_for(long child, int *status)
{
	for (;;) {
		long signal = call(__NR_rt_sigtimedwait, (long)&waited, 0, 0, SIGNAL_SET_SIZE, 0), ended;

		if (signal > 0 && signal != SIGCHLD)
			return signal;
		while ((ended = call(__NR_wait4, -1, (long)status, WNOHANG, 0, 0)) > 0)
			if (ended == child)
				return 0;
	}
}

/* Sends a signal to all processes but us, and gives them time to end. Returns whether some have not. */
static int end_processes(int signal)
{
	static const long pause[2] = { 0, LOOK_NS };

	for (int look = 0; look < LOOKS; look++) {
		long ended;

		while ((ended = call(__NR_wait4, -1, 0, WNOHANG, 0, 0)) > 0)
			;
		if (ended < 0)
			return 0; /* Nobody is left: whoever loses its parent becomes a child of ours. */
		if (look == 0)
			call(__NR_kill, -1, signal, 0, 0, 0);
		call(__NR_nanosleep, (long)pause, 0, 0, 0, 0);
	}
	return 1;
}

/* Where the next word of a line begins. */
static char *next_word(char *at)
{
	while (!is_blank(*at))
		at++;
	return *at ? at + 1 : at;
}

/* Decodes the octal numbers that /proc/mounts has for blanks and the like, in place, and ends the word. */
static void decode_path(char *path)
{
	char *out = path;

	for (char *in = path; !is_blank(*in); ) {
		int code = *in++;

		if (code == '\\')
			for (code = 0; *in >= '0' && *in <= '7'; in++)
				code = code * 8 + *in - '0';
		*out++ = code;
	}
	*out = 0;
}

/* Unmounts what is on a disk and may be written to, the last one first; what is in use becomes read-only. */
static void unmount_disks(void)
{
	static char mounts[16384];
	char *at = mounts + read_file("/proc/mounts", mounts, sizeof(mounts));

	while (at > mounts) {
		char *path;

		*--at = 0;
		while (at > mounts && at[-1] != '\n')
			at--;
		path = next_word(at);
		/* Source, path, type, options: the first of these is "rw" or "ro". */
		if (!begins(at, "/dev/") || !begins(next_word(next_word(path)), "rw"))
			continue;
		decode_path(path);
		if (call(__NR_umount2, (long)path, 0, 0, 0, 0) < 0)
			call(__NR_mount, 0, (long)path, 0, MS_REMOUNT | MS_RDONLY, 0);
	}
}

static void end_machine(int status)
{
	char byte = status;
	long port = call(__NR_open, (long)"/dev/port", O_WRONLY, 0, 0, 0);

	if (port >= 0)
		call(__NR_pwrite64, port, (long)&byte, 1, EXIT_REGISTER, 0);
	/* Distribution kernels have no /dev/port, but let us at the port itself. */
	else if (call(__NR_ioperm, EXIT_REGISTER, 1, 1, 0, 0) == 0)
		__asm__ volatile("outb %b0, %w1" : : "a"(byte), "Nd"(EXIT_REGISTER));
}

static void mount_all(void)
{
	mount("devtmpfs", "/dev"); /* The kernel has done so, unless it was told not to. */
	mount("proc", "/proc");
	mount("sysfs", "/sys");
	/* A root that can be written to has these already, and what is in them. */
	if (!in_users_root || call(__NR_access, (long)"/", W_OK, 0, 0, 0) == -EROFS) {
		mount("tmpfs", "/tmp");
		mount("tmpfs", "/run");
	}
	call(__NR_mkdir, (long)"/dev/pts", S_IFDIR_0755, 0, 0, 0);
	mount("devpts", "/dev/pts");
	if (!in_users_root)
		return;
	call(__NR_mkdir, (long)"/dev/shm", S_IFDIR_0755, 0, 0, 0);
	mount("tmpfs", "/dev/shm");
	call(__NR_chmod, (long)"/dev/shm", 01777, 0, 0, 0);
	/* Distributions' programs count on these. */
	call(__NR_symlink, (long)"/proc/self/fd", (long)"/dev/fd", 0, 0, 0);
	call(__NR_symlink, (long)"fd/0", (long)"/dev/stdin", 0, 0, 0);
	call(__NR_symlink, (long)"fd/1", (long)"/dev/stdout", 0, 0, 0);
	call(__NR_symlink, (long)"fd/2", (long)"/dev/stderr", 0, 0, 0);
}

/* Images have none, or an empty one for others to put theirs in its place. */
static void write_hosts(const char *name)
{
	char some[2];
	long file;

	if (read_file("/etc/hosts", some, sizeof(some)) > 0)
		return;
	file = call(__NR_open, (long)"/etc/hosts", O_WRONLY | O_CREAT | O_TRUNC, 0644, 0, 0);
	if (file < 0)
		return;
	call(__NR_write, file, (long)"127.0.0.1 localhost\n", 20, 0, 0);
	if (*name) {
		call(__NR_write, file, (long)"127.0.1.1 ", 10, 0, 0);
		call(__NR_write, file, (long)name, length(name), 0, 0);
		call(__NR_write, file, (long)"\n", 1, 0, 0);
	}
	call(__NR_close, file, 0, 0, 0, 0);
}

/* A root of the user's need not have one. */
static const char *shell(void)
{
	if (in_users_root && call(__NR_access, (long)"/bin/sh", X_OK, 0, 0, 0) < 0)
		return OWN "busybox";
	return "/bin/sh";
}

/* Takes the name from the kernel's words, cut off where it ends there. */
static void set_names(const char *word)
{
	char name[65];
	int count = 0;

	while (word && !is_blank(word[count]) && count < 64) {
		name[count] = word[count];
		count++;
	}
	name[count] = 0;
	if (count)
		call(__NR_sethostname, (long)name, count, 0, 0, 0);
	if (in_users_root)
		write_hosts(name);
}

__attribute__((noreturn, used)) static void start(long *stack)
{
	static char line[COMMAND_LINE_SIZE];
	char *command;
	long console, child, asked;
	int status = 0, has_agent, has_card;

	in_users_root = begins(((char **)(stack + 1))[0], OWN);
	mount_all();
	read_file("/proc/cmdline", line, sizeof(line));
	set_names(find_word(line, "dinovisor.hostname="));
	command = find_word(line, "dinovisor.exec=");
	has_agent = find_word(line, "dinovisor.agent") != 0;
	has_card = find_word(line, "dinovisor.dhcp") != 0;
	if (has_agent && !in_users_root)
		mount("tmpfs", "/root"); /* the root image is read-only, and commands begin there */
	console = open_console();
	own_terminal(console);
	if (command) {
		decode(command);
		make_plain(console < 0 ? 1 : console);
	} else if (!has_agent) {
		set_echo(console < 0 ? 1 : console);
		print("Linux in dinovisor: exit, or Ctrl-D, powers off.\n");
	}
	call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&waited, 0, SIGNAL_SET_SIZE, 0);
	call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&background, 0, SIGNAL_SET_SIZE, 0);
	watch_power_button();
	if (has_card)
		configure_card();
	child = fork();
	if (child == 0) {
		char *interactive[] = { "sh", 0 }, *agent[] = { "agent", 0 };
		char *script[] = { "sh", "-c", command, 0 };

		if (has_agent)
			run_program(console, in_users_root ? OWN "agent" : "/sbin/agent", agent);
		run_program(console, shell(), command ? script : interactive);
	}
	asked = wait_for(child, &status);
	if (asked && !command)
		call(__NR_kill, child, SIGHUP, 0, 0, 0); /* A shell at a terminal does not mind SIGTERM. */
	if (end_processes(SIGTERM))
		end_processes(SIGKILL);
	call(__NR_sync, 0, 0, 0, 0, 0);
	call(__NR_ioctl, console < 0 ? 1 : console, TCSBRK, 1, 0, 0); /* Let the last output out. */
	unmount_disks();
	if (command && !asked)
		end_machine(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
	if (asked != SIGTERM && asked != SIGINT)
		call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0, 0);
	for (;;)
		call(__NR_pause, 0, 0, 0, 0, 0);
}
