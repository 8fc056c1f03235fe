"""Who may see and do what, by policy, user, verb and object."""
