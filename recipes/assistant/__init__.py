"""The assistant measured on people: their conversations, and requests in many voices."""
