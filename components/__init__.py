"""The lab as Pulumi components; `services`, `releases`, `topology` and `secrets` are pure and never import pulumi."""
