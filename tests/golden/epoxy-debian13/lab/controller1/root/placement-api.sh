# root:root 0755
#!/bin/bash
systemctl restart placement-api.service
