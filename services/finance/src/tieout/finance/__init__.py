"""See services/finance/README.md."""
