/* One session of the agent over a Unix socket, for tests on the host itself. The socket's path is the first argument. */
#define start agent_start
#include "agent.c"
#undef start

#define AF_UNIX 1

__attribute__((noreturn, used)) static void start(long *stack)
{
	struct { unsigned short family; char path[108]; } host = { AF_UNIX, { 0 } };
	char *path = (char *)stack[2];

	own_environment = (char **)(stack + 1 + stack[0] + 1);
	copy(host.path, path, length(path));
	conn = call(__NR_socket, AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, 0, 0);
	if (call(__NR_connect, conn, (long)&host, sizeof(host), 0, 0) < 0)
		leave(2);
	handle(SIGPIPE, IGNORE);
	handle(SIGCHLD, DEFAULT);
	serve();
	leave(0);
}
