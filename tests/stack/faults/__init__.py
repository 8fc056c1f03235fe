"""The deployed site under load, while what it stands on is taken away, and a ledger of what became of everything."""
