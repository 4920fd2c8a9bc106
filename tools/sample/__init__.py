"""The sample pair of the demo and the script that makes it."""
