/*
 * The agent: runs commands and works with files in the guest for whoever the machine belongs to. It calls port
 * AGENT_PORT of the host (CID 2) to say that it is there, then takes calls on its own port of that number. Each call is
 * a session, served by a process of its own: whatever one meets (a pipe nobody reads, a file that hangs), the others
 * do not notice.
 *
 * A session is frames both ways: two little-endian 32-bit words, type and length, and that many bytes. The first one
 * from the host says what is wanted: FRAME_EXEC, or one of the file requests. src/sandbox/protocol.ts has the other
 * side, and the layout of every frame.
 */
#include "command.h"
#include "files.h"
#include "ports.h"
#include "watch.h"

#define VERSION 1
#define AGENT_PORT 1024
#define BACKLOG 128

#define AF_VSOCK 40
#define HOST_CID 2
#define ANY_CID 0xffffffffu

/* struct sockaddr_vm; linux/vm_sockets.h includes the C library's headers. */
struct vsock_address {
	unsigned short family, reserved;
	u32 port, cid;
	unsigned char zero[4];
};

static void serve(void)
{
	u32 at = 8, flags, mode;
	char *path, *other;

	receive_frame();
	if (received.type == FRAME_EXEC) {
		run_command();
		return;
	}
	if (received.type == FRAME_POWER_OFF) {
		send_result(call(__NR_kill, 1, SIGUSR2, 0, 0, 0));
		return;
	}
	if (received.type == FRAME_DIAL) {
		serve_port(get32(received.bytes));
		return;
	}
	flags = get32(received.bytes);
	mode = get32(received.bytes + 4);
	path = received.size < at ? 0 : next_text(&at);
	if (!path) {
		send_result(-EINVAL);
		return;
	}
	other = next_text(&at);
	switch (received.type) {
	case FRAME_READ:
		read_whole(path);
		break;
	case FRAME_WRITE:
		write_whole(path, flags, mode);
		break;
	case FRAME_STAT:
		tell_status(path, flags);
		break;
	case FRAME_LIST:
		list(path);
		break;
	case FRAME_MKDIR:
		send_result(make_folder(path, flags, mode));
		break;
	case FRAME_REMOVE:
		send_result(remove_one(path, flags));
		break;
	case FRAME_RENAME:
		send_result(other ? call(__NR_rename, (long)path, (long)other, 0, 0, 0) : -EINVAL);
		break;
	case FRAME_WATCH:
		watch(path, flags);
		break;
	default:
		send_result(-EINVAL);
	}
}

static struct vsock_address address(u32 cid)
{
	struct vsock_address to = { AF_VSOCK, 0, AGENT_PORT, cid, { 0 } };

	return to;
}

static long new_socket(void)
{
	return call(__NR_socket, AF_VSOCK, SOCK_STREAM | O_CLOEXEC, 0, 0, 0);
}

__attribute__((noreturn, used)) static void start(long *stack)
{
	struct vsock_address own = address(ANY_CID), host = address(HOST_CID);
	long listener = new_socket(), greeting = new_socket();

	own_environment = (char **)(stack + 1 + stack[0] + 1);
	if (listener < 0 || call(__NR_bind, listener, (long)&own, sizeof(own), 0, 0) < 0 ||
	    call(__NR_listen, listener, BACKLOG, 0, 0, 0) < 0 ||
	    call(__NR_connect, greeting, (long)&host, sizeof(host), 0, 0) < 0)
		leave(1);
	/* It stays open: when it ends, so has the agent. */
	conn = greeting;
	send_words(FRAME_HELLO, VERSION, INPUT_WINDOW);
	loopback_up();
	handle(SIGCHLD, IGNORE); /* sessions are not waited for */
	handle(SIGPIPE, IGNORE);
	for (;;) {
		long call_fd = call(__NR_accept4, listener, 0, 0, O_CLOEXEC, 0);

		if (call_fd < 0)
			continue;
		if (call(__NR_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
			call(__NR_close, listener, 0, 0, 0, 0);
			call(__NR_close, greeting, 0, 0, 0, 0);
			handle(SIGCHLD, DEFAULT);
			conn = call_fd;
			serve();
			/* What was sent is on its way; the host closes when it has read it. */
			leave(0);
		}
		call(__NR_close, call_fd, 0, 0, 0, 0);
	}
}
