"""The method contract and the mathematics that method authors share."""
