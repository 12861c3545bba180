"""Alignment: source and target features are made alike while the source's labels are learnt."""
