"""Training: volumes, pairs, objective, trainer and handlers behind the bundles' train.json."""
