"""Sales orders, the requests to change them, and their credit notes."""
