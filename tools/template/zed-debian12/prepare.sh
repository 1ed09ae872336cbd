#!/bin/sh
# prepare.sh ROOT: called when the essential packages are in place, before all others are installed.
set -eu
root=$1

# No service is started while packages are configured.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

# Python files are byte-compiled once at the end, on all processors, in place of 500 times one after another.
chroot "$root" dpkg-divert --quiet --local --rename --divert /usr/bin/py3compile.distrib --add /usr/bin/py3compile
printf '#!/bin/sh\nexit 0\n' >"$root/usr/bin/py3compile"
chmod 755 "$root/usr/bin/py3compile"

# The dashboard compresses its static files only if this is executable. customise.sh does it once, and in a safer way.
chroot "$root" dpkg-statoverride --add root root 0644 /usr/share/openstack-dashboard/manage.py
