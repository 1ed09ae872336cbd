# root:root 0755
#!/bin/bash
systemctl restart nova-conductor.service nova-scheduler.service nova-api.service nova-api-metadata.service nova-novncproxy.service
