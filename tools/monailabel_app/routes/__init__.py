"""Addresses of the server, those of MONAI Label's protocol that its clients call; nothing else answers."""
