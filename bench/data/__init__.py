"""From dataset cards to images: sources, decode cache, splits, shots. Knows no methods, needs no torch."""
