/* A session that is a call to a TCP port of the guest itself: after the answer its bytes are that program's. */

/* struct sockaddr_in, struct ifreq and their numbers; the kernel's headers for them include the C library's. */
#define AF_INET 2
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SHUT_WR 1
#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define IFF_UP 1

#define RELAY_BYTES 32768

struct tcp_address {
	unsigned short family;
	unsigned char port[2], host[4], zero[8];
};

struct interface {
	char name[16];
	short flags;
	char rest[22];
};

struct relay {
	int from, to;
	u32 start, end;
	unsigned char bytes[RELAY_BYTES];
};

/* Nothing is at 127.0.0.1 until this has been done; a guest that configures its network does it, too. */
static void loopback_up(void)
{
	struct interface loopback = { "lo", 0, { 0 } };
	long any = call(__NR_socket, AF_INET, SOCK_DGRAM | O_CLOEXEC, 0, 0, 0);

	if (call(__NR_ioctl, any, SIOCGIFFLAGS, (long)&loopback, 0, 0) >= 0) {
		loopback.flags |= IFF_UP;
		call(__NR_ioctl, any, SIOCSIFFLAGS, (long)&loopback, 0, 0);
	}
	call(__NR_close, any, 0, 0, 0, 0);
}

static long dial(u32 port)
{
	struct tcp_address to = { AF_INET, { port >> 8, port }, { 127, 0, 0, 1 }, { 0 } };
	long file = call(__NR_socket, AF_INET, SOCK_STREAM | O_CLOEXEC, 0, 0, 0), result;

	if (file < 0)
		return file;
	result = call(__NR_connect, file, (long)&to, sizeof(to), 0, 0);
	return result < 0 ? result : file;
}

/* Moves what it can without waiting. `from` is -1 after its end; an error ends the session, as a reset would. */
static void move(struct relay *relay, int can_read, int can_write)
{
	long count;

	if (can_read && relay->start == relay->end) {
		count = call(__NR_read, relay->from, (long)relay->bytes, RELAY_BYTES, 0, 0);
		if (count == -EAGAIN || count == -EINTR)
			return;
		if (count < 0)
			leave(1);
		relay->start = 0;
		relay->end = count;
		if (count == 0) {
			call(__NR_shutdown, relay->to, SHUT_WR, 0, 0, 0);
			relay->from = -1;
		}
		can_write = 1;
	}
	if (!can_write || relay->start == relay->end)
		return;
	count = call(__NR_write, relay->to, (long)(relay->bytes + relay->start), relay->end - relay->start, 0, 0);
	if (count == -EAGAIN || count == -EINTR)
		return;
	if (count < 0)
		leave(1);
	relay->start += count;
}

static void serve_port(u32 port)
{
	static struct relay out, in;
	long file = dial(port);

	send_result(file < 0 ? file : 0);
	if (file < 0)
		return;
	out.from = in.to = conn;
	out.to = in.from = file;
	set_waiting(conn, 0);
	set_waiting(file, 0);
	while (out.from >= 0 || in.from >= 0 || out.start < out.end || in.start < in.end) {
		struct relay *both[2] = { &out, &in };
		struct pollfd files[4];

		for (int i = 0; i < 2; i++) {
			int waits = both[i]->start < both[i]->end;

			files[2 * i] = (struct pollfd){ waits ? -1 : both[i]->from, POLLIN, 0 };
			files[2 * i + 1] = (struct pollfd){ waits ? both[i]->to : -1, POLLOUT, 0 };
		}
		call(__NR_poll, (long)files, 4, -1, 0, 0);
		for (int i = 0; i < 2; i++)
			move(both[i], files[2 * i].revents != 0, files[2 * i + 1].revents != 0);
	}
}
