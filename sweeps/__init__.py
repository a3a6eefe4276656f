"""Many trials: which to run, when to stop them, and what came of them."""
