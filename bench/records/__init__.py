"""Records: schema, codec, store, leases, archives, baselines, maintenance, selection rules."""
