/*
 * `work messages call|answer PORT DIRECTORY`: SOCK_SEQPACKET with the host, which it calls or is called by. Each
 * message becomes a file in DIRECTORY (0000, 0001, …) and goes back as it came, until the host ends its output.
 */
#include "work.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux lets no message be longer than the receiver's buffer, 256 KiB; one byte more shows one that is. */
static char message[256 * 1024 + 1];

static int call(struct sockaddr_vm *address)
{
	int connection = socket(AF_VSOCK, SOCK_SEQPACKET, 0);

	address->svm_cid = VMADDR_CID_HOST;
	if (connection < 0)
		fail("socket");
	if (connect(connection, (struct sockaddr *)address, sizeof(*address)) < 0)
		fail("connect");
	return connection;
}

static int answer(struct sockaddr_vm *address)
{
	int listener = socket(AF_VSOCK, SOCK_SEQPACKET, 0);
	int connection;

	address->svm_cid = VMADDR_CID_ANY;
	if (listener < 0)
		fail("socket");
	if (bind(listener, (struct sockaddr *)address, sizeof(*address)) < 0 || listen(listener, 1) < 0)
		fail("listen");
	connection = accept(listener, NULL, NULL);
	if (connection < 0)
		fail("accept");
	close(listener);
	return connection;
}

static void keep(unsigned int number, size_t length)
{
	char name[16];
	int file;

	snprintf(name, sizeof(name), "%04u", number);
	file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (file < 0 || write(file, message, length) != (ssize_t)length)
		fail(name);
	close(file);
}

int messages(int argc, char **argv)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK };
	unsigned int number = 0;
	ssize_t length;
	int connection;

	if (argc < 4 || chdir(argv[3]) < 0)
		fail("directory");
	address.svm_port = strtoul(argv[2], NULL, 10);
	connection = strcmp(argv[1], "call") == 0 ? call(&address) : answer(&address);
	while ((length = recv(connection, message, sizeof(message), MSG_TRUNC)) > 0) {
		if (length > (ssize_t)sizeof(message))
			fail("length");
		keep(number++, length);
		if (send(connection, message, length, 0) != length)
			fail("send");
	}
	if (length < 0)
		fail("recv");
	printf("%u messages\n", number);
	return 0;
}
