"""See services/gateway/README.md."""
