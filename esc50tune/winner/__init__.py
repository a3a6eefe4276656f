"""Using what a sweep found: choose its weights, load them, hear recordings with them."""
