"""Training of the networks that ship (needs the ``train`` extra)."""
