"""The node: a supervisor and its pool of worker processes, the workers, and their clients."""
