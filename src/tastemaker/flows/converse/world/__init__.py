"""What conversations need of a workspace: its catalogue and listeners, media, models, and all of them wired
together.
"""
