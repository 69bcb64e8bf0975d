"""One file per thing that can happen to an order; the SQL of each lies beside it."""
