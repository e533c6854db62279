/* Sends frames through an interface as fast as it takes them, until it is ended: blast INTERFACE BYTES [SECONDS]. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

int main(int count, char **args) {
  static unsigned char frame[65536];
  static struct mmsghdr messages[BATCH];
  if (count < 3) return 2;
  size_t bytes = (size_t)atoi(args[2]);
  time_t end = time(NULL) + (count > 3 ? atoi(args[3]) : 60);
  struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(args[1]) };
  struct iovec piece = { frame, bytes };
  int fd = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
  if (fd < 0 || bytes > sizeof frame) return 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
  memset(frame, 0xff, 6);
  frame[6] = 2;
  frame[12] = 0x88, frame[13] = 0xb5;
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1 };
  }
  while (time(NULL) < end) sendmmsg(fd, messages, BATCH, 0);
  return 0;
}
