"""A person erased from a workspace: everywhere they are held, the removal, what to do again afterwards."""
