"""PyTorch network definitions (needs the ``train`` extra); nothing at inference imports them."""
