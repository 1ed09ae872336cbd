"""What is needed around the Pulumi program: set-up, toolchain, template, hypervisor, verification."""
