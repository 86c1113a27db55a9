"""A model of the answer for every impression, asked or not."""
