"""Reads results folders, and nothing else: no audio, no torch, no Ray."""
