"""Chats: `endpoint` (OpenAI-compatible), `local` (a Hugging Face folder), `scripted`; `rehearsal` serves a
bad endpoint.
"""
