"""What a device does: learn and gossip."""
