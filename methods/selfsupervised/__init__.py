"""Self-supervised learning: the items without their labels are what is predicted."""
