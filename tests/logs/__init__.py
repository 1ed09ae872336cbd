"""The bundle of logs: real sshd on loopback, planted secrets, nodes that do not answer."""
