"""Does an answer tell who returns beyond what the log already tells?"""
