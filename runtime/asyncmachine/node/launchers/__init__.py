"""Ways to start a worker: the contract (``base``), processes of this machine (``process``).

The worker's end of a launch is in ``child``, which loads neither.
"""
