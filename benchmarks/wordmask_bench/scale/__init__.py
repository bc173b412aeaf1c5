"""docs/scale.md from measured figures."""
