"""How a record becomes a dialogue. Nothing here knows where records come from."""
