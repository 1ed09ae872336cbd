"""Faults put into a real lab, and how it gets over them: `make faults`, an hour or more without KVM."""
