"""Common corruptions of images, and domains made of them."""
