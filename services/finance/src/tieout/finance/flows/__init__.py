"""One file per thing that can happen to the books; the SQL of each lies beside it."""
