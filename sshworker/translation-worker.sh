#!/bin/sh
# translation-worker: runs one command for translation-monitor, and leaves nothing behind.
#
# Asked as
#     translation-worker 1 ID SIZE FOLDER TRACEPARENT PROGRAM [ARGUMENT...]
# where every byte of a word but letters, digits and . _ / : - is written %OOO (octal), and an absent word is %.
# Standard input is SIZE bytes for the program, then nothing; when it ends, the program and whatever it
# started are ended: TERM, and KILL after 5 s. So a cancelled or cut connection leaves no process, although
# sshd passes no signals to forced commands or to root.
#
# As a forced command, in ~/.ssh/authorized_keys (the programs after --allow, and no others, may be asked for;
# "sftp" among them allows file transfer; allow only programs that are harmless with any argument):
#     restrict,port-forwarding,command="/usr/local/bin/translation-worker.sh --allow apertium sftp" ssh-ed25519 ...
#
# The program "health [PROGRAM [no-gpus]]" is this script's own and always allowed: it tells of the host (load,
# memory, GPUs) and whether PROGRAM may be run and is there. Whoever has the key learns no more than that.
#
# A process group of its own is made by setsid, else by perl, else by the shell's job control (`set -m`: bash,
# which is macOS's sh). With none of them only the program itself is ended, not what it started.
# A program that makes a session of its own escapes; do not use one that turns itself into a daemon.

umask 077
set -f

fail() { # KIND STATUS WORDS: one line that the caller recognises by ID
  printf "translation-worker %s %s: %s\n" "$id" "$1" "$3" >&2
  [ -z "$made" ] || rm -rf "$made"
  exit "$2"
}

decode() { # sets $word; the point keeps trailing newlines
  word=$1
  case $word in
    %) word= ;;
    *%*)
      format= rest=$word escape=$(printf "\134")
      while :; do
        case $rest in
          *%*) format=$format${rest%%%*}$escape rest=${rest#*%} ;;
          *) break ;;
        esac
      done
      word=$(printf "$format$rest.")
      word=${word%.}
      ;;
  esac
}

id=- made= forced= allowed=
if [ "$1" = --allow ]; then
  forced=yes
  shift
  allowed=$*
  case ${SSH_ORIGINAL_COMMAND-} in
    *"translation-worker 1 "*) asked=${SSH_ORIGINAL_COMMAND##*"translation-worker 1 "} ;;
    internal-sftp* | */sftp-server*) asked="0 0 / % sftp" ;;
    *) fail refused 126 "this key runs translation-worker only" ;;
  esac
  set -- 1 $asked
fi

[ "$1" = 1 ] && [ $# -ge 6 ] || fail refused 126 "not a request of this version"
case $2 in "" | *[!a-z0-9]*) fail refused 126 "a bad id" ;; esac
id=$2 size=$3
case $size in "" | *[!0-9]*) fail refused 126 "a bad size" ;; esac
decode "$4"
folder=$word
case $folder in /*) ;; *) fail refused 126 "a folder that is not absolute" ;; esac
decode "$5"
trace=$word
shift 5
words=$#
while [ "$words" -gt 0 ]; do
  decode "$1"
  shift
  set -- "$@" "$word"
  words=$((words - 1))
done

case $1 in "" | -*) fail refused 126 "no program" ;; esac
if [ -n "$forced" ]; then
  found=
  for program in $allowed health; do [ "$program" != "$1" ] || found=yes; done
  [ -n "$found" ] || fail refused 126 "this key may not run $1"
fi
if [ -n "$forced" ] && [ "$1" = sftp ]; then
  for server in /usr/lib/openssh/sftp-server /usr/libexec/sftp-server /usr/libexec/openssh/sftp-server \
    /usr/lib/ssh/sftp-server; do
    [ ! -x "$server" ] || exec "$server"
  done
  fail missing 127 "no sftp-server found"
fi
may=yes
if [ "$1" = health ]; then
  [ -z "$forced" ] || may=no
  for program in $allowed; do [ "$program" != "${2-}" ] || may=yes; done
else
  command -v "$1" >/dev/null 2>&1 || fail missing 127 "no program $1 here"
fi

dir=$folder/$id
if ! mkdir "$dir" 2>/dev/null; then
  problem=$(LC_ALL=C mkdir -p "$folder" 2>&1 && LC_ALL=C mkdir "$dir" 2>&1) || fail folder 73 "$problem"
fi
made=$dir
# A folder of somebody else (in /tmp anybody can be first) could be exchanged under our feet.
[ ! -L "$folder" ] && [ -O "$folder" ] || fail folder 73 "$folder belongs to another user"
{ echo "$$" >"$dir/.translation-worker"; } 2>/dev/null

# dd with count=1 reads what is there, never beyond what is wanted, so that the rest stays control stream.
: >"$dir/stdin"
received=0
while [ "$received" -lt "$size" ]; do
  want=$((size - received))
  [ "$want" -le 1048576 ] || want=1048576
  problem=$(LC_ALL=C dd bs="$want" count=1 2>&1 >>"$dir/stdin") || fail folder 73 "$problem"
  now=$(($(wc -c <"$dir/stdin")))
  [ "$now" -gt "$received" ] || fail input 74 "the text ended early"
  received=$now
done
if [ "$1" = health ]; then
  # Each fact is a line %NAME, what a tool said, and a line %end STATUS. A tool of GPUs may hang, so they come last.
  problem=$({ LC_ALL=C cat >"$dir/stdin"; } 2>&1 <<"END"
tell() {
  command -v "$2" >/dev/null 2>&1 || return 0
  echo "%$1"
  shift
  "$@" </dev/null 2>&1
  said=$?
  echo
  echo "%end $said"
}
LC_ALL=C
export LC_ALL
if [ "$3" = no ]; then
  echo "%program forbidden"
elif command -v "$1" >/dev/null 2>&1; then
  echo "%program found"
else
  echo "%program missing"
fi
PATH=$PATH:/usr/sbin:/sbin:/opt/rocm/bin
tell cpus getconf _NPROCESSORS_ONLN
if command -v vm_stat >/dev/null 2>&1; then
  tell load sysctl -n vm.loadavg
  tell memsize sysctl -n hw.memsize
  tell vm_stat vm_stat
else
  tell load cat /proc/loadavg
  tell meminfo cat /proc/meminfo
fi
if [ "$2" != no-gpus ]; then
  tell nvidia-smi nvidia-smi --query-gpu=index,utilization.gpu,memory.used,memory.total --format=csv,noheader,nounits
  tell rocm-smi rocm-smi --showuse --showmeminfo vram --json
fi
echo "%all"
END
) || fail folder 73 "$problem"
  set -- /bin/sh -s -- "${2-}" "${3-}" "$may"
fi
exec 3<&0 4<"$dir/stdin"
rm -f "$dir/stdin"

export SSH_WORKER_REMOTE_DIR="$dir"
case $trace in [0-9a-f][0-9a-f]-*-*-[0-9a-f][0-9a-f]) export TRACEPARENT="$trace" ;; esac

if command -v setsid >/dev/null 2>&1; then
  setsid "$@" <&4 3<&- 4<&- &
elif command -v perl >/dev/null 2>&1; then
  perl -e 'use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV; exit 127' "$@" <&4 3<&- 4<&- &
else
  set -m 2>/dev/null
  "$@" <&4 3<&- 4<&- &
  set +m
fi
child=$!

signal() { kill -s "$1" -- "-$child" 2>/dev/null || kill -s "$1" "$child" 2>/dev/null; }

finish() { # TERM, KILL after 5 s, and the folder too, in case the main shell is gone
  signal TERM
  tries=0
  while [ "$tries" -lt 25 ] && signal 0; do
    sleep 0.2
    tries=$((tries + 1))
  done
  signal KILL
  rm -rf "$dir"
}

# The watcher holds neither output, so that the channel can end while it still waits.
(
  trap "" HUP
  while read -r line; do :; done
  finish
) <&3 3<&- 4<&- >/dev/null 2>&1 &
watcher=$!
exec </dev/null 3<&- 4<&-

sweep() { # folders left behind by a crash: marked as ours, a day old, and of a process that is no more
  set +f
  for mark in "$folder"/*/.translation-worker; do
    old=${mark%/*} owner=
    [ -f "$mark" ] && [ -O "$old" ] && [ ! -L "$old" ] || continue
    read -r owner <"$mark"
    [ -z "$owner" ] || ! kill -s 0 "$owner" || continue
    [ -z "$(find "$old" -prune -mtime +0)" ] || rm -rf "$old"
  done
}
(sweep) >/dev/null 2>&1 &
trap "(finish) >/dev/null 2>&1 &" HUP INT TERM

# Some shells announce a killed child on standard error, which is the program's.
{ wait "$child"; } 2>/dev/null
status=$?
# A trapped signal ends `wait` before the program ends.
while kill -s 0 "$child" 2>/dev/null; do
  { wait "$child"; } 2>/dev/null
  status=$?
done
kill "$watcher" 2>/dev/null
signal KILL
rm -rf "$dir"
exit "$status"
