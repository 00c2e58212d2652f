"""OpenAI's protocols: chat completions, which most endpoints speak, and Responses."""
