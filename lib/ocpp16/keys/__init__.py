"""Configuration keys that only some charge points have: one module for each profile, with its rows. See config."""
