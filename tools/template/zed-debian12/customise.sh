#!/bin/sh
# Called in the new system, with the recipe at /run/recipe and the overlay in place.
set -eu
recipe=/run/recipe

names() {
    sed 's/#.*//; /^[[:space:]]*$/d; s/[[:space:]]*$//' "$1"
}

rm /usr/bin/py3compile
dpkg-divert --quiet --local --rename --remove /usr/bin/py3compile
# Some packages carry files for other versions of Python, which do not compile; verify.py tells them from the rest.
python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages /usr/share /etc/openstack-dashboard >/var/tmp/compileall.log || true
rm /var/tmp/compileall.log

manage=/usr/share/openstack-dashboard/manage.py
dpkg-statoverride --quiet --remove $manage
chmod 755 $manage
python3 $recipe/dashboard.py
touch /var/lib/openstack-dashboard/compressed-for-dashboard
rm -f /var/lib/openstack-dashboard/secret-key/.secret_key_store
chown -R www-data: /var/lib/openstack-dashboard/secret-key /var/lib/openstack-dashboard/static

# A unit that wants those of other roles would start them on every machine, disabled or not.
for unit in /usr/lib/systemd/system/*.service; do
    if grep -q "^Wants=.*keystone\.service" "$unit"; then
        sed -E '/^Wants=/s/ *\<(postgresql|mysql|keystone|rabbitmq-server|ntp)\.service//g' "$unit" \
            >"/etc/systemd/system/${unit##*/}"
    fi
done

systemctl preset-all 2>/dev/null
systemctl set-default multi-user.target
# Otherwise a generator does it, at every boot.
systemctl add-wants multi-user.target cloud-init.target
for unit in $(names $recipe/masked-units.txt); do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
mkdir -p /etc/systemd/system-generators
for generator in $(names $recipe/masked-generators.txt); do
    ln -sf /dev/null "/etc/systemd/system-generators/$generator"
done

# A login, such as that of every remote command, runs no scripts for a message of the day and no systemd of its own.
chmod -x /etc/update-motd.d/*
pam-auth-update --package --remove systemd

# nova-common's configuration holds the address of the machine that bakes.
sed -i '/^my_ip *=/d' /etc/nova/nova.conf
echo "RESET nova/my-ip" | debconf-communicate nova-common >/dev/null

update-tirfs

# Nothing of the machine that bakes, nothing that has to differ between machines.
: >/etc/machine-id
rm -rf /usr/sbin/policy-rc.d /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/log/journal
rm -rf /var/cache/debconf/*-old /var/lib/dpkg/*-old

# What somebody removes can be installed again where no mirror is within reach.
kept=/usr/share/openstack-lab/packages
mkdir -p $kept
mv /var/cache/apt/archives/*.deb $kept
cd $kept
for package in *.deb; do
    dpkg-deb --field "$package"
    printf 'Filename: ./%s\nSize: %s\n' "$package" "$(stat --format %s "$package")"
    printf 'SHA256: %s\n\n' "$(sha256sum "$package" | cut -d ' ' -f 1)"
done >Packages
find /var/lib/apt/lists /var/cache/apt -type f -delete
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f /etc/resolv.conf
: >/etc/resolv.conf
find /var/log -type f -exec truncate --size=0 {} +
