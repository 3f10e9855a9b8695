#!/bin/sh
# Writes Alertmanager's configuration: alertmanager.yml beside this script, its receivers filled in from the
# environment, since Alertmanager itself reads none. A receiver without its variables stays off.
#
#   render.sh FILE [COMMAND…]   writes FILE, then becomes COMMAND if one is given
#
# POSIX sh, sed and mkdir are all it needs: Alertmanager's image has no more. The variables stand in README.md.
# A secret never gets into FILE: it names the file the secret is in. One that was given as a variable is written to
# FILE.secrets/, which only its owner may read. Exit code 2: a variable is wrong; nothing has been written to FILE.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)

fail() {
  printf 'render.sh: %s\n' "$1" >&2
  exit 2
}

[ $# -ge 1 ] || fail 'usage: render.sh FILE [COMMAND…]'
out=$1
shift
secrets=$out.secrets

addresses='MONITOR_ALERT_WEBHOOK_URL MONITOR_ALERT_NTFY_URL MONITOR_ALERT_WATCHDOG_URL MONITOR_ALERT_RUNBOOKS_URL'
texts='MONITOR_ALERT_SLACK_CHANNEL MONITOR_ALERT_EMAIL_TO MONITOR_ALERT_EMAIL_FROM MONITOR_ALERT_EMAIL_SMARTHOST
  MONITOR_ALERT_EMAIL_USERNAME MONITOR_ALERT_EMAIL_REQUIRE_TLS'
# Each of these may also be given as NAME_FILE.
kept='MONITOR_ALERT_WEBHOOK_TOKEN MONITOR_ALERT_NTFY_TOKEN MONITOR_ALERT_SLACK_URL MONITOR_ALERT_EMAIL_PASSWORD'

# value NAME: what the variable holds, nothing if it is not set.
value() {
  eval "printf '%s' \"\${$1:-}\""
}

# quoted TEXT: as a YAML scalar.
quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

# scalar NAME: the variable as a YAML scalar, on one line.
scalar() {
  case $(value "$1") in
    *"
"*) fail "$1 has more than one line" ;;
  esac
  quoted "$(value "$1")"
}

# is_on NAME: whether NAME, or NAME_FILE where it is a secret, is set; that switches a receiver on.
is_on() {
  [ -n "$(value "$1")$(value "$1_FILE")" ]
}

# keep_secret NAME: check NAME or NAME_FILE. Apart from secret, because `exit` in $(…) does not end the script.
keep_secret() {
  is_on "$1" || return 0
  if [ -n "$(value "$1_FILE")" ]; then
    [ -z "$(value "$1")" ] || fail "$1 and $1_FILE are both set; one is enough"
    [ -r "$(value "$1_FILE")" ] || fail "$1_FILE: $(value "$1_FILE") cannot be read"
    [ -s "$(value "$1_FILE")" ] || fail "$1_FILE: $(value "$1_FILE") is empty"
  else
    mkdir -p "$secrets"
    value "$1" > "$secrets/$1"
  fi
}

# secret NAME: the file the secret is in, as a YAML scalar.
secret() {
  if [ -n "$(value "$1_FILE")" ]; then quoted "$(value "$1_FILE")"; else quoted "$secrets/$1"; fi
}

# needs NAME OTHER: NAME is set, so OTHER must be.
needs() {
  ! is_on "$1" || is_on "$2" || fail "$1 is set, so $2 must be"
}

# is_url NAME: http or https, unless it is not set.
is_url() {
  case $(value "$1") in
    *\`* | *"
"*) fail "$1 must be one address" ;;
    '' | http://?* | https://?*) ;;
    *) fail "$1 must be an http:// or https:// address" ;;
  esac
}

check() {
  # A name that is misspelt would leave a receiver off, and nobody would notice before the first alert.
  for name in $(env | sed -n 's/^\(MONITOR_ALERT_[A-Z_]*\)=.*/\1/p'); do
    case " "$(echo $addresses $texts $kept)" " in
      *" $name "* | *" ${name%_FILE} "*) ;;
      *) fail "$name is unknown" ;;
    esac
    case "$name $(echo $kept) " in
      *_FILE*" ${name%_FILE} "*) ;;
      *_FILE*) fail "$name is unknown: ${name%_FILE} is no secret" ;;
    esac
  done
  for name in $addresses MONITOR_ALERT_SLACK_URL; do
    is_url "$name"
  done
  for name in $texts; do
    scalar "$name" > /dev/null
  done
  # The query is ours: it asks ntfy to format the alert.
  case $(value MONITOR_ALERT_NTFY_URL) in
    *\?*) fail 'MONITOR_ALERT_NTFY_URL must be https://SERVER/TOPIC, without a query' ;;
  esac
  needs MONITOR_ALERT_WEBHOOK_TOKEN MONITOR_ALERT_WEBHOOK_URL
  needs MONITOR_ALERT_NTFY_TOKEN MONITOR_ALERT_NTFY_URL
  needs MONITOR_ALERT_SLACK_CHANNEL MONITOR_ALERT_SLACK_URL
  for name in MONITOR_ALERT_EMAIL_FROM MONITOR_ALERT_EMAIL_SMARTHOST; do
    needs "$name" MONITOR_ALERT_EMAIL_TO
    needs MONITOR_ALERT_EMAIL_TO "$name"
  done
  needs MONITOR_ALERT_EMAIL_USERNAME MONITOR_ALERT_EMAIL_PASSWORD
  needs MONITOR_ALERT_EMAIL_PASSWORD MONITOR_ALERT_EMAIL_USERNAME
  needs MONITOR_ALERT_EMAIL_USERNAME MONITOR_ALERT_EMAIL_TO
  case $(value MONITOR_ALERT_EMAIL_REQUIRE_TLS) in
    '' | true | false) ;;
    *) fail 'MONITOR_ALERT_EMAIL_REQUIRE_TLS must be true or false' ;;
  esac
  rm -rf "$secrets"
  for name in $kept; do
    keep_secret "$name"
  done
}

# receiver NAME: one that people read, with all that is switched on.
receiver() {
  printf '  - name: %s\n' "$1"
  if is_on MONITOR_ALERT_WEBHOOK_URL || is_on MONITOR_ALERT_NTFY_URL; then
    printf '    webhook_configs:\n'
  fi
  if is_on MONITOR_ALERT_WEBHOOK_URL; then
    printf '      - url: %s\n' "$(scalar MONITOR_ALERT_WEBHOOK_URL)"
    bearer MONITOR_ALERT_WEBHOOK_TOKEN
  fi
  if is_on MONITOR_ALERT_NTFY_URL; then
    # ntfy knows what Alertmanager sends and makes a readable message of it; "urgent" rings through the night.
    if [ "$1" = critical ]; then priority=urgent; else priority=default; fi
    printf '      - url: %s\n' "$(quoted "$(value MONITOR_ALERT_NTFY_URL)?template=alertmanager&priority=$priority")"
    bearer MONITOR_ALERT_NTFY_TOKEN
  fi
  if is_on MONITOR_ALERT_SLACK_URL; then
    printf '    slack_configs:\n'
    printf '      - api_url_file: %s\n' "$(secret MONITOR_ALERT_SLACK_URL)"
    if is_on MONITOR_ALERT_SLACK_CHANNEL; then
      printf '        channel: %s\n' "$(scalar MONITOR_ALERT_SLACK_CHANNEL)"
    fi
    printf '        send_resolved: true\n'
    printf "        title: '{{ template \"translation.title\" . }}'\n"
    printf "        text: '{{ template \"translation.text\" . }}'\n"
  fi
  if is_on MONITOR_ALERT_EMAIL_TO; then
    printf '    email_configs:\n'
    printf '      - to: %s\n' "$(scalar MONITOR_ALERT_EMAIL_TO)"
    printf '        from: %s\n' "$(scalar MONITOR_ALERT_EMAIL_FROM)"
    printf '        smarthost: %s\n' "$(scalar MONITOR_ALERT_EMAIL_SMARTHOST)"
    require_tls=$(value MONITOR_ALERT_EMAIL_REQUIRE_TLS)
    printf '        require_tls: %s\n' "${require_tls:-true}"
    if is_on MONITOR_ALERT_EMAIL_USERNAME; then
      printf '        auth_username: %s\n' "$(scalar MONITOR_ALERT_EMAIL_USERNAME)"
      printf '        auth_password_file: %s\n' "$(secret MONITOR_ALERT_EMAIL_PASSWORD)"
    fi
    printf '        send_resolved: true\n'
    printf "        headers: {Subject: '{{ template \"translation.title\" . }}'}\n"
    # As plain text: read on any device, and no part of an alert can act as HTML.
    printf "        html: ''\n"
    printf "        text: '{{ template \"translation.text\" . }}'\n"
  fi
}

# bearer NAME: the token of the webhook above, if it has one.
bearer() {
  printf '        send_resolved: true\n'
  if is_on "$1"; then
    printf '        http_config: {authorization: {credentials_file: %s}}\n' "$(secret "$1")"
  fi
}

watchdog() {
  printf '  - name: watchdog\n'
  if is_on MONITOR_ALERT_WATCHDOG_URL; then
    printf '    webhook_configs:\n'
    printf '      - url: %s\n        send_resolved: false\n' "$(scalar MONITOR_ALERT_WATCHDOG_URL)"
  fi
}

# Where the runbooks are found, as a template of Alertmanager: alerts carry a path inside the project.
runbooks() {
  base=$(value MONITOR_ALERT_RUNBOOKS_URL)
  [ -z "$base" ] || base=${base%/}/
  printf '{{ define "translation.runbooks" }}{{ `%s` }}{{ end }}\n' "$base"
}

check
mkdir -p "$out.templates"
runbooks > "$out.templates/runbooks.tmpl"
cp "$here"/templates/*.tmpl "$out.templates/"
{
  # Up to `receivers:` as it stands, with the templates from where they have been put.
  sed -e '/^receivers:/q' "$here/alertmanager.yml" \
    | sed -e "s|^  - templates/\*\.tmpl|  - $(quoted "$out.templates/*.tmpl" | sed 's/[|&\\]/\\&/g')|"
  printf '  - name: nobody\n'
  receiver critical
  receiver warning
  watchdog
} > "$out.new"
mv "$out.new" "$out"

[ $# -eq 0 ] || exec "$@"
