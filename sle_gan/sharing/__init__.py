"""Trained generators to and from folders and hub repositories, with a model card written from the run."""
