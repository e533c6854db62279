/*
 * Frames, as a session sends and takes them: two little-endian 32-bit words, type and length, and that many bytes.
 * src/sandbox/protocol.ts has the other side, and the layout of every frame.
 */
#include "freestanding.h"
#include <asm/signal.h>
#include <linux/poll.h>

#define FRAME_HEADER 8
/* The most bytes in a frame, either way. */
#define FRAME_MAX 65536

enum from_host {
	FRAME_EXEC = 1,
	FRAME_INPUT = 2,
	FRAME_INPUT_END = 3,
	FRAME_SIGNAL = 4,
	FRAME_RESIZE = 5,
	FRAME_CREDIT = 6,
	FRAME_CLOSE = 7,
	FRAME_READ = 16,
	FRAME_WRITE = 17,
	FRAME_DATA = 18,
	FRAME_STAT = 19,
	FRAME_LIST = 20,
	FRAME_MKDIR = 21,
	FRAME_REMOVE = 22,
	FRAME_RENAME = 23,
	FRAME_DIAL = 24,
	FRAME_WATCH = 25,
	FRAME_POWER_OFF = 32,
};

enum to_host {
	FRAME_HELLO = 64,
	FRAME_STARTED = 65,
	FRAME_FAILED = 66,
	FRAME_OUTPUT = 67,       /* + 0 or 1: the command's output, its errors; an empty one is the end */
	FRAME_EXIT = 69,
	FRAME_INPUT_TAKEN = 70,
	FRAME_INPUT_CLOSED = 71,
	FRAME_DONE = 80,
	FRAME_ERROR = 81,
	FRAME_CONTENT = 82,
	FRAME_ENTRY = 83,
	FRAME_WATCHING = 84,
	FRAME_CHANGES = 85,
};

#define MAX_PATH 4096
#define UNCHANGED 0xffffffffu /* a user, a group, or the mode of a file */

/* include/uapi/asm-generic/errno-base.h, which the C library hides behind its own. */
#define ENOENT 2
#define EINTR 4
#define E2BIG 7
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EEXIST 17
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define ENOSPC 28
#define ENAMETOOLONG 36

typedef unsigned int u32;

struct frame {
	u32 type, size;
	unsigned char bytes[FRAME_MAX];
};

static struct frame received, sent;
static int conn;

__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		call(__NR_exit_group, status, 0, 0, 0, 0);
}

static void copy(void *into, const void *from, long count)
{
	unsigned char *to = into;
	const unsigned char *source = from;

	while (count-- > 0)
		*to++ = *source++;
}

/* gcc makes calls of these out of loops and initializers. */
void *memcpy(void *into, const void *from, unsigned long count)
{
	copy(into, from, count);
	return into;
}

void *memset(void *at, int value, unsigned long count)
{
	unsigned char *to = at;

	while (count-- > 0) {
		*to++ = value;
		__asm__ volatile("" : : : "memory"); /* or gcc would make this loop a call of memset */
	}
	return at;
}

static void put32(unsigned char *at, u32 value)
{
	for (int i = 0; i < 4; i++)
		at[i] = value >> 8 * i;
}

static void put64(unsigned char *at, unsigned long value)
{
	put32(at, value);
	put32(at + 4, value >> 32);
}

static u32 get32(const unsigned char *at)
{
	return at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24;
}

/* Sends all of it, or ends the session: nobody is there to hear. */
static void send_bytes(const void *bytes, long count)
{
	const char *at = bytes;

	while (count > 0) {
		long done = call(__NR_write, conn, (long)at, count, 0, 0);

		if (done == -EINTR)
			continue;
		if (done == -EAGAIN) {
			struct pollfd room = { conn, POLLOUT, 0 };

			call(__NR_poll, (long)&room, 1, -1, 0, 0);
			continue;
		}
		if (done <= 0)
			leave(1);
		at += done;
		count -= done;
	}
}

/* Sends a frame of `size` bytes that are in `sent.bytes` already. */
static void send_sent(u32 type, u32 size)
{
	sent.type = type;
	sent.size = size;
	send_bytes(&sent, FRAME_HEADER + size);
}

static void send_words(u32 type, u32 first, u32 second)
{
	put32(sent.bytes, first);
	put32(sent.bytes + 4, second);
	send_sent(type, 8);
}

/* The result of a file request: 0, or a negative error number. */
static void send_result(long result)
{
	if (result < 0)
		send_words(FRAME_ERROR, -result, 0);
	else
		send_sent(FRAME_DONE, 0);
}

/* Reads exactly `count` bytes of a blocking connection; ends the session when there are no more. */
static void receive_bytes(void *into, long count)
{
	char *at = into;

	while (count > 0) {
		long got = call(__NR_read, conn, (long)at, count, 0, 0);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			leave(1);
		at += got;
		count -= got;
	}
}

static void receive_frame(void)
{
	receive_bytes(&received, FRAME_HEADER);
	if (received.size > FRAME_MAX)
		leave(1);
	receive_bytes(received.bytes, received.size);
}

/* Takes texts, each ended by a 0, from a frame, one after the other; 0 when there is none. */
static char *next_text(u32 *at)
{
	char *text = (char *)received.bytes + *at;

	for (u32 i = *at; i < received.size; i++) {
		if (received.bytes[i])
			continue;
		*at = i + 1;
		return text;
	}
	return 0;
}

#define DEFAULT 0
#define IGNORE 1

static void handle(int signal, long how)
{
	const long action[4] = { how, 0, 0, 0 };

	call(__NR_rt_sigaction, signal, (long)action, 0, 8, 0);
}

/* Whether reading and writing wait until they can. */
static void set_waiting(int file, int waits)
{
	long flags = call(__NR_fcntl, file, F_GETFL, 0, 0, 0);

	call(__NR_fcntl, file, F_SETFL, waits ? flags & ~O_NONBLOCK : flags | O_NONBLOCK, 0, 0);
}
