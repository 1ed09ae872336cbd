"""Set-up: what brings a machine to the point where `pulumi up` works."""
