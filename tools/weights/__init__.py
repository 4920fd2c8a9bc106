"""New weights for all bundles: who gets how much time, the runs, their scores, and what may replace what."""
