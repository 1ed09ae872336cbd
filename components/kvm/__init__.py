"""Bridges and machines on the hypervisor."""
