#!/bin/bash
# A libvirt made of files: $here/domains/<name>/{xml,state}, $here/pool-state, $here/pool. A domain's UUID is its name.
here=$(dirname "$(dirname "$(readlink -f "$0")")")
shift 3 # -q -c <connection>
echo() {
  if [ "$1" = --err ]; then builtin printf 'error: %s\n' "$2" >&2; else builtin printf '%s\n' "$*"; fi
}
no-domain() { builtin printf "error: failed to get domain '%s'\n" "$1" >&2; return 1; }
list() { ls "$here/domains"; }
pool-dumpxml() { builtin printf "<pool type='dir'><target><path>%s</path></target></pool>\n" "$here/pool"; }
pool-list() { if [ "$1" = --all ] || [ "$(cat "$here/pool-state")" = active ]; then builtin printf 'default\n'; fi; }
domstats() {
  local name
  for name in $(list); do
    builtin printf "Domain: '%s'\n  state.state=%s\n" "$name" "$([ "$(cat "$here/domains/$name/state")" = running ] && builtin printf 1 || builtin printf 5)"
  done
}
domcapabilities() { builtin printf "<domainCapabilities><os><enum name='firmware'><value>efi</value></enum></os></domainCapabilities>\n"; }
net-list() { builtin printf 'default\n'; }
net-dumpxml() { builtin printf '<network/>\n'; }
dumpxml() { sed 's#<name>\(.*\)</name>#<uuid>\1</uuid>&#' "$here/domains/${*: -1}/xml" 2>/dev/null || no-domain "${*: -1}"; }
metadata() { # <domain> ... --set "<disk state='...'/>"
  [ -d "$here/domains/$1" ] || no-domain "$1" || return
  local state=${*: -1}
  state=${state#*\'}
  sed -i "s/state=\"[a-z]*\"/state=\"${state%%\'*}\"/" "$here/domains/$1/xml"
}
domstate() { cat "$here/domains/$1/state" 2>/dev/null || no-domain "$1"; }
destroy() { [ -d "$here/domains/$1" ] || no-domain "$1" || return; builtin printf 'shut off\n' > "$here/domains/$1/state"; }
undefine() { [ -d "$here/domains/$1" ] || no-domain "$1" || return; rm -r "$here/domains/$1"; }
if [ $# = 1 ]; then eval "$1"; else "$@"; fi
