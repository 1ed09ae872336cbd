# root:root 0755
#!/bin/bash
systemctl restart libvirtd.service openstack-nova-compute.service
systemctl restart neutron-linuxbridge-agent.service
