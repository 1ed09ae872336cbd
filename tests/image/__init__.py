"""The public image: what set-up chooses, and a guest that boots from the one it builds."""
