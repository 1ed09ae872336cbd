# root:root 0644
OPENSTACK_HOST = "openstack-vip.magedu.local"
ALLOWED_HOSTS = ['openstack-vip.magedu.local', '172.16.0.248', 'openstack-controller1.magedu.local', '172.16.0.101']
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.MemcachedCache",
        "LOCATION": "openstack-vip.magedu.local:11211",
    }
}
OPENSTACK_KEYSTONE_URL = "http://%s:5000/v3" % OPENSTACK_HOST
OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT = True
OPENSTACK_API_VERSIONS = {"identity": 3, "image": 2, "volume": 3}
OPENSTACK_KEYSTONE_DEFAULT_DOMAIN = "Default"
OPENSTACK_KEYSTONE_DEFAULT_ROLE = "user"
OPENSTACK_NEUTRON_NETWORK = {
    "enable_router": False,
    "enable_quotas": False,
    "enable_distributed_router": False,
    "enable_ha_router": False,
    "enable_lb": False,
    "enable_firewall": False,
    "enable_vpn": False,
    "enable_fip_topology_check": False,
}
TIME_ZONE = "Asia/Shanghai"
WEBROOT = "/dashboard/"
