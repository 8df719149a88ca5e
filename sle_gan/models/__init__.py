"""What the GANs' networks are made of: layers, the class of all networks, and the form that only generates."""
