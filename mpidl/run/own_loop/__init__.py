"""Gossip in one's own training loop: what a caller's program gives, mixes and records."""

from mpidl.run.own_loop.gossip import Gossip

__all__ = ["Gossip"]
