"""One cell from question to record: stages, features, settings, devices."""
