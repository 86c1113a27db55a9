"""Answering: a Query goes in, a Slate comes out, one fold for the server, command line and Python."""
