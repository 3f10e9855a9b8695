#!/bin/sh
# Makes the keys that the monitor and its workers know each other by, at the first start; later it keeps them.
#
#   make-keys.sh FOLDER WORKER…
#
# FOLDER/client gets the key that lets in and the known_hosts that pins each worker; FOLDER/WORKER gets that worker's
# host key and the authorized_keys that allows the client's key one thing, translation-worker.sh with Apertium.
# Each folder is a volume of its own: no worker sees the client's key.
set -eu
umask 077

port=2222
folder=$1
shift

key() { # FILE
  [ -s "$1" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$1"
  # Made again from the key: a stop between the two files must not leave a pair that does not match.
  ssh-keygen -y -f "$1" >"$1.pub"
}

key "$folder/client/id_ed25519"
: >"$folder/client/known_hosts.new"
for worker in "$@"; do
  key "$folder/$worker/host_key"
  printf 'restrict,command="/usr/local/bin/translation-worker.sh --allow apertium sftp" %s\n' \
    "$(cat "$folder/client/id_ed25519.pub")" >"$folder/$worker/authorized_keys.new"
  mv "$folder/$worker/authorized_keys.new" "$folder/$worker/authorized_keys"
  printf '[%s]:%s %s\n' "$worker" "$port" "$(cat "$folder/$worker/host_key.pub")" \
    >>"$folder/client/known_hosts.new"
done
mv "$folder/client/known_hosts.new" "$folder/client/known_hosts"
