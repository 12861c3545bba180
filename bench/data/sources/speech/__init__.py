"""Speech that is synthesised: what is said, and the program that says it."""
