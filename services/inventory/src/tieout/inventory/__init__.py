"""Stock, reservations, moves and their valuation: who gets which goods, what left, what came, what it was worth."""
