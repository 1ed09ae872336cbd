# Sourced by every script that the lab runs on a machine.
# Standard input: one `name=value` line a secret; scripts read them as ${secret[name]}, files name them as @name@.
set -Eeuo pipefail

declare -A secret=()
while IFS= read -r line; do secret[${line%%=*}]=${line#*=}; done
exec </dev/null

units=() last=() logs=() files=() waiting_for="" restart_after=() restarted=""
files_lock=/run/openstack-lab.files markers=/run/openstack-lab
policy=/usr/sbin/policy-rc.d
# systemctl gives up after 25 s, less than a busy emulated systemd takes to read its units anew.
export SYSTEMD_BUS_TIMEOUT=600

mask() { # standard input with every secret of this script replaced
  local text name
  text=$(cat)
  for name in "${!secret[@]}"; do text=${text//"${secret[$name]}"/***}; done
  printf '%s\n' "$text"
}

explain() { # what was being done, the units' state and the last log lines
  local status=$1 unit log
  trap - ERR
  {
    echo "failed on $(hostname) with status $status${waiting_for:+ while waiting for $waiting_for}"
    for unit in ${units[@]+"${units[@]}"}; do
      echo "--- $unit: $(systemctl is-active "$unit" || true)"
      journalctl --no-pager -o cat -n 25 -u "$unit" || true
    done
    for log in ${logs[@]+"${logs[@]}"}; do
      [ -e "$log" ] || continue
      echo "--- $log"
      tail -n 25 "$log"
    done
  } 2>&1 | mask >&2
  exit "$status"
}
trap 'explain $?' ERR

wait_for() { # WHAT SECONDS COMMAND...: asks again after 1 to 5 s, the longer the command itself took
  waiting_for="$1 (up to $2 s)"
  local deadline=$((SECONDS + $2)) begun pause
  shift 2
  while
    begun=$(date +%s%6N)
    ! "$@" >/dev/null 2>&1
  do
    [ $SECONDS -lt $deadline ] || explain 124
    pause=$((($(date +%s%6N) - begun) * 4 / 1000000 + 1))
    sleep $((pause < 5 ? pause : 5))
  done
  waiting_for=""
}

answers_http() { # URL: any answer of the service itself, not of a proxy without it
  local status
  status=$(curl -sS -o /dev/null -m 30 -w '%{http_code}' "$1") && [ "$status" -ge 200 ] && [ "$status" -lt 500 ]
}

answers_tcp() { # ADDRESS PORT
  timeout 5 bash -c ": </dev/tcp/$1/$2"
}

has_address() { # INTERFACE
  ip -4 -o address show dev "$1" | grep -q .
}

keystone_takes() { # URL USER PASSWORD: whether it gives the user a token
  local status
  status=$(curl -sS -o /dev/null -m 30 -w '%{http_code}' -H 'Content-Type: application/json' --data @- "$1" <<JSON
{"auth": {"identity": {"methods": ["password"], "password": {"user":
  {"name": "$2", "domain": {"id": "default"}, "password": "$3"}}}}}
JSON
  ) && [ "$status" = 201 ]
}

file() { # PATH OWNER:GROUP MODE; content on standard input. Atomic; untouched where nothing differs.
  local path=$1 owner=$2 mode=$3 content name lock
  content=$(cat && printf .)
  content=${content%.}
  for name in "${!secret[@]}"; do content=${content//"@$name@"/"${secret[$name]}"}; done
  # Services that share a file write it side by side.
  exec {lock}>>"$files_lock"
  flock "$lock"
  [ -e "$markers/first" ] || { install -d "$markers" && touch --date='-1 second' "$markers/first"; }
  [ -d "${path%/*}" ] || install -d "${path%/*}"
  (umask 077 && printf %s "$content" >"$path.new")
  chown "$owner" "$path.new"
  chmod "$mode" "$path.new"
  if cmp -s "$path.new" "$path" && [ "$(stat -c %U:%G:0%a "$path")" = "$owner:$mode" ]; then
    rm "$path.new"
  else
    mv -f "$path.new" "$path"
    echo "wrote $path"
  fi
  # Also where nothing differs: a run may have been killed before it got here.
  ! command -v restorecon >/dev/null || restorecon -F "$path"
  exec {lock}>&-
}

start() { # SERVICE DIGEST VERB UNIT...: start those that do not run; (re)start all unless this digest's files are theirs
  local service=$1 digest=$2 verb=$3 now
  shift 3
  units=("$@" ${last[@]+"${last[@]}"})
  now=("${units[@]}")
  # Offline: systemd (255 and newer), once told of it, takes all units for outdated.
  SYSTEMD_OFFLINE=1 SYSTEMCTL_SKIP_SYSV=1 systemctl enable --quiet --no-reload "${units[@]}"
  ! systemctl show --property=NeedDaemonReload "${units[@]}" | grep -q yes || systemctl daemon-reload
  if has_read "$service" "$digest"; then
    last=()
    ! all_active "${units[@]}" || return 0
    verb=start
  elif systemctl is-active --quiet "${units[@]}"; then
    [ ${#restart_after[@]} -eq 0 ] || wait_for "${restart_after[@]}"
    now=("$@")
  else
    last=()
  fi
  systemctl "$verb" "${now[@]}"
  restarted=yes
  [ ${#last[@]} -gt 0 ] || now_read "$service" "$digest"
  echo "$verb $service"
}

restart_last() { # SERVICE DIGEST VERB: the units of `last`, if start has left them running with other files
  [ ${#last[@]} -gt 0 ] || return 0
  systemctl "$3" "${last[@]}"
  now_read "$1" "$2"
}

all_active() { # UNIT...: systemctl itself is content with one of them
  local unit
  for unit; do systemctl is-active --quiet "$unit" || return; done
}

reread() { # NAME DIGEST COMMAND...: have running units read a file that their start reads as well
  if [ -z "$restarted" ]; then
    if has_read "$1" "$2"; then return; fi
    run_as root "${@:3}"
    echo "reread ${files[*]}"
  fi
  now_read "$1" "$2"
}

now_read() { # NAME DIGEST
  install -d "$markers"
  echo "$2" >"$markers/$1"
}

has_read() { # NAME DIGEST: whether the files are as they were when somebody read them last
  local marker=$markers/$1
  if [ -e "$marker" ]; then
    [ "$(cat "$marker")" = "$2" ] || return
  else
    # What has started with the machine has read all files that are older than the first one of this boot.
    marker=$markers/first
    [ -e "$marker" ] || return
  fi
  [ ${#files[@]} -eq 0 ] || ! find "${files[@]}" -newer "$marker" | grep -q .
}

run_as() { # USER COMMAND...: what it says is shown only if it fails
  local said
  said=$(mktemp)
  waiting_for="${*:2}"
  if ! runuser -u "$1" -- "${@:2}" >"$said" 2>&1; then
    logs+=("$said")
    explain 1
  fi
  waiting_for=""
  rm "$said"
}

sql() { # statements on standard input, as the database's root through its socket
  mysql --batch --skip-column-names "$@"
}

query_as() { # USER PASSWORD HOST DATABASE QUERY
  MYSQL_PWD=$2 mysql --batch --skip-column-names -u "$1" -h "$3" -e "$5" "$4"
}

migrate() { # DATABASE USER PASSWORD HOST COMMAND...
  # The template carries each database as its packages make it, where COMMAND takes a minute to find nothing to do.
  local database=$1 user=$2 password=$3 host=$4 head
  shift 4
  wait_for "database $database through $host" 120 query_as "$user" "$password" "$host" "$database" "SELECT 1"
  if head=$(baked_head "/usr/share/openstack-lab/schema/$database.version") &&
    [ "$head" = "$(query_as "$user" "$password" "$host" "$database" \
      "SELECT GROUP_CONCAT(version_num ORDER BY version_num SEPARATOR ' ') FROM alembic_version" 2>/dev/null)" ]; then
    return
  fi
  run_as "$user" "$@"
  echo "migrated $database"
}

baked_head() { # VERSION-FILE: the schema's revision, if it was baked from the very package that is installed here
  local package
  [ -e "$1" ] || return 1
  package=$(sed -n 's/^package=//p' "$1")
  [ "$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null)" = "${package#*=}" ] || return 1
  sed -n 's/^head=//p' "$1"
}

absent_debian() { # PACKAGE...: prints those that are not installed
  comm -23 <(printf '%s\n' "$@" | sort) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort)
}

install_debian() { # PACKAGE...: a mirror is asked for what the template has not kept; none of them starts
  local kept=/usr/share/openstack-lab/packages.list
  if [ -z "$(absent_debian "$@")" ]; then
    rm -f "$policy" # of a run that was killed
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  export DEBIAN_FRONTEND=noninteractive
  dpkg --configure -a # what a reset has left half done
  { [ -e "$kept" ] && apt_install -o "Dir::Etc::SourceList=$kept" -o Dir::Etc::SourceParts=- -- "$@"; } ||
    apt_install -- "$@"
  rm "$policy"
  echo "installed $*"
}

apt_install() { # OPTION... -- PACKAGE...
  local options=(-qq -o DPkg::Lock::Timeout=600 -o APT::Get::List-Cleanup=0)
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  apt-get "${options[@]}" update && apt-get "${options[@]}" install --yes --no-install-recommends "$@"
}

absent_centos() { # PACKAGE...: prints those that are not installed
  # Also a name that a package only provides is one that yum takes.
  { LC_ALL=C rpm -q --whatprovides "$@" || true; } | sed -n 's/^no package provides //p'
}

install_centos() { # KEYS PACKAGE...: KEYS is a package of CentOS itself that brings the keys of the other repositories
  [ -n "$(absent_centos "$@")" ] || return 0
  local absent
  run_as root yum -y -q '--disablerepo=*' '--enablerepo=openstack-lab-centos-*' install "$1"
  run_as root yum -y -q '--disablerepo=*' '--enablerepo=openstack-lab-*' install "${@:2}"
  # yum leaves out what it does not find.
  absent=$(absent_centos "$@")
  if [ -n "$absent" ]; then
    echo "not in the archive: ${absent//$'\n'/ }" >&2
    return 1
  fi
  echo "installed ${*:2}"
}

selinux_allows() { # BOOLEAN...: switches them on for good, where SELinux is at work
  local name off=()
  command -v selinuxenabled >/dev/null && selinuxenabled || return 0
  for name; do
    [ "$(getsebool "$name")" = "$name --> on" ] || off+=("$name=on")
  done
  [ ${#off[@]} -gt 0 ] || return 0
  setsebool -P "${off[@]}"
  echo "allowed ${off[*]}"
}

network_centos() { # BRIDGE: the network scripts anew, unless the bridge has its address
  chkconfig network || chkconfig network on
  ! has_address "$1" 2>/dev/null || return 0
  # As a job of systemd it goes on whatever becomes of this login, which outlasts the seconds without an address.
  systemctl restart network.service
  wait_for "an address on $1" 60 has_address "$1"
  echo "moved the address to $1"
}

firewall_centos() { # FILE BRIDGE: the default zone takes in what the file says, now and after a boot, and nothing else
  # No reload: it takes Neutron's rules away. BRIDGE passes on frames, which firewalld sees as well.
  local zone permanent call wanted have changes kind options service family
  zone=$(firewall-cmd --get-default-zone)
  wanted=$(grep '^rule ' "$1" | sort -u)
  for permanent in "" --permanent; do
    call=(firewall-cmd --quiet ${permanent:+"$permanent"})
    have=$(firewall-cmd ${permanent:+"$permanent"} --zone="$zone" --list-rich-rules | sed 's/ *$//' | sort -u)
    changes=$(
      comm -13 <(echo "$have") <(echo "$wanted") | sed -n 's/^rule/--add-rich-rule=&/p'
      comm -23 <(echo "$have") <(echo "$wanted") | sed -n 's/^rule/--remove-rich-rule=&/p'
      for service in $(firewall-cmd ${permanent:+"$permanent"} --zone="$zone" --list-services); do
        echo "--remove-service=$service"
      done
    )
    # A call takes one kind of change only. What is let in comes first, so that SSH is at no time out.
    for kind in --add-rich-rule --remove-rich-rule --remove-service; do
      mapfile -t options < <(sed -n "/^$kind=/p" <<<"$changes")
      [ ${#options[@]} -eq 0 ] || "${call[@]}" --zone="$zone" "${options[@]}"
    done
    [ -z "$changes" ] || echo "changed $(wc -l <<<"$changes") of firewalld's${permanent:+ permanent} rules"
    for family in ipv4 ipv6; do
      "${call[@]}" --direct --query-rule "$family" filter FORWARD 0 -i "$2" -o "$2" -j ACCEPT ||
        "${call[@]}" --direct --add-rule "$family" filter FORWARD 0 -i "$2" -o "$2" -j ACCEPT
    done
  done
}
