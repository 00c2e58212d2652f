"""How the small local model `local:nano` was made: its words, its abilities, its tokenizer, its training and its scores.

Nothing here is imported by the installed package; `nano/README.md` says how to run each part.
"""
