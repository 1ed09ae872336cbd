# root:root 0755
#!/bin/bash
systemctl restart libvirtd.service nova-compute.service
systemctl restart neutron-openvswitch-agent.service
