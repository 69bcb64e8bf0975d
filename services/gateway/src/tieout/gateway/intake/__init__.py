"""Raw first: what a satellite sends is committed as it came, before anybody interprets it."""
