"""Pure rules: what a difference between books means, how steps make a journey, how long a step takes."""
