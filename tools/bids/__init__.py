"""The door for data sets in BIDS: finds the images, registers them as a cohort, and names the results as BIDS does."""
