"""What the gateway decides from values alone: amounts, and whether a document may leave as a command."""
