"""The roles: what they answer, how they are asked, how a conversation runs, and the rule-based model that
plays them all.
"""
