"""Answering: a Query goes in, a Slate comes out, by one fold that the server, the command line and Python
call.
"""
