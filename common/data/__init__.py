"""Training data: datalists and their checks, recipes of public data sets, augmentation, synthesis from label maps."""
