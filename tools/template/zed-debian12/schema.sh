#!/bin/sh
# schema.sh: make every service's database, in MariaDB's own data directory. Called in the new system. A service's
# migration takes up to 80 seconds in a guest, and loading a dump half of that.
#
# /usr/share/openstack-lab/schema/<database>.version: head=<revisions> and package=<name>=<version>. Where the package
# is the same, so is the schema.
set -eu
out=/usr/share/openstack-lab/schema
work=/run/schema
socket=$work/mysqld.sock
mkdir -p $out $work
chown mysql $work
mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=$socket --pid-file=$work/pid --skip-networking \
    --skip-grant-tables --character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci \
    --innodb-flush-log-at-trx-commit=0 --innodb-fast-shutdown=0 --skip-log-bin >$work/mariadbd.log 2>&1 &
server=$!
tries=0
until mariadb-admin --socket=$socket ping >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then
        echo "MariaDB does not answer on $socket after 60 s:" >&2
        tail -n 20 $work/mariadbd.log >&2
        exit 1
    fi
    sleep 0.2
done

# schema DATABASE PACKAGE SECTION TOOL ARGUMENT…: migrate an empty database, and note what it is.
schema() {
    database=$1 package=$2 section=$3 tool=$4
    shift 4
    mariadb --socket=$socket -e "CREATE DATABASE $database"
    printf '[%s]\nconnection = mysql+pymysql://root@localhost/%s?unix_socket=%s\n' "$section" "$database" $socket \
        >$work/"$database.conf"
    if ! "$tool" --config-file $work/"$database.conf" "$@" >$work/"$database.log" 2>&1; then
        echo "$tool $*: failed for the database $database:" >&2
        tail -n 20 $work/"$database.log" >&2
        return 1
    fi
    {
        printf 'head='
        mariadb --socket=$socket --skip-column-names -e \
            "SELECT GROUP_CONCAT(version_num ORDER BY version_num SEPARATOR ' ') FROM $database.alembic_version"
        dpkg-query --show --showformat 'package=${Package}=${Version}\n' "$package"
    } >$out/"$database.version"
}

schema keystone python3-keystone database keystone-manage db_sync &
pids=$!
schema glance python3-glance database glance-manage db_sync &
pids="$pids $!"
schema placement python3-placement placement_database placement-manage db sync &
pids="$pids $!"
schema nova_api python3-nova api_database nova-manage api_db sync &
pids="$pids $!"
schema nova python3-nova database nova-manage db sync --local_cell &
pids="$pids $!"
schema neutron python3-neutron database neutron-db-manage upgrade head &
pids="$pids $!"
failed=0
for pid in $pids; do
    wait "$pid" || failed=1
done
[ $failed = 0 ]

# The cell of instances that were never scheduled has the same tables.
mariadb --socket=$socket -e "CREATE DATABASE nova_cell0"
mariadb-dump --socket=$socket nova >$work/nova.sql
mariadb --socket=$socket nova_cell0 <$work/nova.sql
ln -sf nova.version $out/nova_cell0.version

kill $server
wait $server
