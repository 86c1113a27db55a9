"""The roles: what they answer, how they are asked, how a conversation runs, and rules that play them all."""
