# First program of the lab: makes it a host with /dev/kvm, runs the work, says how it ended.
# Lies on the run's disk (run_disk.ts) beside settings.sh, work.sh, checkout/, deno/, deno-dir/ and cache/.
# The two ports are the virtio-serial ones of qemu.ts.
cd /lab
. ./settings.sh

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -sf /proc/self/fd /dev/fd
ln -sf fd/0 /dev/stdin
ln -sf fd/1 /dev/stdout
ln -sf fd/2 /dev/stderr
ulimit -c 0

export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
hostname lab
ip link set lo up
modprobe -a kvm-amd virtio_pci virtio_console tun

# Nobody may be left to end a lab that was forgotten.
[ -z "$LAB_LIMIT_SECONDS" ] || (sleep "$LAB_LIMIT_SECONDS" && echo o >/proc/sysrq-trigger) &

until [ -c /dev/vport0p1 ] && [ -c /dev/vport0p2 ]; do sleep 0.05; done
exec 8>/dev/vport0p1 9>/dev/vport0p2
printf '\036begin %s\n' "$LAB_TOKEN" >&8

# The same path as outside: Deno's cache of compiled modules is keyed by it.
mkdir -p "$LAB_ROOT"
mount --bind /lab/checkout "$LAB_ROOT"
ln -sf /lab/deno/deno /usr/local/bin/deno
cd "$LAB_ROOT"

if [ -c /dev/hvc0 ] && [ -n "$LAB_TERMINAL" ]; then
  # A session of its own, or Ctrl-C reaches nobody; QEMU sets the size to nothing whenever hvc0 is opened.
  size="stty sane rows $LAB_ROWS cols $LAB_COLUMNS"
  setsid -c -w bash -c "$size; exec bash /lab/work.sh" <>/dev/hvc0 >&0 2>&0 8>&- 9>&-
else
  bash /lab/work.sh </dev/null >&8 2>&9 8>&- 9>&-
fi
status=$?
printf '\036end %s %d\n' "$LAB_TOKEN" "$status" >&9
printf '\036end %s %d\n' "$LAB_TOKEN" "$status" >&8
# The other side pulls the plug as soon as it has read that; a moment for it, then we do.
sleep 10
echo o >/proc/sysrq-trigger
sleep 60
