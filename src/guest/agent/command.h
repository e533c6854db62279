/* A session that runs one command: its output and errors to the host, the host's input to it, and how it ended. */
#include "frames.h"
#include <asm/termios.h>
#include <linux/wait.h>

/* How much of the command's input is kept here: what the host may send before it is told that it was taken. */
#define INPUT_WINDOW 65536
#define MAX_WORDS 4096

#define EXEC_INPUT 1          /* flags of FRAME_EXEC */
#define EXEC_TERMINAL 2
#define EXEC_NO_OUTPUT 4
#define EXEC_NO_ERRORS 8
#define EXEC_CLEAR_ENVIRONMENT 16
#define EXEC_EXIT_LAST 32     /* its end is told behind everything it has written by then */

/* Supplementary groups of a command. */
#define MAX_GROUPS 256
/* At least what a terminal keeps of output on its way: a 64 KiB buffer, and the 4 KiB that are read from. */
#define TERMINAL_BYTES 131072

static char **own_environment;

struct command {
	u32 flags;
	long process, exited;     /* its process; a descriptor that tells of its end, -1 after that */
	int input, output[2];     /* our ends; -1 when closed */
	u32 credit[2];            /* how much of each the host has room for */
	int ended;                /* its process has, and EXEC_EXIT_LAST holds the word back */
	u32 due[2];               /* ... until so much of each has been passed on, or there is no more */
	unsigned char window[INPUT_WINDOW]; /* input on its way */
	u32 window_start, window_end, taken;
	int input_ends;
	u32 groups[MAX_GROUPS], group_count;
};

static struct command command;

static void close_file(int *file)
{
	if (*file >= 0)
		call(__NR_close, *file, 0, 0, 0, 0);
	*file = -1;
}

static int same_name(const char *variable, const char *other)
{
	while (*variable && *variable != '=' && *variable == *other)
		variable++, other++;
	return *variable == '=' && *other == '=';
}

/* Those of `given`, and those of ours that it does not name. */
static char **environment_of(char **given, u32 count)
{
	static char *all[MAX_WORDS + 64];
	u32 used = 0;

	for (u32 i = 0; i < count; i++)
		all[used++] = given[i];
	if (command.flags & EXEC_CLEAR_ENVIRONMENT)
		return all;
	for (char **own = own_environment; *own && used < MAX_WORDS + 63; own++) {
		int known = 0;

		for (u32 i = 0; i < count && !known; i++)
			known = same_name(*own, given[i]);
		if (!known)
			all[used++] = *own;
	}
	return all;
}

/* Becomes the program: as it is when its name has a slash, else from the first place in PATH that has it. */
static long execute(char **words, char **environment)
{
	static char path[MAX_PATH];
	const char *places = "/usr/sbin:/usr/bin:/sbin:/bin";
	long result = -ENOENT;

	for (char *at = words[0]; *at; at++)
		if (*at == '/')
			return call(__NR_execve, (long)words[0], (long)words, (long)environment, 0, 0);
	for (char **variable = environment; *variable; variable++)
		if (begins(*variable, "PATH="))
			places = *variable + 5;
	if (!words[0][0])
		return -ENOENT;
	while (*places) {
		long used = 0, size = length(words[0]), tried;

		for (; *places && *places != ':'; places++)
			if (used < MAX_PATH)
				path[used++] = *places;
		if (*places)
			places++;
		if (used == 0)
			path[used++] = '.';
		if (used + size + 2 > MAX_PATH)
			continue;
		path[used++] = '/';
		copy(path + used, words[0], size + 1);
		tried = call(__NR_execve, (long)path, (long)words, (long)environment, 0, 0);
		if (tried == -EACCES)
			result = tried; /* Something is there: say that, unless another place has it. */
		else if (tried != -ENOENT && tried != -ENOTDIR)
			return tried;
	}
	return result;
}

enum stage { STAGE_PREPARE, STAGE_USER, STAGE_DIRECTORY, STAGE_PROGRAM };

/* Where it fails, it says so through `tell` and is gone; the program's start closes `tell`. */
__attribute__((noreturn)) static void become(char **words, char **environment, const char *directory,
					     u32 user, u32 group, const int *files, int tell)
{
	u32 failure[2] = { STAGE_PREPARE, 0 };
	long result;

	handle(SIGPIPE, DEFAULT);
	call(__NR_setsid, 0, 0, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		call(__NR_dup2, files[i], i, 0, 0, 0);
	if (command.flags & EXEC_TERMINAL)
		call(__NR_ioctl, 0, TIOCSCTTY, 0, 0, 0);
	/* Without these the supplementary groups would be those of the agent: root's. */
	failure[0] = STAGE_USER;
	if (group != UNCHANGED &&
	    ((result = call(__NR_setgroups, command.group_count, (long)command.groups, 0, 0, 0)) < 0 ||
	     (result = call(__NR_setresgid, group, group, group, 0, 0)) < 0))
		goto failed;
	if (user != UNCHANGED && (result = call(__NR_setresuid, user, user, user, 0, 0)) < 0)
		goto failed;
	failure[0] = STAGE_DIRECTORY;
	if (*directory && (result = call(__NR_chdir, (long)directory, 0, 0, 0, 0)) < 0)
		goto failed;
	failure[0] = STAGE_PROGRAM;
	result = execute(words, environment);
failed:
	failure[1] = -result;
	call(__NR_write, tell, (long)failure, sizeof(failure), 0, 0);
	leave(127);
}

/* A pseudo-terminal: our end in `ours`, the command's in files[0]. */
static long open_terminal(int *ours, int *theirs, u32 columns, u32 rows)
{
	struct winsize size = { rows, columns, 0, 0 };
	int unlock = 0;
	long master = call(__NR_open, (long)"/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0), slave;

	if (master < 0)
		return master;
	call(__NR_ioctl, master, TIOCSPTLCK, (long)&unlock, 0, 0);
	call(__NR_ioctl, master, TIOCSWINSZ, (long)&size, 0, 0);
	slave = call(__NR_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0);
	*ours = master;
	*theirs = slave;
	return slave;
}

/* Opens what the command reads and writes: files[0..2] are its ends. Returns a negative error number, or 0. */
static long open_files(int *files, u32 columns, u32 rows)
{
	int nothing = call(__NR_open, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0, 0);
	static const u32 unwanted[2] = { EXEC_NO_OUTPUT, EXEC_NO_ERRORS };
	int ends[2];
	long result;

	if (nothing < 0)
		return nothing;
	if (command.flags & EXEC_TERMINAL) {
		result = open_terminal(&command.output[0], &files[0], columns, rows);
		if (result < 0)
			return result;
		files[1] = files[2] = files[0];
		command.input = call(__NR_fcntl, command.output[0], F_DUPFD_CLOEXEC, 0, 0, 0);
		return 0;
	}
	files[0] = files[1] = files[2] = nothing;
	if (command.flags & EXEC_INPUT) {
		if ((result = call(__NR_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0)) < 0)
			return result;
		files[0] = ends[0];
		command.input = ends[1];
	}
	for (int i = 0; i < 2; i++) {
		if (command.flags & unwanted[i])
			continue;
		if ((result = call(__NR_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0)) < 0)
			return result;
		command.output[i] = ends[0];
		files[1 + i] = ends[1];
	}
	return 0;
}

/* Starts the command of the frame. Returns whether it runs; what went wrong has been said. */
static int start_command(void)
{
	static char *words[MAX_WORDS + 1], *given[MAX_WORDS + 1];
	u32 at = 40, counts[2], failure[2] = { STAGE_PREPARE, EINVAL };
	int files[3], tell[2];
	char *directory;
	long result;

	command.input = command.output[0] = command.output[1] = -1;
	if (received.size < at)
		goto failed;
	command.flags = get32(received.bytes);
	command.credit[0] = get32(received.bytes + 20);
	command.credit[1] = get32(received.bytes + 24);
	counts[0] = get32(received.bytes + 28);
	counts[1] = get32(received.bytes + 32);
	command.group_count = get32(received.bytes + 36);
	failure[1] = E2BIG;
	if (counts[0] < 1 || counts[0] > MAX_WORDS || counts[1] > MAX_WORDS)
		goto failed;
	failure[1] = EINVAL;
	if (command.group_count > MAX_GROUPS || received.size - at < 4 * command.group_count)
		goto failed;
	for (u32 i = 0; i < command.group_count; i++, at += 4)
		command.groups[i] = get32(received.bytes + at);
	if (!(directory = next_text(&at)))
		goto failed;
	for (u32 i = 0; i < counts[0]; i++)
		if (!(words[i] = next_text(&at)))
			goto failed;
	for (u32 i = 0; i < counts[1]; i++)
		if (!(given[i] = next_text(&at)))
			goto failed;
	result = open_files(files, get32(received.bytes + 12), get32(received.bytes + 16));
	if (result >= 0)
		result = call(__NR_pipe2, (long)tell, O_CLOEXEC, 0, 0, 0);
	if (result >= 0)
		result = command.process = call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	failure[1] = -result;
	if (result < 0)
		goto failed;
	if (command.process == 0)
		become(words, environment_of(given, counts[1]), directory, get32(received.bytes + 4),
		       get32(received.bytes + 8), files, tell[1]);
	call(__NR_close, tell[1], 0, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		if (i == 0 || files[i] != files[i - 1])
			call(__NR_close, files[i], 0, 0, 0, 0);
	if (call(__NR_read, tell[0], (long)failure, sizeof(failure), 0, 0) == sizeof(failure))
		goto failed;
	call(__NR_close, tell[0], 0, 0, 0, 0);
	command.exited = call(__NR_pidfd_open, command.process, 0, 0, 0, 0);
	if (command.input >= 0)
		set_waiting(command.input, 0);
	send_words(FRAME_STARTED, command.process, 0);
	return 1;
failed:
	send_words(FRAME_FAILED, failure[0], failure[1]);
	return 0;
}

/* The command, and what it has started and not sent away. */
static void signal_command(int signal)
{
	if (call(__NR_kill, -command.process, signal, 0, 0, 0) < 0 && command.exited >= 0)
		call(__NR_kill, command.process, signal, 0, 0, 0);
}

/* The host is gone, or breaks the rules. */
__attribute__((noreturn)) static void abandon(void)
{
	if (command.process > 0)
		signal_command(SIGKILL);
	leave(1);
}

/* Ctrl-D, for a terminal; for a pipe, its end. */
static void end_input(void)
{
	char end = 4;

	if (command.flags & EXEC_TERMINAL)
		call(__NR_write, command.input, (long)&end, 1, 0, 0);
	else
		close_file(&command.input);
}

static void write_input(void)
{
	long count = call(__NR_write, command.input, (long)(command.window + command.window_start),
			  command.window_end - command.window_start, 0, 0);

	if (count == -EAGAIN || count == -EINTR)
		return;
	if (count < 0) { /* Nobody reads it any more. */
		close_file(&command.input);
		send_sent(FRAME_INPUT_CLOSED, 0);
		return;
	}
	command.window_start += count;
	command.taken += count;
	if (command.window_start < command.window_end)
		return;
	command.window_start = command.window_end = 0;
	send_words(FRAME_INPUT_TAKEN, command.taken, 0);
	command.taken = 0;
	if (command.input_ends)
		end_input();
}

static void take_input(void)
{
	if (command.input < 0)
		return; /* The host learns of it, or has learnt. */
	if (received.size > INPUT_WINDOW - (command.window_end - command.window_start))
		abandon();
	if (received.size > INPUT_WINDOW - command.window_end) {
		copy(command.window, command.window + command.window_start,
		     command.window_end - command.window_start);
		command.window_end -= command.window_start;
		command.window_start = 0;
	}
	copy(command.window + command.window_end, received.bytes, received.size);
	command.window_end += received.size;
}

static void take_frame(void)
{
	u32 first = received.size >= 4 ? get32(received.bytes) : 0;
	u32 second = received.size >= 8 ? get32(received.bytes + 4) : 0;
	struct winsize size = { second, first, 0, 0 };

	switch (received.type) {
	case FRAME_INPUT:
		take_input();
		break;
	case FRAME_INPUT_END:
		command.input_ends = 1;
		if (command.input >= 0 && command.window_start == command.window_end)
			end_input();
		break;
	case FRAME_SIGNAL:
		if (command.exited >= 0)
			signal_command(first);
		break;
	case FRAME_RESIZE:
		if (command.flags & EXEC_TERMINAL)
			call(__NR_ioctl, command.output[0], TIOCSWINSZ, (long)&size, 0, 0);
		break;
	case FRAME_CREDIT:
		if (first < 2)
			command.credit[first] += second;
		break;
	case FRAME_CLOSE:
		if (first < 2)
			close_file(&command.output[first]);
		break;
	default:
		abandon();
	}
}

/* Takes what has come of frames from a connection that does not wait. */
static void take_frames(void)
{
	static u32 have;
	static unsigned char pending[2 * (FRAME_HEADER + FRAME_MAX)];
	u32 start = 0;
	long got = call(__NR_read, conn, (long)(pending + have), sizeof(pending) - have, 0, 0);

	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got <= 0)
		abandon();
	have += got;
	while (have - start >= FRAME_HEADER) {
		u32 size = get32(pending + start + 4);

		if (size > FRAME_MAX)
			abandon();
		if (have - start < FRAME_HEADER + size)
			break;
		copy(&received, pending + start, FRAME_HEADER + size);
		start += FRAME_HEADER + size;
		take_frame();
	}
	copy(pending, pending + start, have - start);
	have -= start;
}

static void pass_output(int which)
{
	u32 room = command.credit[which] < FRAME_MAX ? command.credit[which] : FRAME_MAX;
	long count = call(__NR_read, command.output[which], (long)sent.bytes, room, 0, 0);

	if (count == -EINTR)
		return;
	if (count == -EAGAIN) { /* Nothing is left of what is due. */
		command.due[which] = 0;
		return;
	}
	if (count <= 0) { /* The end; a terminal's is EIO. */
		close_file(&command.output[which]);
		count = 0;
	}
	command.credit[which] -= count;
	command.due[which] -= count < command.due[which] ? count : command.due[which];
	send_sent(FRAME_OUTPUT + which, count);
}

/*
 * Notes what the command has left behind: others may write more, and without end. Of a terminal's output nobody says how
 * much is on its way, but a read that does not wait finds all of it.
 */
static void note_due(void)
{
	for (int i = 0; i < 2; i++) {
		int bytes = TERMINAL_BYTES;

		if (command.output[i] < 0)
			continue;
		if (!(command.flags & EXEC_TERMINAL))
			call(__NR_ioctl, command.output[i], FIONREAD, (long)&bytes, 0, 0);
		command.due[i] = bytes;
		set_waiting(command.output[i], 0);
	}
}

static int is_due(int which)
{
	return command.output[which] >= 0 && command.due[which] > 0;
}

static void pass_exit(void)
{
	int status = 0;

	call(__NR_wait4, command.process, (long)&status, 0, 0, 0);
	call(__NR_close, command.exited, 0, 0, 0, 0);
	command.exited = -1;
	send_words(FRAME_EXIT, status >> 8 & 0xff, status & 0x7f);
}

/* Until the command has ended, and nobody writes its output any more. */
static void run_command(void)
{
	if (!start_command())
		return;
	set_waiting(conn, 0);
	while (command.exited >= 0 || command.output[0] >= 0 || command.output[1] >= 0) {
		int writes = command.input >= 0 && command.window_start < command.window_end;
		int hurries = 0;
		struct pollfd files[5] = {
			{ conn, POLLIN, 0 },
			{ command.ended ? -1 : command.exited, POLLIN, 0 },
			{ writes ? command.input : -1, POLLOUT, 0 },
			{ command.credit[0] > 0 ? command.output[0] : -1, POLLIN, 0 },
			{ command.credit[1] > 0 ? command.output[1] : -1, POLLIN, 0 },
		};

		for (int i = 0; i < 2; i++)
			hurries |= is_due(i) && command.credit[i] > 0;
		call(__NR_poll, (long)files, 5, hurries ? 0 : -1, 0, 0);
		if (files[0].revents)
			take_frames();
		if (files[2].revents && command.input >= 0)
			write_input();
		for (int i = 0; i < 2; i++)
			if ((files[3 + i].revents || is_due(i)) && command.credit[i] > 0 && command.output[i] >= 0)
				pass_output(i);
		if (files[1].revents && command.flags & EXEC_EXIT_LAST) {
			command.ended = 1;
			note_due();
		} else if (files[1].revents) {
			pass_exit();
		}
		if (command.ended && command.exited >= 0 && !is_due(0) && !is_due(1))
			pass_exit();
	}
}
