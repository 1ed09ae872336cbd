#!/bin/bash
# Stands for every program of CentOS by whose name it is called. What would change the machine goes to $STAND_IN/changes,
# and only if it does; what the machine is like since then lies in $STAND_IN/state.
set -eu
name=${0##*/} state=$STAND_IN/state
real() { exec "$(PATH=$REAL_PATH type -P "$name")" "$@"; }
changed() { echo "$*" >>"$STAND_IN/changes"; }
has() { grep -qxF -- "$2" "$state/$1" 2>/dev/null; }
add() { # LIST LINE: true if it was not there
  ! has "$1" "$2" && echo "$2" >>"$state/$1"
}
remove() {
  has "$1" "$2" || return 1
  grep -vxF -- "$2" "$state/$1" >"$state/$1.new" || true
  mv "$state/$1.new" "$state/$1"
}

case $name in
  rpm)
    shift
    case $1 in
      --whatprovides)
        shift
        for package; do has packages "$package" || has provided "$package" || echo "no package provides $package"; done
        ;;
      *) for package; do has packages "$package" || echo "package $package is not installed"; done ;;
    esac
    ;;
  yum)
    while [ "$1" != install ]; do shift; done
    shift
    changed "yum install $*"
    for package; do
      case $package in
        "${UNKNOWN:-}") ;;
        python-openstackclient) # is what another package provides
          add provided "$package" || true
          add packages python2-openstackclient || true
          ;;
        *) add packages "$package" || true ;;
      esac
    done
    ;;
  systemctl)
    verb=$1
    shift
    [ "$verb" != show ] || { echo NeedDaemonReload=no && exit; }
    status=0
    [ "$verb" != is-active ] || status=3
    for unit; do
      case $verb:$unit in
        *:--*) ;;
        is-active:*) ! has active "$unit" || status=0 ;;
        enable:*) ! add enabled "$unit" || changed "enable $unit" ;;
        start:*) ! add active "$unit" || changed "start $unit" ;;
        daemon-reload*) ;;
        *)
          changed "$verb $unit"
          add active "$unit" || true
          [ "$unit" != network.service ] || touch "$state/bridge"
          ;;
      esac
    done
    exit $status
    ;;
  ip)
    case $* in
      *"show dev br0"*) [ ! -e "$state/bridge" ] || echo "3: br0 inet 172.16.0.101/16" ;;
      *) echo "3: br0 inet 172.16.0.248/16" ;;
    esac
    ;;
  chkconfig)
    if [ $# = 1 ]; then has enabled "$1"; else add enabled "$1" && changed "chkconfig $*"; fi
    ;;
  selinuxenabled) ;;
  getsebool) if has booleans "$1"; then echo "$1 --> on"; else echo "$1 --> off"; fi ;;
  setsebool)
    shift
    for each; do ! add booleans "${each%=on}" || changed "setsebool ${each%=on}"; done
    ;;
  restorecon) echo "$*" >>"$STAND_IN/labelled" ;;
  firewall-cmd)
    # CentOS lets these in.
    for scope in runtime permanent; do
      [ -e "$state/$scope-services" ] || printf '%s\n' ssh dhcpv6-client >"$state/$scope-services"
    done
    scope=runtime
    case " $* " in *" --permanent "*) scope=permanent ;; esac
    case " $* " in
      *" --reload "*) changed reload ;;
      *" --get-default-zone "*) echo public ;;
      *" --list-rich-rules "*) cat "$state/$scope-rules" 2>/dev/null || true ;;
      *" --list-services "*) tr '\n' ' ' <"$state/$scope-services" ;;
      *" --query-rule "*) has "$scope-direct" "${*#*--query-rule }" ;;
      *" --add-rule "*) ! add "$scope-direct" "${*#*--add-rule }" || changed "$scope direct ${*#*--add-rule }" ;;
      *)
        kinds=$(printf '%s\n' "$@" | grep -oE '^--(add|remove)-[a-z-]+' | sort -u)
        if [ "$(wc -l <<<"$kinds")" -gt 1 ]; then
          echo "firewall-cmd: error: argument ${kinds##*$'\n'}: not allowed with argument ${kinds%%$'\n'*}" >&2
          exit 2
        fi
        for each; do
          case $each in
            --add-rich-rule=*) ! add "$scope-rules" "${each#*=}" || changed "$scope + ${each#*=}" ;;
            --remove-rich-rule=*) ! remove "$scope-rules" "${each#*=}" || changed "$scope - ${each#*=}" ;;
            --remove-service=*) ! remove "$scope-services" "${each#*=}" || changed "$scope - ${each#*=}" ;;
          esac
        done
        ;;
    esac
    ;;
  chown) echo "$1" >"$state/owner$(tr / _ <<<"${2%.new}")" ;;
  stat)
    case $2 in
      %U:%G:0%a) [ ! -e "$3" ] || echo "$(cat "$state/owner$(tr / _ <<<"$3")"):0$(PATH=$REAL_PATH stat -c %a "$3")" ;;
      *) real "$@" ;;
    esac
    ;;
  install)
    arguments=()
    while [ $# -gt 0 ]; do
      case $1 in -o | -g) shift ;; *) arguments+=("$1") ;; esac
      shift
    done
    real "${arguments[@]}"
    ;;
  runuser)
    shift 3
    exec "$@"
    ;;
  timeout)
    case $* in *"/dev/tcp/"*) exit 0 ;; esac
    real "$@"
    ;;
  mysql)
    case $* in
      *"COUNT(*) FROM agents"* | *"COUNT(*) FROM compute_nodes"*) grep -o "openstack-[a-z0-9-]*\.[a-z.]*'" <<<"$*" | wc -l ;;
      *" -e "*) ;;
      *) cat >/dev/null ;;
    esac
    ;;
  curl) echo 200 ;;
  ntpdate)
    echo "server 203.0.113.4, stratum 0, offset 0.000000, delay 0.00000"
    [ -n "${SILENT:-}" ] || echo "server 203.0.113.5, stratum 2, offset -0.001234, delay 0.02567"
    echo "24 Nov 10:00:00 ntpdate[1]: the last line" >&2
    ;;
  *) ;; # a check, or a command that does nothing the second time
esac
