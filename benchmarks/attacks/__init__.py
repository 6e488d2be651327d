"""Attackers who have everything but the factors: the network, the anonymised pictures and, here, the true answer."""
