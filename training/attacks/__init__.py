"""Attackers who learn: they have the network and as many originals as they like, of people that are not the victims."""
