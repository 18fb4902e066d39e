"""Speed against baselines and against what the machine can do; see `report`."""
