"""The command line of the compiler: the only package of it that prints, exits or reads the environment."""
