"""The wire format of chat completions, which more servers speak than any other."""
