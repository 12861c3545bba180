"""Classes by their names: images and texts in one space, so that classes without an image have a head."""
