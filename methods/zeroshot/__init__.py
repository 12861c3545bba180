"""Zero-shot classification: classes are known by their names, which images are brought into one space with."""
