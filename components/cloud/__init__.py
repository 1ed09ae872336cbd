"""What the cloud itself holds, made through the OpenStack provider."""
