"""From a data set of conversations to a model that talks, and to its benchmark per turn."""
