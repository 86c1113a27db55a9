"""A read-out in words, tables and lines that a product manager follows; plain values for a flow."""
