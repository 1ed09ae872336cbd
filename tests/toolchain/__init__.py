"""The toolchain: its Go modules, the plugins they become, and the step that builds them."""
