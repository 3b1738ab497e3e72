"""What test modules and scripts share, except for oracles."""
