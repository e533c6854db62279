#!/bin/sh
# The agent for guests without vsock: commands and files over a port of a virtio console, by a shell and a few programs
# that every busybox has. src/sandbox/shell_agent.ts has the other side. Both speak in lines, each of a job: its number, a
# word, and more; bytes are base64. From the host:
#
#     N run PIPES SCRIPT   starts a job; PIPES has I, O and E for what of its input, output and errors is passed on
#     N in BYTES           for its input, no more than WINDOW that it has not taken; N eof is the end
#     N room O COUNT       so many more pieces of its output (O) or errors (E) may be sent
#     N shut O             nobody reads that any more
#     N kill SIGNAL        for the job and all it has started
#     N drop               ends it, and all it has started
#
# To the host: - ready VERSION, or - lacks PROGRAMS; N O BYTES, N E BYTES, which end without bytes; N taken for each
# `in`; N closed when nobody reads its input; N exit STATUS; N end. The script itself says what it is to be told by.
#
# Usage: sh agent.sh [FOLDER [INPUT OUTPUT]]; with files for the port, which tests have.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
TERM=vt100
export PATH HOME TERM

home=${1:-/dinovisor}
# Pieces of each output that may be on their way; of 4096 bytes, so that a line is written at once by every shell.
ROOM=16

find_port() {
  mkdir -p "$home/dev" "$home/sys"
  # Not the guest's own: it may have none, or have them elsewhere by the time there is a port.
  mount -t devtmpfs dev "$home/dev"
  mount -t sysfs sys "$home/sys"
  while :; do
    for name in "$home"/sys/class/virtio-ports/*/name; do
      [ -r "$name" ] && read -r text <"$name" && [ "$text" = dinovisor.agent ] || continue
      port=${name%/name}
      port=$home/dev/${port##*/}
      [ -c "$port" ] && exec 3<>"$port" && exec 4<&3 && return
    done
    sleep 1
  done
}

# Passes on its standard input as output $2 of job $1.
pump() {
  exec 5<>"$at/$2.room"
  room=$ROOM
  while data=$(dd bs=4096 count=1 2>/dev/null | base64 -w 0) && [ -n "$data" ]; do
    while [ "$room" -le 0 ]; do
      read -r more <&5
      room=$((room + more))
    done
    room=$((room - 1))
    echo "$1 $2 $data" >&3
  done
  echo "$1 $2" >&3
}

# Passes on what comes for job $1 to its input.
feed() {
  exec 5<>"$at/typed"
  pass_on "$1" >"$at/in"
}

pass_on() {
  while read -r data <&5 && [ "$data" != . ]; do
    echo "$data" | base64 -d || break
    echo "$1 taken" >&3
  done
  echo "$1 closed" >&3
}

run() {
  mkdir "$at" || return
  in=/dev/null out=/dev/null err=/dev/null feeder=
  case $2 in *I*)
    mkfifo "$at/in" "$at/typed"
    in=$at/in
    feed "$1" &
    feeder=$!
    ;;
  esac
  case $2 in *O*)
    mkfifo "$at/out" "$at/O.room"
    out=$at/out
    pump "$1" O <"$out" &
    echo $! >"$at/O.pump"
    ;;
  esac
  case $2 in *E*)
    mkfifo "$at/err" "$at/E.room"
    err=$at/err
    pump "$1" E <"$err" &
    echo $! >"$at/E.pump"
    ;;
  esac
  # $$ is that of the shell that becomes the command, and of its process group. In a process of its own: shells that
  # redirect before they fork would keep the ends open, and the input would never be without a reader.
  (
    script=$(echo "$3" | base64 -d)
    exec setsid sh -c "echo \$\$ >'$at/pid'; $script" agent "$1" <"$in" >"$out" 2>"$err"
  )
  echo "$1 exit $?" >&3
  [ -z "$feeder" ] || kill "$feeder" 2>/dev/null
  wait
  rm -rf "$at"
  echo "$1 end" >&3
}

# Sends signal $1 to what file $2 names, and to its group if $3 is "-".
signal() {
  [ -s "$at/$2" ] && read -r pid <"$at/$2" && kill "-$1" "$3$pid" 2>/dev/null
}

if [ -n "$2" ]; then exec 4<"$2" 3>"$3"; else find_port; fi
cd "$HOME" 2>/dev/null || cd /
jobs=$home/jobs
mkdir -p "$jobs"
lacks=
for program in base64 cat dd kill mkfifo rm setsid; do
  command -v $program >/dev/null || lacks="$lacks $program"
done
if [ -n "$lacks" ]; then
  echo "- lacks$lacks" >&3
  exit 1
fi
echo "- ready 1" >&3

while read -r job word one two <&4; do
  at=$jobs/$job
  case $word in
  run) run "$job" "$one" "$two" </dev/null 2>/dev/null & ;;
  in) [ -p "$at/typed" ] && echo "$one" 1<>"$at/typed" ;;
  eof) [ -p "$at/typed" ] && echo . 1<>"$at/typed" ;;
  room) [ -p "$at/$one.room" ] && echo "$two" 1<>"$at/$one.room" ;;
  shut) signal KILL "$one.pump" ;;
  kill) signal "$one" pid - ;;
  drop)
    signal KILL O.pump
    signal KILL E.pump
    signal KILL pid -
    ;;
  esac
done
