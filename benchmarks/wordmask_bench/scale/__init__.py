"""The tables of docs/scale.md, computed from measured figures."""
