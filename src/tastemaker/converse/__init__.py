"""Agentic conversations: goals, typed views, agents, constraints, audits, judges and exports."""
