"""A person erased from a workspace: everywhere they are held, the removal, and what to do again
afterwards.
"""
