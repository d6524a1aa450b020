"""One file = one way to satisfy one port of `core.ports`. No adapter imports another family."""
