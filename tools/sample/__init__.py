"""The script that makes the sample pair (common/sample)."""
