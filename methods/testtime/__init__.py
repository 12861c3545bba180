"""Test-time adaptation: a trained network is moved towards the target without labels."""
