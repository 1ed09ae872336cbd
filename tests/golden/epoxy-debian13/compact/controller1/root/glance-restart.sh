# root:root 0755
#!/bin/bash
systemctl restart glance-api.service
