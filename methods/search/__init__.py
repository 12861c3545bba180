"""Architecture search: what the network becomes is found for the target."""
