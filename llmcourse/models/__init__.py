"""Which model, and how it gets here: fetched, converted, loaded; what this machine has."""
