"""Is it the item, the user, or the user's day? The one question that decides whether ranking by the answers
can help.
"""
