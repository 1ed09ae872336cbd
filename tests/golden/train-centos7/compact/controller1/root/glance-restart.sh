# root:root 0755
#!/bin/bash
systemctl restart openstack-glance-api.service
