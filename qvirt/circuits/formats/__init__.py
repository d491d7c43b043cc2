"""One module for each circuit format; registry.py names them."""
