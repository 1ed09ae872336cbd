# root:root 0755
#!/bin/bash
systemctl restart nova-conductor.service nova-scheduler.service nova-api.service nova-api-metadata.service nova-novncproxy.service
systemctl restart neutron-api.service neutron-rpc-server.service
systemctl restart neutron-openvswitch-agent.service
systemctl restart neutron-dhcp-agent.service
systemctl restart neutron-metadata-agent.service
