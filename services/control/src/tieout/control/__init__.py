"""Control: what happened to an order, and whether orders, stock and books agree."""
