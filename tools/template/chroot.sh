#!/bin/sh
# chroot.sh ROOT RECIPE COMMAND [ARGUMENT…]: run a command inside ROOT, with the recipe's directory at /run/recipe and
# this script's at /run/template.
# Meant to be called in mount, network and process namespaces of its own: mounts and processes end with the command, and
# what it starts is reached from nowhere.
set -eu
root=$1
recipe=$2
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
for directory in run tmp dev/shm; do
    mount -t tmpfs -o mode=1777 tmpfs "$root/$directory"
done
mkdir "$root/run/lock" "$root/run/recipe" "$root/run/template"
mount --bind "$recipe" "$root/run/recipe"
mount --bind "$(dirname "$0")" "$root/run/template"
ip link set lo up
exec chroot "$root" "$@"
