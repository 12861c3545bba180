"""Zero-shot classification: classes known by their names alone, brought into one space with images."""
