"""Faults put into a real lab, and how it gets over them: `make faults`, hours without KVM."""
