"""How a model family runs one level of tree attention: by hand for Llama shapes, through transformers, or by
repeating rows.
"""
