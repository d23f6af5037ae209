"""The network driver of bridges: a bridge a network, a TAP a machine, rules for both, names and ports."""
