/* One session of the agent over a Unix socket, for tests on the host itself. The socket's path is the first argument. */
#define start agent_start
#include "agent.c"
#undef start

#define AF_UNIX 1

__attribute__((noreturn, used)) static void start(long *stack)
{
	struct { unsigned short family; char path[108]; } host = { AF_UNIX, { 0 } };
	const u32 groups[2] = { 0, 4 };
	char *path = (char *)stack[2];

	own_environment = (char **)(stack + 1 + stack[0] + 1);
	copy(host.path, path, length(path));
	call(__NR_close_range, 3, 0xffffffff, 0, 0, 0); /* what this host has left open is none of a session's */
	conn = call(__NR_socket, AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, 0, 0);
	if (call(__NR_connect, conn, (long)&host, sizeof(host), 0, 0) < 0)
		leave(2);
	call(__NR_setgroups, 2, (long)groups, 0, 0, 0); /* something for a command to be without */
	handle(SIGPIPE, IGNORE);
	handle(SIGCHLD, DEFAULT);
	serve();
	leave(0);
}
