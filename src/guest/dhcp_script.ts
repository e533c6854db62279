/** What busybox's udhcpc calls with what it has learnt, in the default root and in roots of the user's. */

/** `busybox`: its path there. What else is in a user's root may be anything, so it is asked for each program. */
export function dhcpScript(busybox: string): string {
  return `#!${busybox} sh
# What udhcpc calls with what it has learnt.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
b=${busybox}
$b ip address replace "$ip/\${mask:-24}" dev "$interface"
[ -z "$mtu" ] || $b ip link set "$interface" mtu "$mtu"
for gateway in $router; do
  $b ip route replace default via "$gateway" dev "$interface" && break
done
# Often it is a link to what a daemon would have made. In the default root, which is read-only, it leads to /run.
[ -s /etc/resolv.conf ] || $b rm -f /etc/resolv.conf
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
`;
}
