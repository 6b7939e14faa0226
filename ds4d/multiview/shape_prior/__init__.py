"""Shape prior: a small network that tells depths and hidden colours of a clip of one object."""
