"""Readers that keep state: sessions and workers as their events tell them."""
