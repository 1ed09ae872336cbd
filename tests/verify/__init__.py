"""Verification and status: real servers on loopback, and checks on answers made by hand."""
