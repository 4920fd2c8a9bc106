"""The selective scan on GPUs, compiled by Triton."""
