"""One file per thing that can happen, with its SQL beside it."""
