"""Command lines. The composition root: the only place that picks launchers and reads the environment."""
